"""LSA: PGD-20 on the cross-entropy of logits multiplied by 10 (AT-BSL's logit-scaling attack)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from bench.api import register, setting

from ._pgd import START, SignAscent, cross_entropy_of


@register("attacks")
class LSA(SignAscent):
    """Sign ascent of CE(scale z, y): small logits no longer flatten the softmax."""

    name = "lsa"

    @dataclass(frozen=True)
    class Params(SignAscent.Params):
        """As for every sign-gradient ascent, and the factor on the logits."""

        step: float = setting(2 / 255, above=0.0, high=1.0, help="step on the [0,1] scale")
        start: str = setting("uniform", choices=tuple(START), help="first point")
        scale: float = setting(10.0, above=0.0, help="factor on the logits")

    def objective(self, y: Tensor) -> Callable[[Tensor], Tensor]:
        """Cross-entropy of the scaled logits."""
        return cross_entropy_of(y, self.params.scale)
