"""PGD-20 (Madry et al., ICLR 2018): 20 steps of 1/255 on cross-entropy from a uniform start, last iterate."""

from __future__ import annotations

from dataclasses import dataclass

from bench.api import register, setting

from ._pgd import SignAscent


@register("attacks")
class PGD20(SignAscent):
    """The paper's PGD-20 column; AT-BSL's own evaluation is `pgd-20[step=2/255,start=uniform]`."""

    name = "pgd-20"
    strength = 2

    @dataclass(frozen=True)
    class Params(SignAscent.Params):
        """As for every sign-gradient ascent."""

        steps: int = setting(20, low=1, help="iterations")
