"""Figure 6: memory and seconds of an epoch for every method; TAET with every part of its loss alone and together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from bench.api import register
from bench.config import TEST_SPLITS
from bench.reports.drawing import draw, plot
from bench.reports.panels import Panel
from bench.reports.paper import TABLE1, method_label
from bench.reports.source import Config, Source

PARTS = {"alpha": "BCL", "beta": "HDL", "gamma": "RCEL"}
#: which parts are on, from one to all
SUBSETS = sorted((s for s in product((0, 1), repeat=3) if any(s)), key=lambda s: (sum(s), tuple(-x for x in s)))
ATTACKS = ("clean", "pgd-20", "aa")
ADVERSARIAL = "adversarial"


@register("figures")
class Fig6(plot.PaperFigure):
    """(a) from the log of every epoch, (b) from the runs over subsets of the loss."""

    name = "fig6"
    number = 6
    caption = (
        "(a) Peak memory and seconds of an adversarial epoch, by method: wall time on the machine as it was used, with "
        "whatever ran beside. A method without such an epoch is left out. "
        "(b) Balanced accuracy and robustness of TAET with subsets of the terms of its loss."
    )
    methods = TABLE1

    def wants(self, panel: Panel) -> list[tuple[Config, str]]:
        """The runs of Table 1 and those over subsets."""
        runs = [Config(panel.ir, panel.models[0], m) for m in (*self.methods, *panel.extra_methods)]
        parts = [subset(panel, s) for s in SUBSETS]
        return [(c, "clean") for c in dict.fromkeys(runs + parts)] + [(c, a) for c in parts for a in ATTACKS[1:]]

    def draw(self, source: Source, panel: Panel, save: plot.Save) -> plot.Drawing | None:
        """Memory and seconds side by side, above the subsets; what has nothing to show takes no room."""
        runs = {m: Config(panel.ir, panel.models[0], m) for m in (*self.methods, *panel.extra_methods)}
        logs = {m: self.curves(source, panel, c) for m, c in runs.items()} if _told_here(source, panel) else {}
        seconds = {method_label(m): s for m, frames in logs.items() if (s := _seconds(frames)) is not None}
        peaks = {method_label(m): p for m in logs if (p := self._peak(source, panel, runs[m])) is not None}
        parts = any(source.evaluations(panel.setting, subset(panel, s), "clean") for s in SUBSETS[:-1])
        if not seconds and not parts:
            return None
        count = bool(seconds) + parts
        with draw.figure(7.2, 2.7 * count, count, 2) as (made, axes):
            if seconds:
                shown = [("(a) Memory", "peak memory, MiB", peaks), ("(a) Time", "seconds an epoch", seconds)]
                shown = [one for one in shown if one[2]]
                places = axes[0] if len(shown) == 2 else [_whole(made, axes[0])]
                for i, (axis, one) in enumerate(zip(places, shown, strict=True)):
                    _bars(axis, i, *one)
            if parts:
                self._subsets(_whole(made, axes[-1]), source, panel)
            alt = [
                f"{name} {s:.3g} s" + (f", {peaks[name]:.4g} MiB" if name in peaks else "")
                for name, s in seconds.items()
            ]
            alt += self._said(source, panel) if parts else []
            return plot.Drawing(
                save(made),
                "An adversarial epoch, or balanced per cent: " + "; ".join(alt) + ".",
                _lacks(seconds, peaks),
            )

    def _peak(self, source: Source, panel: Panel, config: Config) -> float | None:
        """The highest peak of the adversarial epochs of a method's runs, in MiB; None where none is one.

        A cell without the hash of its weights is older than the peaks of single stages: its peak is that of its whole
        process, libraries and earlier cells included.
        """
        if not all(source.cells[e.cell].weights for e in plot.evaluations(source, panel, config)):
            return None
        kept = [f.loc[f["phase"] == ADVERSARIAL, "peak_memory_mib"] for f in self.curves(source, panel, config)]
        return max((float(f.max()) for f in kept if f.notna().any()), default=None)

    def _said(self, source: Source, panel: Panel) -> list[str]:
        found = ((s, plot.value(source, panel, subset(panel, s), "pgd-20")) for s in SUBSETS)
        return [f"{'+'.join(_terms(s))} PGD-20 {v:.1f}" for s, v in found if v is not None]

    def _subsets(self, axis: Any, source: Source, panel: Panel) -> None:
        axis.set_title("(b) Terms of the loss")
        draw.percent_axis(axis, "balanced, %")
        for i, attack in enumerate(ATTACKS):
            values = [plot.value(source, panel, subset(panel, s), attack) for s in SUBSETS]
            x = np.arange(len(SUBSETS)) + (i - 1) * 0.27
            axis.bar(
                x,
                [v or 0 for v in values],
                0.25,
                color=draw.COLOURS[i],
                hatch=draw.HATCHES[i],
                edgecolor="black",
                linewidth=0.4,
                label=("clean", "PGD-20", "AA")[i],
            )
            for at, v in zip(x, values, strict=True):
                if v is None:
                    axis.text(at, 1, "—", ha="center", color="#555555")
        axis.set_xticks(range(len(SUBSETS)), ["\n".join(_terms(s)) for s in SUBSETS])
        axis.grid(axis="x", visible=False)
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def subset(panel: Panel, on: tuple[int, ...]) -> Config:
    """TAET with only these terms; weights that are the recipe's own are no variant."""
    off = tuple((name, 0) for name, used in zip(PARTS, on, strict=True) if not used)
    return Config(panel.ir, panel.models[0], "taet", off)


def _terms(on: tuple[int, ...]) -> list[str]:
    return [name for name, used in zip(PARTS.values(), on, strict=True) if used]


def _told_here(source: Source, panel: Panel) -> bool:
    """Whether this is the first test split of its runs: what they cost does not depend on the split."""
    splits = [t for t in TEST_SPLITS if replace(panel.setting, test_split=t) in source.index]
    return splits[:1] == [panel.setting.test_split]


def _seconds(frames: list[pd.DataFrame]) -> float | None:
    """Median seconds of the adversarial epochs; None without one."""
    kept = [f.loc[f["phase"] == ADVERSARIAL, "seconds"] for f in frames]
    return float(np.median(np.concatenate(kept))) if any(map(len, kept)) else None


def _lacks(seconds: Mapping[str, float], peaks: Mapping[str, float]) -> list[str]:
    old = [name for name in seconds if name not in peaks]
    return [f"memory of {', '.join(old)}: these runs hold the peak of their whole process only"] if old else []


def _whole(made: Any, row: Any) -> Any:
    """One axis in place of a row of them."""
    place = row[0].get_gridspec()[row[0].get_subplotspec().rowspan.start, :]
    for axis in row:
        axis.remove()
    return made.add_subplot(place)


def _bars(axis: Any, i: int, title: str, what: str, values: Mapping[str, float]) -> None:
    axis.barh(
        list(values),
        list(values.values()),
        color=draw.COLOURS[i],
        edgecolor="black",
        linewidth=0.4,
        hatch=draw.HATCHES[i],
        height=0.7,
    )
    axis.invert_yaxis()
    axis.set_xlabel(what)
    axis.grid(axis="y", visible=False)
    axis.set_title(title)
