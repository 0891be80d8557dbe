"""Table 6: standard accuracy and robustness of ten methods, the runs of Table 1 without RoBal."""

from bench.api import register
from bench.reports.paper import TABLE1
from bench.reports.table import PaperTable


@register("tables")
class Table06(PaperTable):
    """Methods by attacks; correct over all images of the test split."""

    name = "table06"
    number = 6
    caption = "Standard accuracy and standard robustness of all methods under each attack"
    metric = "standard"
    methods = tuple(m for m in TABLE1 if m != "robal")
    notes = ("The paper's column is headed PGD; PGD-20 is assumed.",)
