"""FGSM (Goodfellow et al., ICLR 2015): one step of the sign of the cross-entropy gradient, from the image itself."""

from __future__ import annotations

from dataclasses import dataclass

from bench.api import register, setting

from ._pgd import START, SignAscent


@register("attacks")
class FGSM(SignAscent):
    """x + eps sign(gradient of CE), clamped to [0,1]. AT-BSL's variant is `fgsm[start=gaussian]`."""

    name = "fgsm"
    strength = 1
    small = {}

    @dataclass(frozen=True)
    class Params:
        """Radius and start, at the reference radius 8/255; the one step is as long as the radius."""

        eps: float = setting(8 / 255, above=0.0, high=1.0, help="radius on the [0,1] scale")
        start: str = setting("image", choices=tuple(START), help="first point")

        @property
        def step(self) -> float:
            """The step is the radius."""
            return self.eps

        @property
        def steps(self) -> int:
            """One."""
            return 1
