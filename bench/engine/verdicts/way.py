"""How far an attack is on its whole way: its stages cost unlike amounts, and each meets only what still stands."""

from __future__ import annotations

from collections.abc import Sequence


class Way:
    """The stages of one attack on `images` images; what is left shrinks with every image that falls."""

    def __init__(self, costs: Sequence[float], stages: int, images: int) -> None:
        self.costs = [float(cost) for cost in costs] if len(costs) == stages and min(costs) > 0 else [1.0] * stages
        self.images, self._spent = images, [0.0] * stages

    def at(self, stage: int, done: int, of: int, standing: int) -> int:
        """Images of `images` that the work so far is worth, once `done` of `of` have met a stage.

        `standing`: images that no stage has broken so far, which all later stages may have to meet. Never falls, and
        is `images` only at the end of the last stage.
        """
        self._spent[stage] = self.costs[stage] * done
        spent = sum(self._spent)
        left = self.costs[stage] * (of - done) + sum(self.costs[stage + 1 :]) * standing
        share = spent / (spent + left) if left else 1.0
        return min(int(share * self.images), self.images - 1) if left else self.images
