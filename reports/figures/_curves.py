"""What Figures 2 and 8 share: per-epoch curves of tracked attacks."""

from bench.reports.drawing import plot
from bench.reports.panels import Panel
from bench.reports.source import Config


class Curves(plot.PaperFigure):
    """Runs followed through training, clean and PGD-20."""

    logs = ("clean", "pgd-20")

    def wants(self, panel: Panel) -> list[tuple[Config, str]]:
        """One run a method, with tracked curves; the tracked test set is the long-tailed one."""
        if panel.setting.test_split != "long-tailed":
            return []
        return [(Config(panel.ir, panel.models[0], m), "clean") for m in self.methods]
