"""PGD-100 (Madry et al., ICLR 2018): 100 steps of 1/255 on cross-entropy from a uniform start, last iterate."""

from __future__ import annotations

from dataclasses import dataclass

from bench.api import register, setting

from ._pgd import SignAscent


@register("attacks")
class PGD100(SignAscent):
    """The paper's PGD-100 column."""

    name = "pgd-100"
    strength = 3

    @dataclass(frozen=True)
    class Params(SignAscent.Params):
        """As for every sign-gradient ascent."""

        steps: int = setting(100, low=1, help="iterations")
