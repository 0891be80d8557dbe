"""Table 8: standard accuracy and robustness of AT-BSL and TAET over imbalance ratios, CIFAR-100-LT."""

from bench.api import register
from bench.reports.tables._by_ratio import ByRatio


@register("tables")
class Table08(ByRatio):
    """As Table 7 with a hundred classes."""

    name = "table08"
    number = 8
    caption = "Standard accuracy and standard robustness over imbalance ratios with a hundred classes"
    dataset = "cifar100lt"
    metric = "standard"
    notes = ("The paper's column is headed PGD; PGD-20 is assumed.",)
