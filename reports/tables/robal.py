"""RoBal's table: the baselines of its paper, losses, heads, second stages, and RoBal itself."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import register
from bench.reports.source import Config
from bench.reports.table import RowSpec
from bench.reports.tables._others import OtherPaper, parts

KINDS = {
    "loss": ("plain", "bce", "focal", "cb", "ldam", "cdt", "la", "he", "cos"),
    "inference": ("tde", "tau-norm", "la-posthoc", "cdt-posthoc"),
    "second stage": ("rw-fine", "crt", "lws"),
    "RoBal": ("robal",),
}
#: rows without which a store is not about this paper
OWN = {name for kind in ("loss", "inference", "second stage") for name in KINDS[kind]} - {"he"}


@register("tables")
class RoBal(OtherPaper):
    """There where at least two of its baselines are."""

    name = "robal"
    number = 92
    caption = "RoBal: the baselines of its paper"
    heads = ("Kind", "Method")
    attacks = ("clean", "fgsm", "pgd-20", "mim", "cw-linf", "aa")
    notes = (
        "tail 80 %: mean recall of the rarest 80 % of the classes.",
        "The released schedule freezes most of a training (docs/methods.md); recipe=official has it.",
    )

    def rows(self, configs: Sequence[Config]) -> list[tuple[RowSpec, Config]]:
        """Kind by kind, in the order of the paper's list."""
        alone = {c: parts(c)[0] for c in configs if not parts(c)[1]}
        if len({*alone.values()} & OWN) < 2:
            return []
        return [
            (RowSpec((kind, c.label)), c)
            for kind, names in KINDS.items()
            for name in names
            for c in sorted((c for c, method in alone.items() if method == name), key=lambda c: c.label)
        ]
