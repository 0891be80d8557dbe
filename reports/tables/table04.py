"""Table 4: balanced PGD-20 robustness of TAET for weights alpha, beta, gamma of its loss."""

from bench.api import register
from bench.reports.panels import Panel
from bench.reports.table import ColumnSpec, PaperTable, Pick, RowSpec


def _weight(**weights: float) -> Pick:
    """Where to look for these weights; 0.1 is the recipe's own, so it is no variant."""
    return {
        "params": {name: value for name, value in weights.items() if value != 0.1},
        "variable": ";".join(f"{name}={value:g}" for name, value in weights.items()),
    }


@register("tables")
class Table04(PaperTable):
    """beta by (alpha, gamma); best and second best of the eight."""

    name = "table04"
    number = 4
    caption = "Balanced robustness of TAET under PGD-20 for weights of BCL (α), HDL (β) and RCEL (γ)"
    heads = ("β",)
    attacks = ("pgd-20",)
    across = True

    def rows(self, panel: Panel) -> list[RowSpec]:
        """Beta."""
        return [RowSpec((f"{beta:g}",), {"method": "taet", **_weight(beta=beta)}) for beta in (0.1, 0.05)]

    def columns(self, panel: Panel) -> list[ColumnSpec]:
        """Alpha above gamma."""
        return [
            ColumnSpec(f"γ = {gamma:g}", {"attack": "pgd-20", **_weight(alpha=alpha, gamma=gamma)}, f"α = {alpha:g}")
            for alpha in (0.1, 0.05)
            for gamma in (0.1, 0.05)
        ]
