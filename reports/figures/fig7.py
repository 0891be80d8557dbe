"""Figure 7: TAET by the number of its initial cross-entropy epochs."""

from __future__ import annotations

from bench.api import register
from bench.reports.drawing import draw, plot
from bench.reports.panels import Panel
from bench.reports.source import Config, Source

EPOCHS = (0, 10, 20, 30, 40, 50, 60)
ATTACKS = ("clean", "pgd-20", "aa")


@register("figures")
class Fig7(plot.PaperFigure):
    """Balanced accuracy and robustness over a sweep that includes none and the paper's 40."""

    name = "fig7"
    number = 7
    caption = (
        "Balanced accuracy and robustness of TAET by its initial cross-entropy epochs (of 100). The paper's text says "
        "that 40 instead of none add 7.19 points clean and 1.04 under AutoAttack; it prints no table."
    )

    def config(self, panel: Panel, epochs: int) -> Config:
        """TAET with this many; 40 are the recipe's own, so they are no variant."""
        return Config(panel.ir, panel.models[0], "taet", () if epochs == 40 else (("ce_epochs", epochs),))

    def wants(self, panel: Panel) -> list[tuple[Config, str]]:
        """The sweep."""
        return [(self.config(panel, e), a) for e in EPOCHS for a in ATTACKS]

    def draw(self, source: Source, panel: Panel, save: plot.Save) -> plot.Drawing | None:
        """One line an attack."""
        said = []
        with draw.figure(5.2, 3.1) as (made, axes):
            axis = axes[0][0]
            for i, attack in enumerate(ATTACKS):
                got = [
                    (e, v)
                    for e in EPOCHS
                    if (v := plot.value(source, panel, self.config(panel, e), attack)) is not None
                ]
                if got:
                    draw.line(axis, [e for e, _ in got], [v for _, v in got], i, ("clean", "PGD-20", "AA")[i])
                    said.append(f"{attack} " + ", ".join(f"{e}: {v:.1f}" for e, v in got))
            axis.set_xlabel("cross-entropy epochs before the adversarial stage")
            axis.set_xticks(EPOCHS)
            draw.percent_axis(axis, "balanced, %")
            axis.legend(ncols=3, loc="upper right")
            return plot.Drawing(save(made), "Balanced per cent by epochs: " + "; ".join(said) + ".")
