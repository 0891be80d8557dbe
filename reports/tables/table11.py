"""Table 11: AT-BSL and TAET with ResNet-50 and ViT-B/16."""

from bench.api import register
from bench.reports.panels import Panel
from bench.reports.paper import MODEL_LABEL, method_label
from bench.reports.table import PaperTable, RowSpec


@register("tables")
class Table11(PaperTable):
    """Networks and methods by attacks; the better of the two is marked for each network."""

    name = "table11"
    number = 11
    caption = "Balanced accuracy and balanced robustness with larger networks"
    heads = ("Model", "Method")
    models = ("resnet50", "vit-b-16")
    attacks = ("clean", "fgsm", "pgd-20", "aa")
    notes = ("The paper's column is headed PGD; PGD-20 is assumed.",)

    def rows(self, panel: Panel) -> list[RowSpec]:
        """AT-BSL, then TAET, network by network."""
        return [
            RowSpec((MODEL_LABEL.get(model, model), method_label(m)), {"method": m, "model": model}, model)
            for model in panel.models
            for m in ("at-bsl", "taet")
        ]
