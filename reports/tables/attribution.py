"""Attribution: what each enhancer gains at an equal method, and each method at equal enhancers, paired."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import register
from bench.errors import StoreError
from bench.judge.attribution import SCOPES, Gain, attribution, setting_of
from bench.judge.stats import Interval
from bench.reports import paper
from bench.reports.model import Cell, Column, Footnote, Row, Table
from bench.reports.source import Source
from bench.reports.text import slug

SIGN = {"better": "▲", "worse": "▼"}
NOTES = (
    "Gains are in percentage points, paired on the same images and seeds. The first interval is over test images (of a "
    "worst class from the exact bounds of either), the second Student t over seeds.",
    "▲ gain, ▼ loss, both after Holm's correction over this table; no sign: not distinguishable.",
    "head: mean recall of the frequent half of the classes, tail: of the rare half, worst-class: the lowest recall.",
)
AUDIT_NOTE = (
    "AA, audited: the stages of AutoAttack on a sample of the images, with AutoAttack's own verdicts where a network "
    "has them; the interval over test images holds what the sample may hide."
)
#: attacks in the order of the columns; others are left to the overview
ATTACKS, AUDITED = ("clean", "aa", "pgd-20"), "aa-audited"


@register("tables")
class Attribution:
    """One table a setting, test split and attack; there only where some cell has an enhancer."""

    name = "attribution"
    number = 90

    def tables(self, source: Source, dataset: str | None = None, test_split: str | None = None) -> list[Table]:
        """Gains of enhancers first, then of methods."""
        made = []
        for number, gains in enumerate(grouped(source, dataset, test_split).values(), 1):
            made.append(_table(gains, number))
        return made


def grouped(source: Source, dataset: str | None, test_split: str | None) -> dict[str, list[Gain]]:
    """Gains by setting and test split; none for a store that is rows alone, or whose bits are damaged."""
    found: dict[str, list[Gain]] = {}
    for gain in source.once("attribution", lambda: _gains(source)):
        if dataset in (None, gain.where["dataset"]) and test_split in (None, gain.test_split):
            found.setdefault(setting_of(gain), []).append(gain)
    return found


def _gains(source: Source) -> list[Gain]:
    try:
        return attribution(source.results) if source.results is not None else []
    except StoreError:  # damage is told by the report itself; tables of counts stand without bits
        return []


def attacks_of(gains: Sequence[Gain]) -> list[str]:
    """The attacks that are shown: clean images, then the strongest first."""
    there = dict.fromkeys(gain.attack for gain in gains)
    return [attack for attack in (*ATTACKS, *sorted(filter(_audited, there))) if attack in there]


def _audited(attack: str) -> bool:
    return attack.partition("[")[0] == AUDITED


def _table(gains: list[Gain], number: int) -> Table:
    """Rows: what is gained, at what; columns: attacks x scopes."""
    attacks = attacks_of(gains)
    audits = [attack for attack in attacks if _audited(attack)]
    by_row: dict[tuple[str, str], dict[tuple[str, str], Gain]] = {}
    for gain in gains:
        by_row.setdefault((gain.what, gain.at), {})[gain.attack, gain.scope] = gain
    rows = tuple(
        Row(labels, tuple(_cell(found.get((attack, scope))) for attack in attacks for scope in SCOPES))
        for labels, found in by_row.items()
    )
    where = setting_of(gains[0])
    return Table(
        key=slug(f"attribution-{where}"),
        title=f"Attribution {number}",
        caption="What tricks are worth beside methods: paired gains",
        heads=("Gain of", "At"),
        columns=tuple(Column(scope, paper.attack_label(attack), attack) for attack in attacks for scope in SCOPES),
        rows=rows,
        words=(str(gains[0].where["dataset"]), f"{gains[0].test_split} test split"),
        data=where,
        footnotes=tuple(Footnote("", note) for note in (*NOTES, *([AUDIT_NOTE] if audits else []))),
    )


def _cell(gain: Gain | None) -> Cell:
    if gain is None:
        return Cell()
    mark = SIGN.get(gain.verdict)
    return Cell(
        value=100 * gain.value,
        sampling=_span(gain.images),
        seeds=_span(gain.seeds),
        marks=(mark,) if mark else (),
        provenance=gain.cells,
        runs=gain.runs,
        selector=(gain.test_split, gain.attack),
    )


def _span(interval: Interval | None) -> tuple[float, float] | None:
    """The ends in per cent."""
    return None if interval is None else (100 * interval.low, 100 * interval.high)
