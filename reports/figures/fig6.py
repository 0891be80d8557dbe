"""Figure 6: memory and seconds of an epoch for every method; TAET with every part of its loss alone and together."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from bench.api import register
from bench.reports import draw, plot
from bench.reports.panels import Panel
from bench.reports.paper import TABLE1, method_label
from bench.reports.source import Config, Source

PARTS = {"alpha": "BCL", "beta": "HDL", "gamma": "RCEL"}
#: which parts are on, from one to all
SUBSETS = sorted((s for s in product((0, 1), repeat=3) if any(s)), key=lambda s: (sum(s), tuple(-x for x in s)))
ATTACKS = ("clean", "pgd-20", "aa")


@register("figures")
class Fig6(plot.PaperFigure):
    """(a) from the log of every epoch, (b) from the runs over subsets of the loss."""

    name = "fig6"
    number = 6
    caption = (
        "(a) Peak memory and seconds of an adversarial epoch, by method. "
        "(b) Balanced accuracy and robustness of TAET with subsets of the terms of its loss."
    )
    methods = TABLE1

    def wants(self, panel: Panel) -> list[tuple[Config, str]]:
        """The runs of Table 1 and those over subsets."""
        runs = [Config(panel.ir, panel.models[0], m) for m in (*self.methods, *panel.extra_methods)]
        parts = [subset(panel, s) for s in SUBSETS]
        return [(c, "clean") for c in dict.fromkeys(runs + parts)] + [(c, a) for c in parts for a in ATTACKS[1:]]

    def draw(self, source: Source, panel: Panel, save: plot.Save) -> plot.Drawing | None:
        """Three panels: memory, seconds, subsets."""
        cost = {m: c for m in (*self.methods, *panel.extra_methods) if (c := self._cost(source, panel, m)) is not None}
        lacks = [f"epoch log of {method_label(m)}" for m in self.methods if m not in cost]
        if not cost and not any(source.evaluations(panel.setting, subset(panel, s), "clean") for s in SUBSETS[:-1]):
            return None
        with draw.figure(7.2, 5.4, 2, 2) as (made, axes):
            for axis, i, what in ((axes[0][0], 0, "peak memory, MiB"), (axes[0][1], 1, "seconds an epoch")):
                names = [method_label(m) for m in cost]
                axis.barh(names, [c[i] for c in cost.values()], color=draw.COLOURS[i], edgecolor="black", linewidth=0.4,
                          hatch=draw.HATCHES[i], height=0.7)  # fmt: skip
                axis.invert_yaxis()
                axis.set_xlabel(what)
                axis.grid(axis="y", visible=False)
                axis.set_title(f"(a) {'Memory' if i == 0 else 'Time'}")
            for axis in axes[1]:
                axis.remove()
            self._subsets(made.add_subplot(axes[1][0].get_gridspec()[1, :]), source, panel)
            alt = "Seconds an epoch and peak MiB: " + ", ".join(
                f"{method_label(m)} {c[1]:.3g} / {c[0]:.4g}" for m, c in cost.items()
            )
            return plot.Drawing(save(made), alt + ".", lacks)

    def _cost(self, source: Source, panel: Panel, method: str) -> tuple[float, float] | None:
        """(peak MiB, median seconds) of the adversarial epochs of a method's runs."""
        frames = self.curves(source, panel, Config(panel.ir, panel.models[0], method))
        kept = [f[f["phase"] == "adversarial"] if (f["phase"] == "adversarial").any() else f for f in frames]
        if not kept:
            return None
        return (
            max(float(f["peak_memory_mib"].max()) for f in kept),
            float(np.median(np.concatenate([f["seconds"] for f in kept]))),
        )

    def _subsets(self, axis: Any, source: Source, panel: Panel) -> None:
        axis.set_title("(b) Terms of the loss")
        draw.percent_axis(axis, "balanced, %")
        for i, attack in enumerate(ATTACKS):
            values = [plot.value(source, panel, subset(panel, s), attack) for s in SUBSETS]
            x = np.arange(len(SUBSETS)) + (i - 1) * 0.27
            axis.bar(x, [v or 0 for v in values], 0.25, color=draw.COLOURS[i], hatch=draw.HATCHES[i], edgecolor="black",
                     linewidth=0.4, label=("clean", "PGD-20", "AA")[i])  # fmt: skip
            for at, v in zip(x, values, strict=True):
                if v is None:
                    axis.text(at, 1, "—", ha="center", color="#555555")
        terms = ["\n".join(name for name, on in zip(PARTS.values(), s, strict=True) if on) for s in SUBSETS]
        axis.set_xticks(range(len(SUBSETS)), terms)
        axis.grid(axis="x", visible=False)
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def subset(panel: Panel, on: tuple[int, ...]) -> Config:
    """TAET with only these terms; weights that are the recipe's own are no variant."""
    off = tuple((name, 0) for name, used in zip(PARTS, on, strict=True) if not used)
    return Config(panel.ir, panel.models[0], "taet", off)
