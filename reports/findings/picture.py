"""A claim's differences as a small drawing: both numbers beside the line of a constant answer, and their difference.

It is written by a template, not by a plotting library: the same numbers are the same bytes with every version of
everything, its text is text, and it follows the reader's light or dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.judge.stats import Interval
from bench.reports.findings.gap import Gap
from bench.reports.findings.setting import Setting
from bench.reports.paired.pairing import SCOPE
from bench.reports.render import html_environment

#: rows of a drawing, its width, and the (left, width) of both panels, in pixels: narrow, to be read on a phone too
MOST, WIDTH, LEFT, RIGHT = 10, 460, (12, 208), (240, 208)
#: distances between ticks, in points
STEPS = (0.5, 1, 2, 5, 10, 20, 25, 50)


@dataclass(frozen=True)
class Scale:
    """Points to pixels."""

    low: float
    high: float
    panel: tuple[int, int]

    def at(self, fraction: float) -> float:
        """Where a fraction lies; what is outside lies at the edge."""
        part = (100 * fraction - self.low) / (self.high - self.low)
        return round(self.panel[0] + self.panel[1] * min(max(part, 0), 1), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Pixels and text of round values."""
        step = next((s for s in STEPS if (self.high - self.low) / s <= 5), STEPS[-1])
        first = int(-(-self.low // step))
        values = [i * step for i in range(first, int(self.high // step) + 1)]
        return [(self.at(v / 100), f"{v:g}".replace("-", "−")) for v in values]


@dataclass(frozen=True)
class Bars:
    """A value in pixels with (low, high) over test images and over seeds; None where there is no interval."""

    value: float
    images: tuple[float, float] | None
    seeds: tuple[float, float] | None


def draw(found: Sequence[tuple[Setting, Gap]], sides: tuple[str, str]) -> str:
    """The first of these differences, as SVG. `sides`: what the two numbers of a row are, each over the shared seeds.

    Rows name their settings where there are several; all have as many classes as the first.
    """
    first, gap = found[0]
    classes = len(first.at(gap.case.a)[0].counts.names)
    some = [(s, g) for s, g in found if len(s.at(g.case.a)[0].counts.names) == classes][:MOST]
    of_all = all(g.case.scope == SCOPE for _, g in some)
    shown, chance, several = [g for _, g in some], 1 / classes, len({s for s, _ in some}) > 1
    both = [[s.source.estimate(of, g.case.scope) for of in g.pair.of] for s, g in some]
    ends = [100 * e for pair in both for one in pair for i in (one.sampling, one.seeds) if i for e in (i.low, i.high)]
    reach = max(
        2.0, *(100 * abs(e) for g in shown for i in (g.result.images, g.result.seeds) if i for e in (i.low, i.high))
    )
    left = Scale(max(0.0, min(*ends, 100 * chance) - 2), min(100.0, max(*ends, 100 * chance) + 2), LEFT)
    right = Scale(-1.05 * reach, 1.05 * reach, RIGHT)
    rows = [
        (
            gap.case.name + (f", setting {setting.number}" if several else ""),
            [_bars(left, x, one.sampling, one.seeds) for x, one in zip((gap.pair.a, gap.pair.b), pair, strict=True)],
            _bars(right, gap.value, gap.result.images, gap.result.seeds),
        )
        for (setting, gap), pair in zip(some, both, strict=True)
    ]
    return (
        html_environment()
        .get_template("findings.svg.j2")
        .render(
            rows=rows,
            left=left,
            right=right,
            chance=left.at(chance) if of_all else None,  # of some classes a constant answer is right for all or none
            zero=right.at(0),
            sides=sides,
            width=WIDTH,
        )
    )


def _bars(scale: Scale, value: float, images: Interval | None, seeds: Interval | None) -> Bars:
    pair = [None if i is None else (scale.at(i.low), scale.at(i.high)) for i in (images, seeds)]
    return Bars(scale.at(value), *pair)
