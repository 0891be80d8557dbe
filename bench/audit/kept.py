"""What is kept of an audit, as cell.json holds it: all numbers and intervals are fractions."""

from __future__ import annotations

from typing import Annotated

import msgspec


class KeptPlan(msgspec.Struct, frozen=True):
    """Images of each class that were to meet the two early stages, draws of the late ones, and forward passes."""

    first: list[float] = []
    second: list[float] = []
    draws: float = 0
    bound: float = 0
    passes: float = 0


class Kept(msgspec.Struct, frozen=True):
    """`whole`: every image met every stage, so its bits are verdicts. `continues`: the chain that it is an audit of.

    By class: `early` the share that stands after the early stages, `shares` the one after all, `added` the variance of
    the audit; by early stage and class: `seen` and `stood` images. `draws`, `broken`: of the late stages, up to `look`.
    `audit`, `sampling`: the chain's balanced accuracy on these images, and on others.
    """

    whole: bool
    gap: bool
    continues: Annotated[str, msgspec.Meta(min_length=1)]
    balanced: float
    audit: tuple[float, float]
    sampling: tuple[float, float]
    late: tuple[float, float] = (0.0, 0.0)
    plan: KeptPlan = KeptPlan()
    seen: list[list[float]] = []
    stood: list[list[float]] = []
    draws: list[float] = []
    broken: list[float] = []
    look: int = 0
    early: list[float] = []
    shares: list[float] = []
    added: list[float] = []

    def of(self, classes: int) -> bool:
        """Whether everything that is said by class is said of so many of them, and of both early stages."""
        late = (self.draws, self.broken, self.early, self.shares, self.added)
        some = (self.plan.first, self.plan.second, *self.seen, *self.stood, *late)
        return len(self.seen) == len(self.stood) == 2 and all(len(one) == classes for one in some)
