"""Table 10: TAET by the step size of its training attack."""

from bench.api import register
from bench.reports.panels import Panel
from bench.reports.table import PaperTable, RowSpec


@register("tables")
class Table10(PaperTable):
    """Step sizes by attacks; mean of per-class recall."""

    name = "table10"
    number = 10
    caption = "Balanced accuracy and balanced robustness of TAET by step size of the training attack"
    heads = ("Step size",)
    notes = ("The paper's column is headed PGD; PGD-20 is assumed.",)

    def rows(self, panel: Panel) -> list[RowSpec]:
        """1/255 to 3/255; 2/255 is the recipe's own, so it is no variant."""
        return [
            RowSpec(
                (f"{k}/255",),
                {
                    "method": "taet",
                    "variable": f"train_step_size={k}/255",
                    "params": {} if k == 2 else {"step": k / 255},
                },
            )
            for k in (1, 2, 3)
        ]
