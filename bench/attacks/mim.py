"""MIM (Dong et al., CVPR 2018): 20 steps of sign ascent along a running sum of normalised gradients."""

from __future__ import annotations

from dataclasses import dataclass

from bench.api import register, setting

from ._pgd import START, SignAscent


@register("attacks")
class MIM(SignAscent):
    """g <- decay g + gradient / mean |gradient|, with decay 1, from the image itself.

    RoBal's evaluation, which divides by the mean too, starts at random: `mim[start=uniform]`.
    """

    name = "mim"
    momentum = 1.0

    @dataclass(frozen=True)
    class Params(SignAscent.Params):
        """As for every sign-gradient ascent."""

        step: float = setting(2 / 255, above=0.0, high=1.0, help="step on the [0,1] scale")
        start: str = setting("image", choices=tuple(START), help="first point")
