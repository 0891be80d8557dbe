"""Rows of Tables 5, 7 and 8: AT-BSL and TAET at every imbalance ratio."""

from bench.reports.panels import Panel
from bench.reports.paper import method_label
from bench.reports.table import PaperTable, RowSpec


class ByRatio(PaperTable):
    """The better of the two is marked at each ratio."""

    heads = ("IR", "Method")
    irs = (10.0, 20.0, 50.0, 100.0)

    def rows(self, panel: Panel) -> list[RowSpec]:
        """AT-BSL, then TAET, ratio by ratio."""
        return [
            RowSpec((f"{ir:g}", method_label(m)), {"method": m, "ir": ir}, f"{ir:g}")
            for ir in panel.irs
            for m in ("at-bsl", "taet")
        ]
