"""Figure 5: recall of each class on the skin images with ViT-B/16, clean and under PGD-20."""

from __future__ import annotations

import numpy as np

from bench.api import register
from bench.reports.drawing import draw, plot
from bench.reports.panels import Panel
from bench.reports.source import Config, Source


@register("figures")
class Fig5(plot.PaperFigure):
    """Bars a class and method above the number of training images."""

    name = "fig5"
    number = 5
    caption = "Recall of each class, clean (left) and under PGD-20 (right), above the number of training images"
    dataset = "dermamnist"
    irs = (58.66,)
    models = ("vit-b-16",)
    methods = ("at-bsl", "taet")

    def wants(self, panel: Panel) -> list[tuple[Config, str]]:
        """AT-BSL and TAET; the paper does not say which methods it shows, so more are welcome."""
        return [(Config(panel.ir, panel.models[0], m), a) for m in self.methods for a in ("clean", "pgd-20")]

    def draw(self, source: Source, panel: Panel, save: plot.Save) -> plot.Drawing | None:
        """Two panels of grouped bars."""
        methods = [*self.methods, *panel.extra_methods][:4]
        said = []
        with draw.figure(7.2, 3.2, 1, 2) as (made, axes):
            for axis, attack in zip(axes[0], ("clean", "pgd-20"), strict=True):
                axis.set_title("Clean" if attack == "clean" else "PGD-20")
                draw.counts_behind(axis, plot.train_counts(source, panel))
                draw.class_ticks(axis, panel.classes)
                draw.percent_axis(axis, "recall, %")
                width = 0.8 / len(methods)
                for i, method in enumerate(methods):
                    config = Config(panel.ir, panel.models[0], method)
                    recall = plot.recall(source, panel, config, attack)
                    if recall is None:
                        continue
                    x = np.arange(len(recall)) + (i - (len(methods) - 1) / 2) * width
                    axis.bar(
                        x,
                        recall,
                        width * 0.92,
                        color=draw.COLOURS[i],
                        hatch=draw.HATCHES[i],
                        edgecolor="black",
                        linewidth=0.4,
                        label=plot.label(config),
                    )
                    said.append(f"{plot.label(config)} {attack} {np.nanmean(recall):.1f}")
            made.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
            return plot.Drawing(save(made), "Balanced accuracy in per cent: " + ", ".join(said) + ".")
