"""AA+: AutoAttack, then rescaled logits, large steps from ten starts, and averages where outputs are random."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import Attack, register

from ._adaptive import ADAPTIVE
from ._autoattack import Chain


@register("attacks")
class AutoAttackPlus(Chain):
    """What it breaks beyond AutoAttack points at masked gradients. The stages before these are those of `aa`."""

    name = "aa-plus"
    strength = 5

    def stages(self) -> Sequence[Attack]:
        """AutoAttack's four parts and three more."""
        more = [part(self.settings(), self.threat, self.num_classes) for part in ADAPTIVE]
        return [*super().stages(), *more]

    def passes(self) -> tuple[float, float]:
        """AutoAttack's, and those of the further stages on an image that resists (outputs not random)."""
        forward, backward = super().passes()
        more = sum(part.restarts * part.iterations for part in ADAPTIVE[:2])
        return forward + more + 2.0, backward + more
