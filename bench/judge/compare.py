"""Which evaluations of a store belong together, compared pairwise: two methods in one store, or one cell in two.

Two cells are a pair when everything but the method and its settings is equal: data set, ratio, network, seed, recipe,
radius, selection, class order, precision and how far the run falls short of its recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.config import TEST_SPLITS, CellSpec
from bench.errors import StoreError
from bench.judge.paired import Bits, Comparison, compare, holm
from bench.judge.selected import canonical, check_attacks, filtered, label, of_method, run_command
from bench.judge.stats import LEVEL
from bench.store.results import Results, opened
from bench.store.rows import WORST, counted, of_split, taken_over, worst_case
from bench.store.where import arithmetic

#: What two cells must share to be compared, by name as it is printed
SHARED: dict[str, Callable[[CellSpec], Any]] = {
    "dataset": lambda s: s.dataset,
    "ir": lambda s: s.ir,
    "model": lambda s: s.model,
    "recipe": lambda s: s.recipe.name,
    "reduced": lambda s: s.reduced,
    "eps": lambda s: s.threat.eps,
    "selection": lambda s: s.selection,
    "class_order": lambda s: s.class_order,
    "precision": arithmetic,
}

#: what a line is about, its seeds, and what came out
Result = tuple[tuple[Any, ...], tuple[int, ...], Comparison]


@dataclass(frozen=True)
class Line:
    """One line of a comparison: where (`SHARED`, test split, attack), which seed (None: all pooled), and the result.

    `p` is corrected (Holm) over the lines of its kind, `family` of them: single seeds among themselves, those pooled
    over several, and those of one alone, which repeat it. The intervals of `comparison` are those of this line alone.
    """

    where: dict[str, Any]
    test_split: str
    attack: str
    seed: int | None
    seeds: tuple[int, ...]
    comparison: Comparison
    p: float
    family: int
    verdict: str
    class_names: dict[int, str]
    class_p: dict[int, float]


@dataclass(frozen=True)
class Cell:
    """A finished cell: its spec, cell.json and the store that it is of."""

    spec: CellSpec
    info: dict[str, Any]
    store: Results

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.store.folder(str(self.info["id"]))

    def evaluated(self, test_split: str = "") -> set[str]:
        """Labels of what can be compared on a test split (empty: on any)."""
        splits = [split for split in TEST_SPLITS if test_split in ("", split)]
        return {a for split in splits for a in of_split(self.info, split)} | (
            {WORST} if any(map(self.over, splits)) else set()
        )

    def splits(self) -> set[str]:
        """The test splits it was evaluated on."""
        return {key.partition("/")[0] for key in self.info["evaluations"]}

    def samples(self) -> dict[str, np.ndarray]:
        """Bits of every evaluation by `<split>/<attack>`, the worst case among them, with indices and labels."""
        plain = {
            *self.info["evaluations"],
            *(f"{split}/{name}" for split in TEST_SPLITS for name in ("index", "label")),
        }
        found = {key: bits for key, bits in self.store.samples(str(self.info["id"])).items() if key in plain}
        for split in TEST_SPLITS:
            facts = {k.partition("/")[2]: v for k, v in self.info["evaluations"].items() if k.startswith(f"{split}/")}
            correct = {attack: found[f"{split}/{attack}"] for attack in facts if f"{split}/{attack}" in found}
            worst = worst_case(facts, correct, self.spec.threat.eps) if len(correct) == len(facts) else None
            found |= {} if worst is None else {f"{split}/{WORST}": worst}
        return found

    def bits(self, test_split: str, attack: str, samples: Mapping[str, np.ndarray]) -> Bits:
        """One evaluation image by image. Raises StoreError when the bits are not there or do not fit together."""
        keys = [f"{test_split}/{attack}", f"{test_split}/index", f"{test_split}/label"]
        missing = [key for key in keys if key not in samples]
        if missing:
            raise StoreError(f"{self.folder} has no bits for {missing[0]}; run `bench run` for this cell again.")
        correct, index, label = (samples[key] for key in keys)
        if not len(correct) == len(index) == len(label):
            raise StoreError(f"{self.folder}: {keys[0]} and its indices differ in length; run `bench verify`.")
        return Bits(index.astype(np.int64), label.astype(np.int64), correct.astype(bool), self.spec.id,
                    self.over(test_split) if attack == WORST else ())  # fmt: skip

    def over(self, test_split: str) -> tuple[str, ...]:
        """The attacks over which the worst case of a test split is taken."""
        return tuple(taken_over(of_split(self.info, test_split), self.spec.threat.eps))


def finished(store: Results) -> list[Cell]:
    """Cells of a store with at least one evaluation of every image, by id: an audit's bits are not all verdicts."""
    return [
        Cell(store.spec(info["id"]), info | {"evaluations": full}, store)
        for info in store.cells
        if (full := {key: facts for key, facts in info.get("evaluations", {}).items() if counted(facts)})
    ]


def compare_methods(
    store: Path | Results, a: str, b: str, *, attacks: Sequence[str] = (), dataset: str = "", ir: str = "",
    test_split: str = "", level: float = LEVEL,
) -> list[Line]:  # fmt: skip
    """Method `a` minus method `b` (each `name` or `name[setting=value]`) for every seed, and pooled over seeds.

    Empty `attacks`, `dataset`, `ir`, `test_split` mean all. Raises UsageError for a method, data set or ratio that is
    not in the store and an attack that does not exist, StoreError when no two evaluations belong together.
    """
    found = opened(store)
    root, everywhere = found.root, finished(found)
    cells = filtered(everywhere, root, dataset, ir)
    first, second = of_method(cells, a, everywhere), of_method(cells, b, everywhere)
    partner = {(_shared(c.spec), c.spec.seed): c for c in second}
    pairs = [(c, partner[key]) for c in first if (key := (_shared(c.spec), c.spec.seed)) in partner]
    wanted = [canonical(attack) for attack in attacks]
    check_attacks(wanted, set[str]().union(*(c.evaluated() for c in (*first, *second))))
    lacking = _lacking(pairs, wanted, test_split)
    lines = [] if lacking else _lines(pairs, wanted, test_split, level)
    if not lines:
        under = f" under {', '.join(lacking)}" if lacking else ""
        where = f" on the {test_split} test split" if test_split else ""
        command = run_command(
            first, (a, b), wanted or first[0].evaluated(), {test_split} if test_split else first[0].splits(), root
        )
        raise StoreError(
            f"{root} holds no evaluations of {a} and {b}{under}{where} with equal data set, ratio, network, recipe and "
            f"seed; run `{command}`."
        )
    return lines


def _lacking(pairs: Iterable[tuple[Cell, Cell]], wanted: Sequence[str], test_split: str) -> list[str]:
    """Those wanted attacks that no pair was evaluated with."""
    both = set[str]().union(*(a.evaluated(test_split) & b.evaluated(test_split) for a, b in pairs))
    return [attack for attack in wanted if attack not in both]


def compare_stores(
    a: Path | Results, b: Path | Results, *, attacks: Sequence[str] = (), dataset: str = "", ir: str = "",
    test_split: str = "", level: float = LEVEL,
) -> list[Line]:  # fmt: skip
    """Every cell of store A minus the same cell (same method, settings and seed) of store B, and pooled over seeds.

    Raises StoreError when they share no evaluation.
    """
    store_a, store_b = opened(a), opened(b)
    root_a, root_b = store_a.root, store_b.root
    other = {_full(c.spec): c for c in finished(store_b)}
    mine = filtered(finished(store_a), root_a, dataset, ir)
    pairs = [(c, other[_full(c.spec)]) for c in mine if _full(c.spec) in other]
    wanted = [canonical(attack) for attack in attacks]
    check_attacks(wanted, set[str]().union(*(c.evaluated() for c in (*mine, *other.values()))))
    lacking = _lacking(pairs, wanted, test_split)
    lines = [] if lacking else _lines(pairs, wanted, test_split, level, by_method=True)
    if not lines:
        under = f" under {', '.join(lacking)}" if lacking else ""
        raise StoreError(f"{root_a} and {root_b} share no evaluation of one cell{under}; give two stores of one grid.")
    return lines


def _same_source(a: Cell, b: Cell) -> None:
    """Raises StoreError unless both cells saw the same images."""
    for name in ("source", "data_hash"):
        mine, other = a.info["data"][name], b.info["data"][name]
        if mine != other:
            raise StoreError(f"{a.spec.id} and {b.spec.id} are not comparable: {name} differs ({mine}, {other}).")
    if a.info["benchmark"] != b.info["benchmark"]:
        raise StoreError(f"{a.spec.id} and {b.spec.id} are not comparable: the benchmark version differs "
                         f"({a.info['benchmark']}, {b.info['benchmark']}).")  # fmt: skip


def _shared(spec: CellSpec) -> tuple[Any, ...]:
    return tuple(read(spec) for read in SHARED.values())


def _full(spec: CellSpec) -> tuple[Any, ...]:
    return (spec.method, spec.enhancers, spec.hparams, spec.recipe, spec.seed, *_shared(spec))


def _lines(
    pairs: Sequence[tuple[Cell, Cell]], attacks: Sequence[str], test_split: str, level: float,
    by_method: bool = False,
) -> list[Line]:  # fmt: skip
    """All lines of these pairs: single seeds first, then pooled, each kind corrected by Holm."""
    groups: dict[tuple[Any, ...], list[tuple[int, Bits, Bits]]] = {}
    where: dict[tuple[Any, ...], tuple[dict[str, Any], dict[int, str]]] = {}
    apart: list[str] = []
    for a, b in pairs:
        _same_source(a, b)
        samples_a, samples_b = a.samples(), b.samples()
        for evaluation in sorted(samples_a):
            split, _, attack = evaluation.partition("/")
            unwanted = (attacks and attack not in attacks) or test_split not in ("", split)
            if unwanted or attack in ("index", "label") or evaluation not in samples_b:
                continue
            if attack == WORST and a.over(split) != b.over(
                split
            ):  # of another kind, unless it is all that is asked for
                apart.append(f"the worst case of {a.spec.id} is over {', '.join(a.over(split))}, that of {b.spec.id} "
                             f"over {', '.join(b.over(split))}")  # fmt: skip
                continue
            key = (label(a.spec) if by_method else "", *_shared(a.spec), split, attack)
            described = {name: read(a.spec) for name, read in SHARED.items()}
            where[key] = (({"method": label(a.spec)} if by_method else {}) | described, _names(a.info))
            groups.setdefault(key, []).append(
                (a.spec.seed, a.bits(split, attack, samples_a), b.bits(split, attack, samples_b))
            )
    if apart and not groups:
        raise StoreError(f"{apart[0]}; compare one attack with --attack, or run the same attacks for both.")
    single, pooled, alone = list[Result](), list[Result](), list[Result]()
    for key, members in groups.items():
        results = [((seed,), compare([(a, b)], level)) for seed, a, b in members]
        single += [(key, *result) for result in results]
        seeds = tuple(seed for seed, _, _ in members)
        whole = compare([(a, b) for _, a, b in members], level) if len(members) > 1 else results[0][1]
        (pooled if len(members) > 1 else alone).append((key, seeds, whole))
    return [
        *_judged(single, where, False, level), *_judged(pooled, where, True, level), *_judged(alone, where, True, level)
    ]  # fmt: skip


def _names(info: dict[str, Any]) -> dict[int, str]:
    return dict(enumerate(info.get("data", {}).get("class_names", [])))


def _judged(
    results: Sequence[Result],
    where: dict[tuple[Any, ...], tuple[dict[str, Any], dict[int, str]]], together: bool, level: float,
) -> list[Line]:  # fmt: skip
    """Lines with p corrected over all of them, and the class tests corrected over all classes of all of them."""
    adjusted = holm([result.p for _, _, result in results])
    by_class = iter(holm([test.p for _, _, result in results for test in result.classes]))
    return [
        Line(where[key][0], str(key[-2]), str(key[-1]), None if together else seeds[0], seeds, result, p, len(results),
             result.verdict(p, level), where[key][1], {test.label: next(by_class) for test in result.classes})
        for (key, seeds, result), p in zip(results, adjusted, strict=True)
    ]  # fmt: skip
