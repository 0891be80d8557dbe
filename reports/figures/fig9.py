"""Figure 9: seconds of an adversarial epoch against steps of the training attack."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.api import register
from bench.reports.drawing import draw, plot
from bench.reports.panels import Panel
from bench.reports.source import Config, Source

STEPS = (5, 10, 20, 30, 40)
#: seconds an epoch that the paper's text gives (Appendix B.4); there is none for 20 steps
PAPER = {5: 54, 10: 85, 30: 208, 40: 270}


@register("figures")
class Fig9(plot.PaperFigure):
    """Measured seconds beside the paper's, which were taken on another machine, and both relative to 10 steps."""

    name = "fig9"
    number = 9
    caption = (
        "Seconds of an adversarial epoch of TAET by steps of the training attack (left), and relative to 10 steps "
        "(right): wall time on the machine as it was used. The paper's seconds come from another machine; only the "
        "right side compares."
    )
    logs = ()

    def config(self, panel: Panel, steps: int) -> Config:
        """The runs of Table 9."""
        more = () if steps == 10 else (("steps", steps),)
        return Config(panel.ir, panel.models[0], "taet", (("step", 1 / 255), *more))

    def wants(self, panel: Panel) -> list[tuple[Config, str]]:
        """The runs of Table 9, with their log."""
        return [(self.config(panel, k), "clean") for k in STEPS]

    def draw(self, source: Source, panel: Panel, save: plot.Save) -> plot.Drawing | None:
        """Two panels."""
        ours = {k: s for k in STEPS if (s := self._seconds(source, panel, k)) is not None}
        with draw.figure(7.2, 2.9, 1, 2) as (made, axes):
            for axis, relative in zip(axes[0], (False, True), strict=True):
                shown: tuple[tuple[str, Mapping[int, float]], ...] = (("measured", ours), ("paper", PAPER))
                for i, (name, seconds) in enumerate(shown):
                    if relative and 10 not in seconds:
                        continue
                    unit = seconds[10] if relative else 1.0
                    draw.line(axis, list(seconds), [s / unit for s in seconds.values()], 3 * i, name)
                axis.set_xlabel("steps of the training attack")
                axis.set_xticks(STEPS)
                axis.set_ylabel("relative to 10 steps" if relative else "seconds an epoch")
                axis.set_ylim(0)
                axis.legend(loc="upper left")
            return plot.Drawing(
                save(made),
                "Measured seconds an adversarial epoch: "
                + ", ".join(f"{k} steps {s:.3g}" for k, s in ours.items())
                + ".",
            )

    def _seconds(self, source: Source, panel: Panel, steps: int) -> float | None:
        frames = self.curves(source, panel, self.config(panel, steps))
        kept = [f.loc[f["phase"] == "adversarial", "seconds"] for f in frames]
        kept = [f for f in kept if len(f)]
        return float(np.median(np.concatenate(kept))) if kept else None
