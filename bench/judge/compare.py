"""Evaluations that belong together, compared pairwise: two methods, one method in two settings, one cell in two stores.

What a comparison is about are no attack and AutoAttack: their lines are primary, and their p is corrected among them
alone. Other attacks are secondary: their p is corrected among all lines, so that asking for them costs the primary ones
nothing. Without AutoAttack the worst case over attacks stands for it, and without that, or where attacks are named, all
lines are primary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.config import CellSpec, parse_variant
from bench.errors import StoreError
from bench.judge import metrics
from bench.judge.paired import Bits, Comparison, compare, holm
from bench.judge.pairs.across import Across
from bench.judge.pairs.cells import AGAINST, Cell, Common, common, finished
from bench.judge.pairs.lowest import compare_lowest
from bench.judge.pairs.partners import SHARED, apart, full, rivals, same_source
from bench.judge.selected import check_attacks, filtered, label, of_method, run_command
from bench.judge.stats import LEVEL
from bench.store.parts.record import CellRecord
from bench.store.results import Results, opened
from bench.store.rows import WORST
from bench.store.where import canonical

#: metrics that can be compared
METRICS = metrics.METRICS
#: attacks, by their names without settings, that a comparison is about: none, and the first of these that there are
UNATTACKED, PRIMARY = "clean", ({"aa", "aa-audited"}, {WORST})


@dataclass(frozen=True)
class Line:
    """One line of a comparison: where (`SHARED`, test split, attack), which seed (None: all pooled), and the result.

    `p` is corrected (Holm) over `family` lines of its kind: single seeds among themselves, those pooled over several,
    and those of one alone, which repeat it; a primary line's over the primary ones, another's over all. The intervals
    of `comparison` are those of this line alone. `audited`: an audit has part in it.
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
    primary: bool
    audited: bool


@dataclass
class Group:
    """All seeds of one line: where it stands, what is compared, and the pairs."""

    where: dict[str, Any]
    what: Common
    names: dict[int, str]
    weights: dict[int, float] | None
    members: list[tuple[int, Bits, Bits]]
    primary: bool = True

    @property
    def about(self) -> set[str]:
        """Names of its attacks without their settings."""
        return {parse_variant(part)[0] for part in self.what.name.split(AGAINST)}

    @property
    def audited(self) -> bool:
        """Whether an audit has part in it."""
        return any(bits.audit is not None for _, a, b in self.members for bits in (a, b))


@dataclass(frozen=True)
class Question:
    """What is asked of pairs: attacks (empty: all), a test split (empty: any), a metric, the coverage of intervals."""

    attacks: tuple[str, ...] = ()
    test_split: str = ""
    metric: str = "balanced"
    level: float = LEVEL

    def wants(self, what: Common) -> bool:
        """Whether it is about this."""
        return not self.attacks or bool(what.labels & {*self.attacks})


def compare_methods(
    store: Path | Results,
    a: str,
    b: str,
    *,
    attacks: Sequence[str] = (),
    dataset: str = "",
    ir: str = "",
    test_split: str = "",
    level: float = LEVEL,
    metric: str = "balanced",
) -> list[Line]:
    """Method `a` minus method `b` (each `name` or `name[setting=value]`) for every seed, and pooled over seeds.

    Empty `attacks`, `dataset`, `ir`, `test_split` mean all. Raises UsageError for a method, data set or ratio that is
    not in the store and an attack that does not exist, StoreError when no two evaluations belong together, which names
    what keeps the nearest apart.
    """
    asked = Question(tuple(canonical(attack) for attack in attacks), test_split, metric, level)
    found = opened(store)
    root, everywhere = found.root, finished(found)
    cells = filtered(everywhere, root, dataset=dataset, ir=ir)
    first, second = of_method(cells, a, everywhere), of_method(cells, b, everywhere)
    pairs = rivals(first, second)
    check_attacks(asked.attacks, set[str]().union(*(c.evaluated() for c in (*first, *second))))
    lacking = _lacking(pairs, asked)
    lines = [] if lacking else _lines(pairs, asked)
    if not lines:
        under = f" under {', '.join(lacking)}" if lacking else ""
        where = f" on the {test_split} test split" if test_split else ""
        command = run_command(
            first,
            (a, b),
            asked.attacks or first[0].evaluated(),
            {test_split} if test_split else first[0].splits(),
            root,
        )
        why = _why_not(first, second, pairs, asked, (a, b))
        raise StoreError(
            f"{root} holds no evaluations of {a} and {b}{under}{where} that belong together: {why}; run `{command}`."
        )
    return lines


def _why_not(
    first: Sequence[Cell],
    second: Sequence[Cell],
    pairs: Sequence[tuple[Cell, Cell]],
    asked: Question,
    names: tuple[str, str],
) -> str:
    """What keeps two methods' cells, or their evaluations, apart."""
    if not pairs:
        return apart(first, second, names)
    if asked.attacks == (WORST,):
        told = [", ".join(cell.over(asked.test_split or sorted(cell.splits())[0])) or "no attack" for cell in pairs[0]]
        return f"the worst case is over {told[0]} in {names[0]}, over {told[1]} in {names[1]}"
    told = [", ".join(sorted(cell.evaluated(asked.test_split))) or "nothing" for cell in pairs[0]]
    return f"{names[0]} was evaluated under {told[0]}, {names[1]} under {told[1]}"


def _lacking(pairs: Iterable[tuple[Cell, Cell]], asked: Question) -> list[str]:
    """Those wanted attacks that no pair was evaluated with."""
    both = set[str]().union(*(what.labels for a, b in pairs for what in common(a, b, asked.test_split)))
    return [attack for attack in asked.attacks if attack not in both]


def compare_across(
    store: Path | Results,
    method: str,
    across: str,
    *,
    attacks: Sequence[str] = (),
    dataset: str = "",
    ir: str = "",
    test_split: str = "",
    level: float = LEVEL,
    metric: str = "balanced",
) -> list[Line]:
    """One method in two settings of the protocol, the first minus the second: `across` is `precision=bf16,fp32`.

    All but that coordinate is equal, so the difference is what it does. Raises UsageError for a coordinate or a value
    that there is not, StoreError when no two evaluations belong together.
    """
    asked, between = Question(tuple(map(canonical, attacks)), test_split, metric, level), Across.parse(across)
    found = opened(store)
    everywhere = finished(found)
    cells = of_method(filtered(everywhere, found.root, dataset=dataset, ir=ir), method, everywhere)
    first, second = between.sides(cells)
    pairs = between.pairs(first, second)
    check_attacks(asked.attacks, set[str]().union(*(c.evaluated() for c in cells)))
    lines = [] if _lacking(pairs, asked) else _lines(pairs, asked, between.place)
    if not lines:
        names = (f"{between.name} {between.first}", f"{between.name} {between.second}")
        why = "" if pairs else apart(first, second, names, besides=between.name)
        raise StoreError(
            f"{found.root} holds no evaluations of {method} that differ in {between.name} alone: "
            f"{why or 'its cells share no evaluation'}."
        )
    return lines


def compare_stores(
    a: Path | Results,
    b: Path | Results,
    *,
    attacks: Sequence[str] = (),
    dataset: str = "",
    ir: str = "",
    test_split: str = "",
    level: float = LEVEL,
    metric: str = "balanced",
) -> list[Line]:
    """Every cell of store A minus the same cell (same method, settings and seed) of store B, and pooled over seeds.

    Raises StoreError when they share no evaluation.
    """
    asked = Question(tuple(canonical(attack) for attack in attacks), test_split, metric, level)
    store_a, store_b = opened(a), opened(b)
    root_a, root_b = store_a.root, store_b.root
    other = {full(c.spec): c for c in finished(store_b)}
    mine = filtered(finished(store_a), root_a, dataset=dataset, ir=ir)
    pairs = [(c, other[full(c.spec)]) for c in mine if full(c.spec) in other]
    check_attacks(asked.attacks, set[str]().union(*(c.evaluated() for c in (*mine, *other.values()))))
    lacking = _lacking(pairs, asked)
    lines = [] if lacking else _lines(pairs, asked, lambda spec: {"method": label(spec)} | _place(spec))
    if not lines:
        under = f" under {', '.join(lacking)}" if lacking else ""
        why = "" if pairs else apart(mine, other.values(), (str(root_a), str(root_b)))
        raise StoreError(
            f"{root_a} and {root_b} share no evaluation of one cell{under}{f' ({why})' if why else ''}; "
            "give two stores of one grid."
        )
    return lines


def _place(spec: CellSpec) -> dict[str, Any]:
    """What two rivals share, by name."""
    return {name: read(spec) for name, read in SHARED.items()}


def _lines(
    pairs: Sequence[tuple[Cell, Cell]], asked: Question, place: Callable[[CellSpec], dict[str, Any]] = _place
) -> list[Line]:
    """All lines of these pairs: single seeds first, then pooled, each corrected by Holm. `place`: what two share."""
    groups: dict[tuple[Any, ...], Group] = {}
    for a, b in pairs:
        same_source(a, b)
        for what in filter(asked.wants, common(a, b, asked.test_split)):
            where = place(a.spec)
            key = (*where.values(), what)
            both = a.bits(what.split, what.a), b.bits(what.split, what.b)
            names = dict(enumerate(a.record.seen.class_names))
            blank = Group(where, what, names, class_weights(asked.metric, a.record, both[0]), [])
            groups.setdefault(key, blank).members.append((a.spec.seed, *both))
    if not asked.attacks:
        _rank(groups.values())
    single, pooled, alone = list[Result](), list[Result](), list[Result]()
    for group in groups.values():
        results = [((seed,), _compared([(a, b)], group, asked)) for seed, a, b in group.members]
        single += [(group, *result) for result in results]
        seeds = tuple(seed for seed, _, _ in group.members)
        many = len(group.members) > 1
        whole = _compared([(a, b) for _, a, b in group.members], group, asked) if many else results[0][1]
        (pooled if many else alone).append((group, seeds, whole))
    kinds = ((single, False), (pooled, True), (alone, True))
    return [line for results, together in kinds for line in _judged(results, together, asked.level)]


#: what a line is about, its seeds, and what came out
Result = tuple[Group, tuple[int, ...], Comparison]


def _compared(pairs: Sequence[tuple[Bits, Bits]], group: Group, asked: Question) -> Comparison:
    if asked.metric == metrics.WORST_CLASS:
        return compare_lowest(pairs, asked.level)
    return compare(pairs, asked.level, weights=group.weights)


def class_weights(metric: str, cell: CellRecord, bits: Bits) -> dict[int, float] | None:
    """How much each class counts in a metric; None where all count alike, or it is no mean of classes."""
    if metric not in metrics.AMOUNTS or metric == "balanced":
        return None
    order = cell.seen.frequent_first
    n = np.bincount(bits.label, minlength=len(order))
    return dict(zip(order, metrics.weights(metric, n[order]).tolist(), strict=True))


def _rank(groups: Iterable[Group]) -> None:
    """Make secondary what each setting and test split is not about."""
    places: dict[tuple[Any, ...], list[Group]] = {}
    for group in groups:
        places.setdefault((*group.where.items(), group.what.split), []).append(group)
    for some in places.values():
        attack = next((names for names in PRIMARY if any(group.about <= names for group in some)), None)
        for group in some:
            group.primary = attack is None or group.about <= attack | {UNATTACKED}


def _judged(results: Sequence[Result], together: bool, level: float) -> list[Line]:
    """Lines with p corrected over their family, and the class tests corrected over all classes of all of them."""
    chosen = [i for i, (group, _, _) in enumerate(results) if group.primary]
    everyone = holm([result.p for _, _, result in results])
    first = dict(zip(chosen, holm([results[i][2].p for i in chosen]), strict=True))
    by_class = iter(holm([test.p for _, _, result in results for test in result.classes]))
    lines = []
    for i, (group, seeds, result) in enumerate(results):
        p, family = (first[i], len(chosen)) if i in first else (everyone[i], len(results))
        lines.append(
            Line(
                group.where,
                group.what.split,
                group.what.name,
                None if together else seeds[0],
                seeds,
                result,
                p,
                family,
                result.verdict(p, level),
                group.names,
                {test.label: next(by_class) for test in result.classes},
                i in first,
                group.audited,
            )
        )
    return lines
