"""AutoAttack standard (Croce and Hein, ICML 2020): APGD-CE, APGD-T, FAB-T, Square; 100 iterations, 5000 queries."""

from __future__ import annotations

from bench.api import register

from ._autoattack import Chain


@register("attacks")
class AutoAttack(Chain):
    """The reference settings for any number of classes: min(9, C - 1) targets.

    `aa` runs our engine; `aa[engine=reference]` runs the authors' program; `aa[order=reference]` runs our engine on the
    authors' random numbers, which gives the authors' verdicts image by image (tested).
    """

    name = "aa"
    strength = 4
