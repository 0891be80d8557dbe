"""CW-inf: 20 steps of 2/255 of sign ascent on the margin loss inside the l_inf ball (AT-BSL's evaluation)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from bench.api import register, setting

from ._pgd import START, SignAscent, margin


@register("attacks")
class CWLinf(SignAscent):
    """Ascends -max(z_y - max_{k != y} z_k + kappa, 0) from x + U(-eps, eps), not clamped before the first gradient.

    It shares the loss of Carlini and Wagner (S&P 2017) with `cw-l2` and nothing else; the two are never one column.
    RoBal's evaluation is the same with its own radius and step.
    """

    name = "cw-linf"

    @dataclass(frozen=True)
    class Params(SignAscent.Params):
        """As for every sign-gradient ascent, and the margin up to which a misclassified image is still pushed."""

        step: float = setting(2 / 255, above=0.0, high=1.0, help="step on the [0,1] scale")
        start: str = setting("uniform", choices=tuple(START), help="first point")
        kappa: float = setting(50.0, low=0.0, help="margin at which an image is left alone")

    def objective(self, y: Tensor) -> Callable[[Tensor], Tensor]:
        """The negative margin, cut off at -kappa."""
        return lambda z: -(margin(z, y) + self.params.kappa).clamp_min(0).sum()
