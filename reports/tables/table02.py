"""Table 2: recall of the tail classes, clean and under PGD-20, for the runs of Table 1."""

from bench.api import register
from bench.reports.panels import Panel
from bench.reports.paper import attack_label
from bench.reports.table import ColumnSpec, PaperTable


@register("tables")
class Table02(PaperTable):
    """Methods by the rarest half of the classes, twice. Rows as the paper has them: ADT before MART."""

    name = "table02"
    number = 2
    caption = "Recall of each tail class, clean and under PGD-20"
    metric = "class"
    methods = ("at-bsl", "robal", "trades", "at", "adt", "mart", "reat", "las-at", "he", "gairat", "taet")
    attacks = ("clean", "pgd-20")

    def columns(self, panel: Panel) -> list[ColumnSpec]:
        """The floor(C/2) rarest classes under each attack (at most the last five, so that the table fits a page)."""
        count = len(panel.classes)
        tail = range(count - min(count // 2, 5), count)
        return [
            ColumnSpec(panel.classes[i], {"attack": a, "position": i, "class_name": panel.classes[i]}, attack_label(a))
            for a in self.attacks
            for i in tail
        ]
