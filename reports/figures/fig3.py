"""Figure 3: t-SNE of the tail classes' features, AT, TRADES, AT-BSL and TAET."""

from __future__ import annotations

import numpy as np

from bench.api import register
from bench.reports.drawing import draw, plot
from bench.reports.drawing.inputs import Features, spread
from bench.reports.panels import Panel
from bench.reports.source import Config, Source

PERPLEXITY, SEED, MOST = 30.0, 0, 1500


@register("figures")
class Fig3(plot.PaperFigure):
    """Penultimate features of clean test images of the rarest classes; the paper leaves inputs and settings open."""

    name = "fig3"
    number = 3
    caption = (
        "t-SNE of the penultimate features of clean test images of the five rarest classes (perplexity "
        f"{PERPLEXITY:g}, seed {SEED}, started from principal components). Distances between clusters mean nothing."
    )
    methods = ("at", "trades", "at-bsl", "taet")
    features = True

    def wants(self, panel: Panel) -> list[tuple[Config, str]]:
        """One run a method, with stored features of the long-tailed test images."""
        if panel.setting.test_split != "long-tailed":
            return []
        return [(Config(panel.ir, panel.models[0], m), "clean") for m in self.methods]

    def draw(self, source: Source, panel: Panel, save: plot.Save) -> plot.Drawing | None:
        """One map a method; the first seed's features."""
        tail = min(5, len(panel.classes) // 2)
        with draw.figure(7.2, 2.5, 1, 4) as (made, axes):
            for axis, method in zip(axes[0], self.methods, strict=True):
                config = Config(panel.ir, panel.models[0], method)
                axis.set(title=plot.label(config), xticks=[], yticks=[])
                axis.grid(visible=False)
                axis.spines[:].set(visible=True, color="#BBBBBB")
                stored = self.found(source, panel, config, "clean")
                if not stored:
                    axis.text(0.5, 0.5, "not measured yet", transform=axis.transAxes, ha="center", color="#555555")
                    continue
                cell, features = stored[0]
                points, labels = embed(features, _rarest(source, cell, tail))
                for i, name in enumerate(panel.classes[len(panel.classes) - tail :]):
                    mine = points[labels == i]
                    axis.scatter(
                        mine[:, 0],
                        mine[:, 1],
                        s=8,
                        linewidths=0,
                        alpha=0.85,
                        label=name,
                        color=draw.COLOURS[i],
                        marker=draw.MARKERS[i],
                    )
            handles, names = draw.first_legend(axes)
            made.legend(handles, names, loc="outside lower center", ncols=tail, markerscale=2)
            rarest = ", ".join(panel.classes[len(panel.classes) - tail :])
            return plot.Drawing(save(made), f"Two-dimensional maps of features, one a method, classes {rarest}.")


def _rarest(source: Source, cell: str, tail: int) -> list[int]:
    """Class indices of the rarest classes, most frequent first."""
    classes = source.cells[cell].seen.frequent_first
    return classes[len(classes) - tail :]


def embed(stored: Features, classes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """(N x 2 points, their positions in `classes`) of the stored features of these classes, at most `MOST` images.

    Features of these classes that are all equal, or of fewer than five images, are points on one spot.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    keep = np.flatnonzero(np.isin(stored.label, classes))
    keep = keep[:: max(1, -(-len(keep) // MOST))]
    values, labels = stored.values[keep], np.array([classes.index(int(c)) for c in stored.label[keep]], dtype=np.int64)
    if not spread(values):
        return np.zeros((len(keep), 2)), labels
    perplexity = min(PERPLEXITY, (len(keep) - 1) / 3)
    values = values / np.abs(values).max()  # squares of very large or small numbers would not be numbers
    scale = values.std()
    with threadpool_limits(1):  # the order of sums, and so the map, must not depend on the machine's cores
        points = TSNE(perplexity=perplexity, init="pca", random_state=SEED).fit_transform(values / scale)
    return points, labels
