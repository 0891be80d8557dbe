"""Attribution as a figure: what each enhancer gains at each method, with intervals, clean and under attack."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from bench.api import register
from bench.judge.attribution import SCOPES, Gain, setting_of
from bench.reports import paper
from bench.reports.drawing import draw
from bench.reports.model import Figure
from bench.reports.source import Source
from bench.reports.tables.attribution import SIGN, attacks_of, grouped
from bench.reports.text import number, slug

TITLES = {"balanced": "All classes", "head": "Frequent half", "tail": "Rare half", "worst-class": "Worst class"}
#: the strongest attack of a setting is drawn beside the clean images
CLEAN = "clean"


@register("figures")
class AttributionFigure:
    """One figure a setting and test split; there only where some cell has an enhancer."""

    name = "attribution"
    number = 90

    def figures(
        self,
        source: Source,
        dataset: str | None = None,
        test_split: str | None = None,
        suffixes: Sequence[str] = ("svg", "pdf"),
    ) -> list[Figure]:
        """The gains of enhancers of every setting of the store."""
        settings = grouped(source, dataset, test_split).values()
        return [_figure(gains, i, suffixes) for i, gains in enumerate(settings, 1)]


def _figure(gains: list[Gain], place: int, suffixes: Sequence[str]) -> Figure:
    gains = [gain for gain in gains if gain.of_enhancer]
    attacks = attacks_of(gains)
    shown = [CLEAN, *[a for a in attacks if a != CLEAN][:1]] if CLEAN in attacks else attacks[:1]
    where = setting_of(gains[0])
    bases = list(dict.fromkeys(gain.at for gain in gains))
    enhancers = list(dict.fromkeys(gain.what for gain in gains))
    found = {(g.what, g.at, g.attack, g.scope): g for g in gains}
    key = slug(f"attribution-figure-{where}")
    with draw.figure(
        7.2, 0.9 + len(shown) * (0.6 + 0.17 * len(enhancers) * (len(bases) + 0.6)), len(shown), len(SCOPES), sharey=True
    ) as (made, axes):
        for row, attack in zip(axes, shown, strict=True):
            for axis, scope in zip(row, SCOPES, strict=True):
                axis.axvline(0, color=draw.INK, linewidth=0.8)
                for i, base in enumerate(bases):
                    _points(axis, i, len(bases), [found.get((what, base, attack, scope)) for what in enhancers], base)
                axis.set_title(f"{TITLES[scope]}, {paper.attack_label(attack)}", fontsize=8)
                axis.grid(axis="y", visible=False)
            row[0].set_yticks(range(len(enhancers)), [_short(what) for what in enhancers])
            row[0].set_ylim(len(enhancers) - 0.4, -0.6)
        for axis in axes[-1]:
            axis.set_xlabel("gain, points")
        handles, labels = draw.first_legend(axes)
        made.legend(handles, labels, loc="outside lower center", ncols=max(len(bases), 1))
        files = draw.files(made, key, suffixes)
    return Figure(
        key,
        f"Attribution {place}",
        "What each enhancer gains at an equal method, paired on the same images and seeds. Thick bars: 95 % over test "
        "images, thin: Student t over seeds, where there are several. Filled, with an arrow: gain or loss after Holm's "
        "correction over the table; hollow: not distinguishable from none.",
        _alt(gains, shown),
        files,
        where,
        words=(str(gains[0].where["dataset"]), f"{gains[0].test_split} test split"),
    )


def _points(axis: Any, i: int, count: int, gains: Sequence[Gain | None], base: str) -> None:
    """The gains of one method: a marker each, filled where the verdict is certain."""
    colour, marker = draw.COLOURS[i % len(draw.COLOURS)], draw.MARKERS[i % len(draw.MARKERS)]
    band = partial(axis.plot, color=colour, solid_capstyle="butt")
    for place, gain in enumerate(gains):
        y = place + (i - (count - 1) / 2) * 0.8 / max(count, 2)
        if gain is not None:
            value, certain = 100 * gain.value, gain.verdict in SIGN
            if gain.seeds is not None:
                band([100 * gain.seeds.low, 100 * gain.seeds.high], [y, y], linewidth=0.7)
            if gain.images is not None:
                band([100 * gain.images.low, 100 * gain.images.high], [y, y], linewidth=2.2, alpha=0.55)
            axis.plot(
                [value],
                [y],
                marker=marker,
                markersize=5,
                linestyle="",
                color=colour,
                markerfacecolor=colour if certain else "white",
                zorder=3,
            )
            if certain:
                axis.annotate(
                    SIGN[gain.verdict],
                    (value, y),
                    (0, 4),
                    textcoords="offset points",
                    ha="center",
                    fontsize=5,
                    color=colour,
                )
    axis.plot([], [], marker=marker, linestyle="", color=colour, label=paper.method_label(base))


def _short(what: str) -> str:
    """`+awp+balanced-sampler+ema+robustlt` on lines of at most two names."""
    names = what.removeprefix("+").split("+")
    return "\n".join("+" + "+".join(names[i : i + 2]) for i in range(0, len(names), 2))


def _alt(gains: Sequence[Gain], shown: Sequence[str]) -> str:
    """The gains of all classes in words."""
    told = [g for g in gains if g.scope == "balanced" and g.attack in shown]
    parts = (
        f"{g.what} at {g.at} {paper.attack_label(g.attack)} {number(100 * g.value, 1, signed=True)}"
        f"{SIGN.get(g.verdict, '')}"
        for g in told
    )
    return "Gain in points, all classes: " + "; ".join(parts) + "."
