"""Best and last epoch as a figure: the curves of both, with the two epochs marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.api import register
from bench.reports import paper
from bench.reports.drawing import draw
from bench.reports.epochs import VALIDATION, Followed, Runs, followed, shared
from bench.reports.model import Figure
from bench.reports.source import Source
from bench.reports.text import slug
from bench.store.where import Where

#: panels side by side
WIDE = 3


@register("figures")
class EpochsFigure:
    """One figure a setting; there only where some cell keeps its best epoch."""

    name = "epochs"
    number = 91

    def figures(
        self,
        source: Source,
        dataset: str | None = None,
        test_split: str | None = None,
        suffixes: Sequence[str] = ("svg", "pdf"),
    ) -> list[Figure]:
        """Validation images first, then every attack that was followed."""
        found = followed(source, dataset, test_split).items()
        return [_figure(where, runs, number, suffixes) for number, (where, runs) in enumerate(found, 1)]


def _figure(where: Where, configs: Runs, number: int, suffixes: Sequence[str]) -> Figure:
    attacks = list(dict.fromkeys(a for runs in configs.values() for a in shared(runs)))
    panels, key, said = [VALIDATION, *attacks], slug(f"epochs-figure-{where.dataset}-{where.digest}"), []
    columns = min(len(panels), WIDE)
    rows = -(-len(panels) // columns)
    with draw.figure(2.6 * columns + 0.6, 2.5 * rows + 0.5, rows, columns) as (made, axes):
        for axis, what in zip(axes.flat, panels, strict=False):
            for i, (config, runs) in enumerate(configs.items()):
                if what == VALIDATION or what in shared(runs):
                    _lines(axis, i, what, runs, paper.method_label(config.label))
                    best = np.mean([run.curve(what)[run.kept] for run in runs])
                    last = np.mean([run.curve(what)[-1] for run in runs])
                    name = "validation" if what == VALIDATION else paper.attack_label(what)
                    said.append(f"{paper.method_label(config.label)} {name} {best:.1f}, {last:.1f}")
            axis.set_title("Validation images" if what == VALIDATION else f"Test images, {paper.attack_label(what)}")
            axis.set_xlabel("epoch")
            axis.set_ylabel("balanced accuracy, %")
            axis.xaxis.get_major_locator().set_params(integer=True)
        for axis in axes.flat[len(panels) :]:
            axis.remove()
        made.legend(*draw.first_legend(axes), loc="outside lower center", ncols=min(len(configs), 3))
        files = draw.files(made, key, suffixes)
    return Figure(
        key,
        f"Best and last epoch {number}",
        "Balanced accuracy after every epoch, a line a training seed. Large marker: the epoch that was kept by the "
        "validation images; small filled marker: the last one. What lies between is what selection is worth.",
        "Balanced per cent in the best and in the last epoch: " + "; ".join(said) + ".",
        files,
        f"{where.dataset}, {where.heading()}",
        words=(where.dataset, *where.title()),
    )


def _lines(axis: Any, i: int, what: str, runs: Sequence[Followed], label: str) -> None:
    """The curve of every seed, in the colour and dash of its configuration, with both epochs."""
    colour, marker = draw.COLOURS[i % len(draw.COLOURS)], draw.MARKERS[i % len(draw.MARKERS)]
    for run in runs:
        curve = run.curve(what)
        epochs = np.arange(1, len(curve) + 1)
        axis.plot(
            epochs,
            curve,
            color=colour,
            linestyle=draw.DASHES[i % len(draw.DASHES)],
            linewidth=1.1,
            label=label if run is runs[0] else None,
        )
        axis.plot(
            run.kept + 1,
            curve[run.kept],
            marker=marker,
            markersize=8,
            color=colour,
            markerfacecolor="none",
            markeredgewidth=1.4,
        )
        axis.plot(epochs[-1], curve[-1], marker=marker, markersize=4, color=colour)
