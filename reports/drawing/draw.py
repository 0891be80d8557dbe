"""How every figure looks, and how it becomes bytes that are the same each time.

Colours are Okabe and Ito's; colour never stands alone: lines also differ in dash and marker, bars in hatching, so all
is readable in grey. Figures are made without pyplot, so nothing global is touched but inside a context.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

#: colours that stay apart in grey and for colour-blind readers, dark and light in turn
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000", "#8C6D1F", "#5E4FA2", "#7F7F7F",
           "#B2182B", "#1B7837", "#A6761D")  # fmt: skip
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (8, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "*", "p", "d")
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "oo")
GREY = "#D9D9D9"
INK = "#1b1f24"

STYLE: Any = {
    "font.family": "DejaVu Sans", "font.size": 8.5,
    "axes.titlesize": 9.5, "axes.titleweight": "bold", "axes.labelsize": 8.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": INK, "axes.linewidth": 0.7,
    "axes.grid": True, "grid.color": "#E3E3E3", "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.frameon": False,
    "legend.fontsize": 8, "xtick.labelsize": 8, "ytick.labelsize": 8, "lines.linewidth": 1.6, "lines.markersize": 4.5,
    "hatch.linewidth": 0.5, "figure.facecolor": "white", "savefig.facecolor": "white", "text.parse_math": False,
    "svg.fonttype": "path", "pdf.fonttype": 42,
}  # fmt: skip


@contextmanager
def figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> Iterator[tuple[Any, Any]]:
    """(figure, array of axes) in inches, inside the project's style. Save it inside the block, see `files`."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Glyph .* missing")  # a class name may use any script
        made = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(made)
        yield made, np.asarray(made.subplots(rows, columns, squeeze=False, **options))


#: what would make the bytes differ from run to run
DATELESS = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def files(made: Any, key: str, suffixes: Sequence[str]) -> dict[str, bytes]:
    """The figure as SVG and PDF: no date, ids salted by the figure's key, so the same data give the same bytes."""
    import matplotlib

    out = {}
    made.draw_without_rendering()
    made.set_layout_engine("none")  # laid out once, not again for each format
    with matplotlib.rc_context({"svg.hashsalt": key}):
        for suffix in suffixes:
            buffer = io.BytesIO()
            made.savefig(buffer, format=suffix, metadata=DATELESS[suffix])
            out[suffix] = buffer.getvalue()
    return out


def percent_axis(axis: Any, label: str, top: float | None = 100) -> None:
    """A y axis in per cent from 0."""
    axis.set_ylabel(label)
    axis.set_ylim(0, top)


def class_ticks(axis: Any, names: Sequence[str]) -> None:
    """Class names below bars, turned where they would touch; every tenth for many classes."""
    step = max(1, len(names) // 20)
    axis.set_xticks(range(0, len(names), step), [n if len(n) <= 16 else n[:15] + "…" for n in names[::step]])
    if max(map(len, names), default=0) * len(names) > 34:
        axis.tick_params(axis="x", rotation=45)
        for label in axis.get_xticklabels():
            label.set_horizontalalignment("right")
            label.set_rotation_mode("anchor")
    axis.grid(axis="x", visible=False)


def first_legend(axes: Any) -> tuple[list[Any], list[str]]:
    """Handles and labels of the first axis that has any."""
    found = (axis.get_legend_handles_labels() for axis in axes.flat)
    return next((pair for pair in found if pair[0]), ([], []))


def counts_behind(axis: Any, counts: Any) -> None:
    """Training images a class as grey bars behind the axis, on a scale of their own at the right."""
    twin = axis.twinx()
    twin.bar(range(len(counts)), counts, width=0.85, color=GREY, zorder=0)
    twin.set_ylabel("training images", color="#6b6b6b")
    twin.tick_params(axis="y", colors="#6b6b6b", length=0)
    twin.grid(visible=False)
    twin.spines[["left", "bottom", "right"]].set_visible(False)
    axis.set_zorder(twin.get_zorder() + 1)
    axis.patch.set_visible(False)


def line(axis: Any, x: Any, y: Any, i: int, label: str, **options: Any) -> None:
    """A line whose colour, dash and marker belong to `i`."""
    every = max(1, len(x) // 8)
    axis.plot(
        x,
        y,
        color=COLOURS[i % len(COLOURS)],
        linestyle=DASHES[i % len(DASHES)],
        marker=MARKERS[i % len(MARKERS)],
        markevery=(min(i, every - 1), every),
        label=label,
        **options,
    )
