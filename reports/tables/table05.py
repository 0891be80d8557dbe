"""Table 5: balanced accuracy and robustness of AT-BSL and TAET over imbalance ratios, CIFAR-10-LT."""

from bench.api import register
from bench.reports.tables._by_ratio import ByRatio


@register("tables")
class Table05(ByRatio):
    """Ratios and methods by attacks; mean of per-class recall."""

    name = "table05"
    number = 5
    caption = "Balanced accuracy and balanced robustness over imbalance ratios"
