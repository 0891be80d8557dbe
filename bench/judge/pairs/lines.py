"""The lines of a comparison: every pair of evaluations by seed and pooled over seeds, judged and corrected together.

What a comparison is about are no attack and AutoAttack: their lines are primary, and their p is corrected among them
alone. Other attacks are secondary: their p is corrected among all lines, so that asking for them costs the primary ones
nothing. Without AutoAttack the worst case over attacks stands for it, and without that, or where attacks are named, all
lines are primary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.config import CellSpec, parse_variant
from bench.judge import metrics
from bench.judge.doubt import against
from bench.judge.paired import Bits, Comparison, compare, corrected, holm
from bench.judge.pairs.cells import AGAINST, Cell, Common, class_weights
from bench.judge.pairs.lowest import compare_lowest
from bench.judge.pairs.partners import SHARED, same_source
from bench.judge.pairs.wanted import Wanted
from bench.store.rows import WORST

#: attacks, by their names without settings, that a comparison is about: none, and the first of these that there are
UNATTACKED, PRIMARY = "clean", ({"aa", "aa-audited"}, {WORST})


@dataclass(frozen=True)
class Line:
    """One line of a comparison: where (`SHARED`, test split, attack), which seed (None: all pooled), and the result.

    `p` is corrected (Holm) over `family` lines of its kind: single seeds among themselves, those pooled over several,
    and those of one alone, which repeat it; a primary line's over the primary ones, another's over all. The intervals
    of `comparison` are those of this line alone. `audited`: an audit has part in it. `flags`: of A and of B, those by
    which its number may be no measure of robustness.
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
    flags: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


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

    def flags(self, seeds: Sequence[int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Of A and of B over these seeds: the flags by which the number must not be called best."""
        sides = [(a.flags, b.flags) for seed, a, b in self.members if seed in seeds]
        return against(a for a, _ in sides), against(b for _, b in sides)


def place_of(spec: CellSpec) -> dict[str, Any]:
    """What two rivals share, by name."""
    return {name: read(spec) for name, read in SHARED.items()}


def lines_of(
    pairs: Sequence[tuple[Cell, Cell]], wanted: Wanted, place: Callable[[CellSpec], dict[str, Any]] = place_of
) -> list[Line]:
    """All lines of these pairs: single seeds first, then pooled, each corrected by Holm. `place`: what two share."""
    groups: dict[tuple[Any, ...], Group] = {}
    for a, b in pairs:
        same_source(a, b)
        for what in wanted.shared(a, b):
            where = place(a.spec)
            key = (*where.values(), what)
            both = a.bits(what.split, what.a), b.bits(what.split, what.b)
            names = dict(enumerate(a.record.seen.class_names))
            blank = Group(where, what, names, class_weights(wanted.metric, a.record, both[0]), [])
            groups.setdefault(key, blank).members.append((a.spec.seed, *both))
    if not wanted.attacks:
        _rank(groups.values())
    single, pooled, alone = list[Result](), list[Result](), list[Result]()
    for group in groups.values():
        results = [((seed,), _compared([(a, b)], group, wanted)) for seed, a, b in group.members]
        single += [(group, *result) for result in results]
        seeds = tuple(seed for seed, _, _ in group.members)
        many = len(group.members) > 1
        whole = _compared([(a, b) for _, a, b in group.members], group, wanted) if many else results[0][1]
        (pooled if many else alone).append((group, seeds, whole))
    kinds = ((single, False), (pooled, True), (alone, True))
    return [line for results, together in kinds for line in _judged(results, together, wanted.level)]


#: what a line is about, its seeds, and what came out
Result = tuple[Group, tuple[int, ...], Comparison]


def _compared(pairs: Sequence[tuple[Bits, Bits]], group: Group, wanted: Wanted) -> Comparison:
    if wanted.metric == metrics.WORST_CLASS:
        return compare_lowest(pairs, wanted.level)
    return compare(pairs, wanted.level, weights=group.weights)


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
    everyone = corrected([result for _, _, result in results], level)
    first = dict(zip(chosen, corrected([results[i][2] for i in chosen], level), strict=True))
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
                group.flags(seeds),
            )
        )
    return lines
