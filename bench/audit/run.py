"""An audit from the first image to the interval, whoever attacks: the suite, or a simulation.

Pilot, plan, both early stages on prefixes of each class's order, then the late stages on draws, block by block, until a
look finds nothing broken or the blocks end. A share above `bench.audit.late.GAP` is a gap: then everything is attacked,
and the result is the full chain's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.audit import late
from bench.audit.estimate import Audited, Counts, estimate
from bench.audit.order import Ints, ordered
from bench.audit.plan import PILOT, Goal, Rates, allocate, pilot_rates, tolerance
from bench.seeding import numpy_stream

#: stages whose breaks are many; the rest of a chain is late, and has few
EARLY = 2
Bools = npt.NDArray[np.bool_]
#: images attacked early for each that the first late block is expected to need
SPARE = 1.2
#: (number of the stage, positions) -> which of these images still stand
Attacker = Callable[[int, Ints], Bools]


@dataclass(frozen=True)
class Plan:
    """Images of each class (right without attack, in audit order) that the early stages see; draws of the first late
    block (0: everything is attacked), the bound of the late share above which further blocks follow, and forward
    passes expected.
    """

    first: Ints
    second: Ints
    draws: int
    bound: float
    passes: float

    def lines(self, names: Sequence[str]) -> list[str]:
        """The plan in words."""
        each = ", ".join(f"{name} {a}/{b}" for name, a, b in zip(names, self.first, self.second, strict=True))
        late = f"{self.draws} weighted draws at first" if self.draws else "every image that stands"
        return [
            f"images that the first/second stage sees, by class: {each}",
            f"late stages: {late}; about {self.passes:,.0f} forward passes",
        ]


@dataclass(frozen=True)
class Audit:
    """The outcome. `passed` (int8 N): stages that an image stood, `broken` (bool N): whether the next one broke it, or
    it was wrong without attack. An image that is neither broken nor through was not attacked by its next stage.
    """

    passed: npt.NDArray[np.int8]
    broken: Bools
    plan: Plan
    counts: Counts
    result: Audited
    gap: bool


def predicted(n: Ints, goal: Goal, costs: Sequence[float]) -> Plan:
    """The plan for class counts `n` with typical rates: 80 % right, 40 % stand stage 1, 86 % of those stage 2."""
    clean = np.round(0.8 * np.asarray(n)).astype(np.int64)
    share = np.ones(len(clean))
    return _plan(Rates(np.asarray(n), clean, 0.4 * share, 0.86 * share, (costs[0], costs[1])), goal, costs)


def _plan(rates: Rates, goal: Goal, costs: Sequence[float]) -> Plan:
    """Sizes for the goal; the early stages see enough of each class for its part of the first late block."""
    first, second = allocate(rates, goal)
    bound = tolerance(rates, goal)
    if bound <= 0:  # the full evaluation itself is not that sure
        everyone = rates.clean.astype(np.int64)
        standing = float((everyone * rates.first * rates.second).sum())
        return Plan(everyone, everyone, 0, 0.0, rates.passes(everyone, everyone) + standing * sum(costs[EARLY:]))
    draws = late.first_block(bound)
    stand = rates.first * rates.second
    wanted = np.minimum(np.ceil(SPARE * draws * _chances(rates) / stand).astype(np.int64), rates.clean)
    first, second = np.maximum(first, wanted), np.maximum(second, wanted)
    drawn = np.minimum(draws * _chances(rates), second * stand).sum()
    passes = rates.passes(first, second) + float(drawn) * sum(costs[EARLY:])
    return Plan(first, second, draws, bound, passes)


def _chances(rates: Rates) -> npt.NDArray[np.float64]:
    heavy = rates.weights * rates.clean / np.maximum(rates.n, 1) * rates.first * rates.second
    return heavy / max(float(heavy.sum()), 1e-12)


class _Chain:
    """Which images have passed which stage, with the attacks that find out."""

    def __init__(self, clean: Bools, stages: int, attack: Attacker) -> None:
        self.passed, self.broken = np.zeros(len(clean), np.int8), ~clean
        self.stages, self.attack = stages, attack

    def through(self, stage: int, positions: Ints) -> None:
        """Those of the positions that still stand meet every stage up to this one that they have not met."""
        for number in range(stage + 1):
            wanted = positions[~self.broken[positions] & (self.passed[positions] == number)]
            if len(wanted):
                stands = self.attack(number, wanted)
                self.passed[wanted[stands]] += 1
                self.broken[wanted[~stands]] = True

    def seen(self, stage: int, members: Ints) -> tuple[int, int]:
        """(attacked by the stage, of those unbroken by it) among images that are right without attack."""
        passed, broken = self.passed[members], self.broken[members]
        stood = int((passed > stage).sum())
        return stood + int((broken & (passed == stage)).sum()), stood

    def standing(self, members: Ints) -> Ints:
        """Those that stood the early stages, in order."""
        return members[self.passed[members] >= EARLY]


def run(
    indices: Ints, labels: Ints, clean: Bools, classes: int, costs: Sequence[float], goal: Goal, attack: Attacker
) -> Audit:
    """Audit a chain of len(costs) stages on a test set of N images; `costs`: passes of each stage on a survivor."""
    right = [members[clean[members]] for members in ordered(indices, labels, classes)]
    n, well = np.bincount(labels, minlength=classes), np.array([len(members) for members in right])
    chain = _Chain(clean, len(costs), attack)
    chain.through(EARLY - 1, _first(right, np.full(classes, PILOT)))
    rates = pilot_rates(n, well, *_early(chain, right), (costs[0], costs[1]))
    plan = _plan(rates, goal, costs)
    chain.through(0, _first(right, plan.first))
    chain.through(EARLY - 1, _first(right, plan.second))
    counts, gap = _late(chain, right, n, well, plan)
    if gap or not plan.draws:
        chain.through(len(costs) - 1, np.concatenate(right))
        counts = _whole(chain, right, n, well, counts)
    return Audit(chain.passed, chain.broken, plan, counts, estimate(counts), gap)


def _first(right: Sequence[Ints], sizes: Ints) -> Ints:
    return np.concatenate([members[:size] for members, size in zip(right, sizes, strict=True)])


def _early(chain: _Chain, right: Sequence[Ints]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(seen, stood), 2 x classes each, of images whose number was fixed before they were seen."""
    both = np.array([[chain.seen(stage, members) for members in right] for stage in range(EARLY)], dtype=float)
    return both[..., 0], both[..., 1]


def _late(chain: _Chain, right: Sequence[Ints], n: Ints, well: Ints, plan: Plan) -> tuple[Counts, bool]:
    """The late stages' draws, and whether they found a gap."""
    early = _early(chain, right)  # images that later draws ask for come until enough stand: they would bias it
    there = (n > 0) / max(int((n > 0).sum()), 1)
    heavy = there * well / np.maximum(n, 1) * np.prod(early[1] / np.maximum(early[0], 1), axis=0)
    none = np.zeros(len(n))
    if heavy.sum() == 0 or not plan.draws:
        return Counts(n.astype(float), well.astype(float), *early, none, none, 0, whole=True), False
    uniform = numpy_stream(0, "audit", "draws").random(late.total(plan.draws, len(late.SPENT) - 1))
    for look in range(len(late.SPENT)):
        total = late.total(plan.draws, look)
        draws = np.bincount(late.draw(heavy, uniform[:total]), minlength=len(n))
        broken = np.array([_drawn(chain, *pair) for pair in zip(right, draws.tolist(), strict=True)], dtype=float)
        counts, lost = (
            Counts(n.astype(float), well.astype(float), *early, draws.astype(float), broken, look, bound=plan.bound),
            int(broken.sum()),
        )
        if late.is_gap(lost, total):
            return counts, True
        if not late.goes_on(lost, total, look, plan.bound):
            break
    if all((chain.broken[m] | (chain.passed[m] == chain.stages)).all() for m in right):
        counts = _whole(chain, right, n, well, counts)
    return counts, False


def _drawn(chain: _Chain, members: Ints, draws: int) -> int:
    """Draws of a class that the late stages break: its standing images in order, again from the first where they end.

    Where fewer stand than are drawn, further images of the class meet the early stages, while there are any.
    """
    reached = int((chain.passed[members] > 0).sum() + (chain.broken[members]).sum())
    while draws and len(chain.standing(members)) < draws and reached < len(members):
        reached = min(reached + max(draws - len(chain.standing(members)), PILOT), len(members))
        chain.through(EARLY - 1, members[:reached])
    standing = chain.standing(members)[:draws]
    if not len(standing):
        return 0
    chain.through(chain.stages - 1, standing)
    return int(chain.broken[standing[np.arange(draws) % len(standing)]].sum())


def _whole(chain: _Chain, right: Sequence[Ints], n: Ints, well: Ints, counts: Counts) -> Counts:
    """Counts where the late stages saw everything: a draw each of the images that stood the early ones."""
    standing = np.array([len(chain.standing(m)) for m in right], dtype=float)
    lost = np.array([chain.broken[chain.standing(m)].sum() for m in right], dtype=float)
    weight = np.divide(1.0, n, out=np.zeros(len(n)), where=n > 0)
    return Counts(
        n.astype(float),
        well.astype(float),
        *_early(chain, right),
        standing * weight,
        lost * weight,
        counts.look,
        whole=True,
    )
