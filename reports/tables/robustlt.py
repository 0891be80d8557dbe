"""RobustLT's table: bases alone and wrapped, all classes and the rarest 80 %, beside what third parties report."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from bench.api import register
from bench.judge import reference
from bench.reports.model import PaperNumber
from bench.reports.source import Config
from bench.reports.table import RowSpec
from bench.reports.tables._others import OtherPaper, parts
from bench.store.where import Where, off_protocol

WRAPPER = "robustlt"
#: method and other enhancers -> the base as the paper calls it
BASES = {
    ("at", ()): "AT",
    ("at", ("awp",)): "AWP",
    ("robal", ()): "RoBal",
    ("reat", ()): "REAT",
    ("at-bsl", ()): "AT-BSL",
    ("taet", ()): "TAET",
}
#: our attack -> theirs; their AutoAttack ran 10 iterations, their CW is a margin loss inside the ball
ATTACKS = {"clean": "clean", "pgd-20": "PGD-20", "cw-linf": "CW", "aa-10": "AA"}
SCOPES = {"balanced": "all", "tail-80": "tail"}


def base_of(config: Config) -> tuple[str, bool]:
    """(the base as the paper calls it, or nothing; whether it is wrapped)."""
    method, tricks = parts(config)
    return BASES.get((method, tuple(t for t in tricks if t != WRAPPER)), ""), WRAPPER in tricks


@cache
def numbers() -> dict[tuple[str, bool, str, str], PaperNumber]:
    """(base, wrapped, attack, scope) -> the number; those whose network, base or scope nobody states are left out."""
    return {
        (r["base"], r["enhancer"] == "RobustLT", r["metric"], r["scope"]): PaperNumber(
            r["value"], "report", f"not seen in the paper itself, but in summaries by third parties ({r['source']})"
        )
        for r in reference.robustlt_tables().to_dict("records")
        if r["table"] in ("main", "attacks")
    }


@register("tables")
class RobustLT(OtherPaper):
    """There where some base is wrapped."""

    name = "robustlt"
    number = 91
    caption = "RobustLT: bases alone and wrapped"
    heads = ("Base", "Wrapper", "Cell")
    attacks = tuple(ATTACKS)
    notes = (
        "tail 80 %: mean recall of the rarest 80 % of the classes, RobustLT's tail; the other tables' tail is the "
        "rarest half.",
        "RobustLT's AA ran 10 iterations, which is AA-10 here; its CW is a margin loss inside the ball.",
        "Its bases are not their authors' own (docs/methods.md); the preset `robustlt` has its settings.",
    )

    def rows(self, configs: Sequence[Config]) -> list[tuple[RowSpec, Config]]:
        """Base by base, alone and then wrapped."""
        known = [(c, *base_of(c)) for c in configs]
        if not any(base and wrapped for _, base, wrapped in known):
            return []
        order = list(BASES.values())
        mine = sorted((order.index(base), wrapped, c.label, base, c) for c, base, wrapped in known if base)
        return [
            (RowSpec((base, "RobustLT" if wrapped else "none", label), group=base), c)
            for _, wrapped, label, base, c in mine
        ]

    def printed(self, setting: Where, config: Config, attack: str, metric: str) -> PaperNumber | None:
        """On CIFAR-10-LT at 50 with WRN-28-10 and the balanced test split."""
        own = setting.dataset == "cifar10lt" and off_protocol(setting, "cifar10") == ["test_split"]
        if not own or (setting.test_split, config.ir, config.model) != ("balanced", 50.0, "wrn-28-10"):
            return None
        return numbers().get((*base_of(config), ATTACKS[attack], SCOPES[metric]))
