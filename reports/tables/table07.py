"""Table 7: standard accuracy and robustness of AT-BSL and TAET over imbalance ratios, CIFAR-10-LT."""

from bench.api import register
from bench.reports.tables._by_ratio import ByRatio


@register("tables")
class Table07(ByRatio):
    """Ratios and methods by attacks; correct over all images of the test split."""

    name = "table07"
    number = 7
    caption = "Standard accuracy and standard robustness over imbalance ratios"
    metric = "standard"
    notes = ("The paper's column is headed PGD; PGD-20 is assumed.",)
