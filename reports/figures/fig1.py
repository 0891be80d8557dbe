"""Figure 1: accuracy and robustness of each class over class counts; balanced accuracy against balanced robustness."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.api import register
from bench.judge.stats import Estimate
from bench.reports.drawing import draw, plot
from bench.reports.panels import Panel
from bench.reports.paper import TABLE1, method_label
from bench.reports.source import Config, Source


@register("figures")
class Fig1(plot.PaperFigure):
    """Top: every method by class, clean and under PGD-20. Bottom: every method, all classes and tail classes."""

    name = "fig1"
    number = 1
    caption = (
        "Top: recall of each class by every method, clean and under PGD-20, above the number of training images. "
        "Bottom: balanced accuracy against balanced PGD-20 robustness of every method, all classes and the rarest "
        "half; bars are 95 % over seeds where there are several."
    )
    methods = TABLE1

    def wants(self, panel: Panel) -> list[tuple[Config, str]]:
        """The runs of Table 1, clean and PGD-20."""
        methods = (*self.methods, *panel.extra_methods)
        return [(Config(panel.ir, panel.models[0], m), a) for m in methods for a in ("clean", "pgd-20")]

    def draw(self, source: Source, panel: Panel, save: plot.Save) -> plot.Drawing | None:
        """Two panels by class above two scatters."""
        shown = [m for m in (*self.methods, *panel.extra_methods) if self._both(source, panel, m)]
        with draw.figure(7.2, 5.6, 2, 2) as (made, axes):
            for axis, attack in zip(axes[0], ("clean", "pgd-20"), strict=True):
                self._classes(axis, source, panel, shown, attack)
            titles = ("All classes", "Rarest half of the classes")
            for axis, metric, title in zip(axes[1], ("balanced", "tail"), titles, strict=True):
                for i, method in enumerate(shown):
                    self._point(axis, i, source, panel, method, metric)
                axis.set_title(title)
                axis.set_xlabel("clean accuracy, %")
                axis.set_ylabel("PGD-20 robustness, %")
                axis.margins(0.15)
            handles, labels = axes[1][0].get_legend_handles_labels()
            if handles:
                columns = len(handles) if len(handles) < 8 else -(-len(handles) // 2)
                made.legend(handles, labels, loc="outside lower center", ncols=columns, columnspacing=1.2)
            return plot.Drawing(save(made), self._alt(source, panel, shown))

    def _both(self, source: Source, panel: Panel, method: str) -> bool:
        config = Config(panel.ir, panel.models[0], method)
        return all(source.evaluations(panel.setting, config, a) for a in ("clean", "pgd-20"))

    def _point(self, axis: Any, i: int, source: Source, panel: Panel, method: str, metric: str) -> None:
        """A see-through marker, since methods can lie on one another, with bars over seeds where there are several."""
        colour, config = draw.COLOURS[i % len(draw.COLOURS)], Config(panel.ir, panel.models[0], method)
        x, y = (plot.measured(source, panel, config, a, metric) for a in ("clean", "pgd-20"))
        axis.errorbar(
            [100 * x.value],
            [100 * y.value],
            xerr=_reach(x),
            yerr=_reach(y),
            linestyle="",
            ecolor=(colour, 0.45),
            elinewidth=0.8,
            marker=draw.MARKERS[i % len(draw.MARKERS)],
            markersize=9 if method == "taet" else 6.5,
            markerfacecolor=(colour, 0.5),
            markeredgecolor=colour,
            markeredgewidth=1.1,
            label=method_label(method),
        )

    def _classes(self, axis: Any, source: Source, panel: Panel, shown: list[str], attack: str) -> None:
        """A line a method, in the colour and marker it has below; side by side, since at hard classes they meet."""
        axis.set_title("Clean" if attack == "clean" else "PGD-20")
        draw.counts_behind(axis, plot.train_counts(source, panel))
        draw.class_ticks(axis, panel.classes)
        draw.percent_axis(axis, "recall, %")
        x, middle = np.arange(len(panel.classes)), (len(shown) - 1) / 2
        for i, method in enumerate(shown):
            recall = plot.recall(source, panel, Config(panel.ir, panel.models[0], method), attack)
            if recall is not None:
                draw.line(
                    axis, x + (i - middle) * 0.5 / max(len(shown), 1), recall, i, "", linewidth=0.9, markersize=3.2
                )

    def _alt(self, source: Source, panel: Panel, shown: list[str]) -> str:
        parts = []
        for method in shown:
            config = Config(panel.ir, panel.models[0], method)
            clean, robust = (plot.value(source, panel, config, a) for a in ("clean", "pgd-20"))
            parts.append(f"{method_label(method)} {clean:.1f} / {robust:.1f}")
        return "Balanced clean accuracy / PGD-20 robustness in per cent: " + ", ".join(parts) + "."


def _reach(one: Estimate) -> list[list[float]] | None:
    """How far the interval over seeds goes down and up, in per cent; None from a single seed."""
    ends = one.seeds
    return None if ends is None else [[100 * (one.value - ends.low)], [100 * (ends.high - one.value)]]
