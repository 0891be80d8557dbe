"""Table 3: balanced accuracy and robustness of five methods on the skin images of DermaMNIST."""

from bench.api import register
from bench.reports.table import PaperTable


@register("tables")
class Table03(PaperTable):
    """Methods by attacks on data that are imbalanced by themselves (IR 58.66 in the training split)."""

    name = "table03"
    number = 3
    caption = "Balanced accuracy and balanced robustness on skin images with seven classes"
    dataset = "dermamnist"
    irs = (58.66,)
    methods = ("adt", "mart", "trades", "at-bsl", "taet")
    attacks = ("clean", "fgsm", "pgd-20", "pgd-100", "cw-l2", "cw-linf", "aa")
    notes = ("The paper does not name the network of this table; ResNet-18 is assumed from its Appendix A.1.",)
