"""Figure 8: TAET against HARL through training, clean and under PGD-20."""

from __future__ import annotations

from bench.api import register
from bench.reports.drawing import draw, plot
from bench.reports.figures._curves import Curves
from bench.reports.panels import Panel
from bench.reports.source import Config, Source


@register("figures")
class Fig8(Curves):
    """With and without the cross-entropy stage; balanced and standard accuracy."""

    name = "fig8"
    number = 8
    caption = (
        "Balanced (heavy) and standard (light) accuracy after every epoch, clean (left) and under PGD-20 (right): TAET "
        "with its cross-entropy stage, HARL without one"
    )
    methods = ("taet", "harl")

    def draw(self, source: Source, panel: Panel, save: plot.Save) -> plot.Drawing | None:
        """Two panels."""
        said = []
        with draw.figure(7.2, 3.0, 1, 2) as (made, axes):
            for axis, attack in zip(axes[0], ("clean", "pgd-20"), strict=True):
                axis.set_title("Clean" if attack == "clean" else "PGD-20")
                axis.set_xlabel("epoch")
                axis.set_ylabel("accuracy, %")
                for i, method in enumerate(self.methods):
                    config = Config(panel.ir, panel.models[0], method)
                    if not self.curves(source, panel, config):
                        continue
                    epochs, recall = self.tracked(source, panel, config, attack)
                    balanced = recall.mean(axis=1)
                    draw.line(axis, epochs, balanced, 3 * i, plot.label(config) + ", balanced")
                    n = plot.evaluations(source, panel, config)[0].n
                    standard = recall @ (n / n.sum())
                    axis.plot(
                        epochs,
                        standard,
                        color=draw.COLOURS[3 * i],
                        linewidth=0.9,
                        alpha=0.75,
                        linestyle=draw.DASHES[2],
                        label=plot.label(config) + ", standard",
                    )
                    said.append(f"{plot.label(config)} {attack} {balanced[-1]:.1f}")
                axis.set_ylim(0)
                axis.xaxis.get_major_locator().set_params(integer=True)
            made.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
            return plot.Drawing(save(made), "Balanced per cent after the last epoch: " + ", ".join(said) + ".")
