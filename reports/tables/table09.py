"""Table 9: TAET by the number of steps of its training attack."""

from bench.api import register
from bench.reports.panels import Panel
from bench.reports.table import PaperTable, RowSpec


@register("tables")
class Table09(PaperTable):
    """Training steps by attacks; mean of per-class recall."""

    name = "table09"
    number = 9
    caption = "Balanced accuracy and balanced robustness of TAET by number of training attack steps"
    heads = ("Training steps",)
    notes = (
        "Trained with steps of 1/255: the paper's 10-step row equals the 1/255 row of its Table 10.",
        "The paper's column is headed PGD; PGD-20 is assumed.",
    )

    def rows(self, panel: Panel) -> list[RowSpec]:
        """5 to 40 steps; 10 are the recipe's own, so they are no variant."""
        return [
            RowSpec(
                (str(k),),
                {
                    "method": "taet",
                    "variable": f"train_steps={k}",
                    "params": {"step": 1 / 255} | ({} if k == 10 else {"steps": k}),
                },
            )
            for k in (5, 10, 20, 30, 40)
        ]
