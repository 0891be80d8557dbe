"""Figure 4: the two stages of TAET as a diagram."""

from __future__ import annotations

from typing import Any

from bench.api import register
from bench.reports.drawing import draw, plot
from bench.reports.panels import Panel
from bench.reports.source import Source

#: key -> (x of the centre, y of the centre, width, height, text, colour)
BOXES = {
    "clean": (0.95, 3.05, 1.3, 0.56, "clean batch\n(x, y)", "#FFFFFF"),
    "net1": (0.95, 1.95, 1.3, 0.56, "network", "#DDEBF7"),
    "ce": (0.95, 0.85, 1.3, 0.56, "cross-entropy\nCE(z(x), y)", "#FFF2CC"),
    "batch": (3.0, 3.05, 1.15, 0.56, "clean batch\n(x, y)", "#FFFFFF"),
    "pgd": (4.75, 3.05, 1.65, 0.74, "PGD on CE, 10 steps\nof 2/255, inside the\nball of 8/255 and [0, 1]", "#FBE5D6"),
    "adv": (6.55, 3.05, 1.25, 0.56, "adversarial\nbatch x′", "#FFFFFF"),
    "net2": (6.55, 1.95, 1.25, 0.56, "network", "#DDEBF7"),
    "classes": (4.75, 1.95, 1.65, 0.62, "mean loss of each\nclass, L₁ … L_C", "#E2EFDA"),
    "bcl": (3.12, 2.3, 1.46, 0.34, "BCL  mean of L", "#FFF2CC"),
    "hdl": (3.12, 1.85, 1.46, 0.34, "HDL  spread of L", "#FFF2CC"),
    "rcel": (3.12, 1.4, 1.46, 0.34, "RCEL  squared shares", "#FFF2CC"),
    "sum": (4.75, 0.85, 2.6, 0.5, "L = α BCL + β HDL + γ RCEL\nα = β = γ = 0.1", "#F8CBAD"),
}
#: arrows from box to box with the sides they leave and enter
ARROWS = (
    ("clean", "bottom", "net1", "top"), ("net1", "bottom", "ce", "top"), ("batch", "right", "pgd", "left"),
    ("pgd", "right", "adv", "left"), ("adv", "bottom", "net2", "top"), ("net2", "left", "classes", "right"),
    ("classes", "left", "bcl", "right"), ("classes", "left", "hdl", "right"), ("classes", "left", "rcel", "right"),
)  # fmt: skip
STAGES = (
    (0.15, 0.35, 1.6, 3.35, "Stage 1: epochs 1–40\nfast accuracy on clean images"),
    (2.1, 0.35, 5.2, 3.35, "Stage 2: epochs 41–100\nHARL, hierarchical equalization on adversarial images"),
)
ALT = (
    "Diagram. Stage 1, 40 epochs: clean batch, network, cross-entropy. Its weights start stage 2, 60 epochs: clean "
    "batch, PGD with 10 steps, adversarial batch, network, mean loss of each class, the terms BCL, HDL and RCEL, "
    "their weighted sum, which updates the network."
)


@register("figures")
class Fig4(plot.PaperFigure):
    """Nothing measured."""

    name = "fig4"
    number = 4
    caption = "The two stages of TAET, one optimiser and one schedule throughout; drawn from the paper's equations"
    measured = False

    def draw(self, source: Source, panel: Panel, save: plot.Save) -> plot.Drawing | None:
        """Boxes and arrows."""
        with draw.figure(7.4, 4.1) as (made, axes):
            axis = axes[0][0]
            axis.set(xlim=(0, 7.45), ylim=(0.15, 4.35), xticks=[], yticks=[], aspect="equal")
            axis.grid(visible=False)
            axis.spines[:].set_visible(False)
            for x, y, width, height, title in STAGES:
                _box(axis, x + width / 2, y + height / 2, width, height, "", "#F7F7F7", 0.12)
                first, _, second = title.partition("\n")
                axis.text(x + 0.02, y + height + 0.33, first, weight="bold", va="center", fontsize=9)
                axis.text(x + 0.02, y + height + 0.13, second, va="center", fontsize=7.4, color="#444444")
            for box in BOXES.values():
                _box(axis, *box)
            for source_, leaves, target, enters in ARROWS:
                _arrow(axis, _side(source_, leaves), _side(target, enters))
            for part in ("bcl", "hdl", "rcel"):
                x, y = _side(part, "left")
                axis.plot([x, x - 0.13, x - 0.13], [y, y, 0.85], color=draw.INK, linewidth=0.9)
            _arrow(axis, (_side("bcl", "left")[0] - 0.13, 0.85), _side("sum", "left"))
            _arrow(axis, _side("net1", "right"), (2.1, 1.95))
            axis.text(1.92, 2.05, "weights", ha="center", fontsize=7, rotation=90, va="bottom")
            _arrow(axis, _side("sum", "right"), (6.55, 0.85), head=False)
            _arrow(axis, (6.55, 0.85), _side("net2", "bottom"))
            axis.text(6.62, 1.25, "update", fontsize=7)
            return plot.Drawing(save(made), ALT)


def _box(
    axis: Any, x: float, y: float, width: float, height: float, text: str, colour: str, rounding: float = 0.06
) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = f"round,pad=0,rounding_size={rounding}"
    axis.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle=style,
            facecolor=colour,
            edgecolor=draw.INK,
            linewidth=0.8,
        )
    )
    axis.text(x, y, text, ha="center", va="center", fontsize=7.4, linespacing=1.25)


def _side(name: str, side: str) -> tuple[float, float]:
    x, y, width, height, *_ = BOXES[name]
    dx, dy = {"left": (-0.5, 0), "right": (0.5, 0), "top": (0, 0.5), "bottom": (0, -0.5)}[side]
    return x + dx * width, y + dy * height


def _arrow(axis: Any, start: tuple[float, float], end: tuple[float, float], head: bool = True) -> None:
    style = "-|>" if head else "-"
    axis.annotate(
        "",
        end,
        start,
        arrowprops={
            "arrowstyle": style,
            "color": draw.INK,
            "linewidth": 0.9,
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 9,
        },
    )
