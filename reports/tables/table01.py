"""Table 1: balanced accuracy and robustness of eleven methods, CIFAR-10-LT, IR 10, ResNet-18."""

from bench.api import register
from bench.reports.paper import TABLE1
from bench.reports.table import PaperTable


@register("tables")
class Table01(PaperTable):
    """Methods by attacks; mean of per-class recall."""

    name = "table01"
    number = 1
    caption = "Balanced accuracy and balanced robustness of all methods under each attack"
    methods = TABLE1
    attacks = ("clean", "fgsm", "pgd-20", "pgd-100", "cw-l2", "cw-linf", "aa")
