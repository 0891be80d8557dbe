"""What a trick is worth beside a method: gains of enhancers at an equal method, of methods at equal enhancers.

Every gain is a paired difference on the same images and seeds (`bench.judge.paired`): of the mean recall of all classes
(`balanced`), of the frequent and of the rare half (`head`, `tail`), or of the lowest recall of a class (`worst-class`),
as `bench compare` has them. Verdicts are corrected (Holm) over all gains of a setting and test split.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from bench.config import CellSpec, format_value, variant_label
from bench.judge.metrics import WORST_CLASS
from bench.judge.paired import VERDICTS, Bits, Comparison, compare, corrected
from bench.judge.pairs.cells import Cell, class_weights, finished, has_images
from bench.judge.pairs.lowest import compare_lowest
from bench.judge.pairs.partners import SHARED
from bench.judge.stats import LEVEL, Interval
from bench.store.results import Results, opened

SCOPES = ("balanced", "head", "tail", WORST_CLASS)
#: how a base without enhancers is called
ALONE = "alone"


@dataclass(frozen=True)
class Gain:
    """`what` (`+ema`, or `taet − at-bsl`) `at` what was equal (`at-bsl`, or `+ema`), as a fraction.

    `where`: the values of `SHARED`. `runs`: seeds that both have. `p`, `verdict`: corrected over the `family` of its
    setting and test split.
    """

    what: str
    at: str
    of_enhancer: bool
    where: dict[str, Any]
    test_split: str
    attack: str
    scope: str
    value: float
    images: Interval | None
    seeds: Interval | None
    p: float
    cells: tuple[str, ...]
    runs: int
    verdict: str = VERDICTS[1]
    family: int = 1


#: bits and class counts of one evaluation
Seen = tuple[Cell, Bits]


def attribution(store: Path | Results, level: float = LEVEL) -> list[Gain]:
    """All gains that the cells of a store allow: enhancers first, then methods. Empty where no cell has an enhancer."""
    families: dict[tuple[Any, ...], list[tuple[Gain, list[tuple[Seen, Seen]]]]] = defaultdict(list)
    for where, split, attack, cells in _evaluations(finished(opened(store))):
        bases = sorted({base for base, _ in cells})
        sets = sorted({trained for _, trained in cells}, key=lambda text: (text.count("+"), text))
        pairs = [((base, tricks), (base, ""), True) for base in bases for tricks in sets if tricks]
        pairs += [((a, tricks), (b, tricks), False) for tricks in sets for b, a in combinations(bases, 2)]
        for first, second, of_enhancer in pairs:
            one, other = cells.get(first, {}), cells.get(second, {})
            common = sorted(s for s in one.keys() & other.keys() if one[s][1].over == other[s][1].over)
            if common:
                seen = [(one[seed], other[seed]) for seed in common]
                what, at = (first[1], first[0]) if of_enhancer else (f"{first[0]} − {second[0]}", first[1] or ALONE)
                blank = Gain(
                    what,
                    at,
                    of_enhancer,
                    where,
                    split,
                    attack,
                    "",
                    0.0,
                    None,
                    None,
                    1.0,
                    tuple(cell.spec.id for pair in seen for cell, _ in pair),
                    len(seen),
                )
                told = [scope for scope in SCOPES if has_images(scope, seen[0][0][0].record, seen[0][0][1])]
                families[*map(str, where.values()), split] += [(replace(blank, scope=x), seen) for x in told]
    gains = [gain for family in families.values() for gain in _judged(family, level)]
    return sorted(gains, key=lambda gain: not gain.of_enhancer)


def _evaluations(
    cells: Sequence[Cell],
) -> Iterator[tuple[dict[str, Any], str, str, dict[tuple[str, str], dict[int, Seen]]]]:
    """(where, test split, attack, (base, enhancers) -> seed -> evaluation) of settings that have an enhanced cell."""
    groups: dict[tuple[Any, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[tuple(read(cell.spec) for read in SHARED.values()), cell.record.seen.data_hash].append(cell)
    for (key, _), members in groups.items():
        enhanced = {base_of(cell.spec) for cell in members if cell.spec.enhancers}
        found: dict[tuple[str, str], dict[tuple[str, str], dict[int, Seen]]] = defaultdict(lambda: defaultdict(dict))
        for cell in members:
            if base_of(cell.spec) not in enhanced:
                continue
            for split in sorted(cell.splits()):
                for attack, own in _named(cell, split, members).items():
                    bits = cell.bits(split, own)
                    found[split, attack][base_of(cell.spec), cell.spec.enhanced][cell.spec.seed] = cell, bits
        for (split, attack), by_method in found.items():
            yield dict(zip(SHARED, key, strict=True)), split, attack, by_method


def _named(cell: Cell, split: str, members: Sequence[Cell]) -> dict[str, str]:
    """What a cell was evaluated under, by the name under which it is compared: an audit's is also the full chain's."""
    named = {label: label for label in sorted(cell.evaluated(split))}
    audits = {label: some.audit.continues for one in members for label, some in one.audits(split).items()}
    return {label: own for label, chain in sorted(audits.items()) if (own := cell.of_chain(split, chain))} | named


def base_of(spec: CellSpec) -> str:
    """The method with its own settings, without enhancers."""
    return variant_label(spec.method, {}) + (f"[{spec.variant}]" if spec.variant else "")


def _compared(gain: Gain, seen: Sequence[tuple[Seen, Seen]], level: float) -> Comparison:
    """One scope of a gain."""
    pairs = [(a, b) for (_, a), (_, b) in seen]
    if gain.scope == WORST_CLASS:
        return compare_lowest(pairs, level)
    return compare(pairs, level, weights=class_weights(gain.scope, seen[0][0][0].record, seen[0][0][1]))


def _judged(family: Sequence[tuple[Gain, Sequence[tuple[Seen, Seen]]]], level: float) -> list[Gain]:
    """The gains of a setting and test split with verdicts, corrected over all of them."""
    found = [_compared(gain, seen, level) for gain, seen in family]
    return [
        replace(
            gain,
            value=one.difference,
            images=one.images,
            seeds=one.seeds,
            p=adjusted,
            verdict=one.verdict(adjusted, level),
            family=len(family),
        )
        for (gain, _), one, adjusted in zip(family, found, corrected(found, level), strict=True)
    ]


def setting_of(gain: Gain) -> str:
    """`digitslt, IR 10, small-cnn, paper recipe, epochs=20 of 100`: where a gain was measured."""
    w = gain.where
    ratio = "natural imbalance" if w["ir"] is None else f"IR {format_value(w['ir'])}"
    parts = (w["dataset"], ratio, w["model"], f"{w['recipe']} recipe", w["reduced"], f"{gain.test_split} test split")
    return ", ".join(part for part in parts if part)
