"""A table for a manuscript: the methods, names and columns that its author chose, and what it rests on in one line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.config import format_number, format_value
from bench.errors import StoreError, UsageError, did_you_mean
from bench.judge.doubt import doubtful
from bench.judge.evaluations import Evaluation
from bench.judge.metrics import check_metric, metric
from bench.judge.stats import Estimate
from bench.reports import paper, text
from bench.reports.extracts.caption import caption
from bench.reports.extracts.choice import MARKED, SPREADS, Choice
from bench.reports.extracts.scores import COLUMNS
from bench.reports.footnote import radius
from bench.reports.marks import flag
from bench.reports.paired.pairing import AHEAD, BEST, TIED, Pairs
from bench.reports.source import Config, Source
from bench.store.where import Where, canonical

#: coordinates in which numbers of a column must be alike to be ranked; recipe and precision are the rows' own
ALIKE = ("source", "eps", "reduced", "benchmark")


@dataclass(frozen=True)
class Entry:
    """A number as it is printed: the value, what stands behind it, whether it is bold, its marks."""

    value: str = text.DASH
    spread: str = ""
    bold: bool = False
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manuscript:
    """The table: heads of the labels, (spanning head, width), column heads, rows, caption, notes, what is missing."""

    heads: tuple[str, ...]
    groups: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[Entry, ...]], ...]
    caption: str
    notes: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Place:
    """Where a number stands, the evaluations that make it, and their estimate."""

    setting: Where
    found: Sequence[Evaluation]
    estimate: Estimate
    flags: tuple[str, ...]
    chance: float | None

    @property
    def kind(self) -> tuple[Any, ...]:
        """What numbers must share to be ranked together."""
        return self.setting.key(ALIKE)

    def apart(self, usual: tuple[Any, ...]) -> str:
        """How it differs from what most of its column share, in words; empty where it does not."""
        if self.kind == usual:
            return ""
        told = {"eps": f"radius {radius(self.setting.eps)}", "reduced": self.found[0].where.reduced or "not reduced"}
        other = [name for name, mine, its in zip(ALIKE, self.kind, usual, strict=True) if mine != its]
        return ", ".join(told.get(name, f"{name} {getattr(self.setting, name)}") for name in other)


def manuscript(source: Source, choice: Choice) -> Manuscript:
    """The table of a store. Raises UsageError for a choice that the store cannot fill, StoreError for an empty one."""
    _check(choice)
    settings = _settings(source, choice)
    configs = {c for s in settings for c in source.configs(s)}
    methods = _methods(choice, [c.label for s in settings for c in source.configs(s)])
    groups = _groups(source, settings, choice, methods)
    attacks = _attacks(source, settings, choice)
    rows = list(dict.fromkeys((m, c.model) for m in methods for c in sorted(configs, key=str) if c.label == m))
    places = [
        [_place(source, settings, choice, row, group, attack) for group in groups for attack in attacks] for row in rows
    ]
    kept = [i for i, line in enumerate(places) if any(line)]
    rows, places = [rows[i] for i in kept], [places[i] for i in kept]
    usual = [_usual(column) for column in zip(*places, strict=True)]
    bold, tested = _bold(source, places, usual, choice)
    others = dict.fromkeys(t for line in places for p, u in zip(line, usual, strict=True) if p and (t := p.apart(u)))
    marks = {told: f"s{i}" for i, told in enumerate(others, 1)}
    networks = list(dict.fromkeys(model for _, model in rows))
    used = [p for line in places for p in line if p is not None]
    return Manuscript(
        heads=("Method", "Network") if len(networks) > 1 else ("Method",),
        groups=tuple((_heading(*group), len(attacks)) for group in groups) if len(groups) > 1 else (),
        columns=tuple(paper.attack_label(a) for _ in groups for a in attacks),
        rows=tuple(
            (
                _labels(row, networks, choice),
                tuple(
                    _entry(p, (i, j) in bold, choice, marks.get(p.apart(usual[j]), "") if p else "")
                    for j, p in enumerate(places[i])
                ),
            )
            for i, row in enumerate(rows)
        ),
        caption=caption(
            [(p.setting, p.found) for p in used], choice, networks, groups, attacks, tested if bold else None
        ),
        notes=(*_notes(used), *((mark, f"not ranked with the others: {told}") for told, mark in marks.items())),
        missing=tuple(
            f"{' on '.join(rows[i] if len(networks) > 1 else rows[i][:1])} has no number for "
            f"{_heading(*groups[j // len(attacks)])} under {attacks[j % len(attacks)]}"
            for i, line in enumerate(places)
            for j, p in enumerate(line)
            if p is None
        ),
    )


def _check(choice: Choice) -> None:
    check_metric(choice.metric)
    for option, value, known in (
        ("spread", choice.spread, SPREADS),
        ("best", choice.best, MARKED),
    ):
        if value not in known:
            raise UsageError(f"--{option} {value} is not one of {', '.join(known)}. {did_you_mean(value, known)}")


def _settings(source: Source, choice: Choice) -> list[Where]:
    """Settings that may be shown, those first that are taken where a method has several."""
    if not source.index:
        raise StoreError(f"{source.root} holds no number; run `bench run` first or give another folder with --results.")
    split = choice.test_split or next(
        s for s in ("long-tailed", "balanced") if any(w.test_split == s for w in source.index)
    )
    some = [
        s
        for s in source.index
        if s.test_split == split
        and (not choice.datasets or s.dataset in choice.datasets)
        and choice.recipe in ("", s.recipe)
    ]
    if not some:
        there = sorted({f"{s.dataset} ({s.test_split}, {s.recipe})" for s in source.index})
        raise UsageError(f"{source.root} holds nothing of that choice; it holds {', '.join(there)}.")
    order = ("paper", "official", "external")
    return sorted(
        some,
        key=lambda s: (
            order.index(s.recipe) if s.recipe in order else len(order),
            bool(s.reduced),
            len(s.unusual()),
            s,
        ),
    )


def _methods(choice: Choice, there: Sequence[str]) -> list[str]:
    known = list(dict.fromkeys(there))
    wanted = [canonical(name) for name in choice.methods] or known
    for name in wanted:
        if name not in known:
            raise UsageError(f"method '{name}' has no number here. {did_you_mean(name, known)}")
    return wanted


def named(pairs: Sequence[str], methods: Sequence[str]) -> dict[str, str]:
    """`taet[beta=3]=Ours (b = 3)` -> the method and its name. Raises UsageError where no method stands before a `=`."""
    found = {}
    for pair in pairs:
        cuts = [i for i, char in enumerate(pair) if char == "="]
        name = next((n for i in cuts if (n := _known(pair[:i], methods))), None)
        if name is None:
            raise UsageError(
                f"--label '{pair}' names no method of the store; write for instance --label '{methods[0]}=My name'."
            )
        found[name] = next(pair[i + 1 :] for i in cuts if _known(pair[:i], methods))
    return found


def _known(written: str, methods: Sequence[str]) -> str | None:
    try:
        name = canonical(written)
    except UsageError:
        return None
    return name if name in methods else None


def _groups(
    source: Source, settings: Sequence[Where], choice: Choice, methods: Sequence[str]
) -> list[tuple[str, float]]:
    """(data set, ratio) of every group of columns, in the order asked for."""
    found = dict.fromkeys((s.dataset, c.ir) for s in settings for c in source.configs(s) if c.label in methods)
    ratios = dict.fromkeys(ir for _, ir in found)
    if choice.irs:
        own = [("natural", ir) for ir in ratios if math.isnan(ir) or ir % 1]
        names = dict([*own, *((format_number(ir), ir) for ir in ratios)])
        for ir in choice.irs:
            if ir not in names:
                raise UsageError(f"--irs {ir} is not in the store; it holds {', '.join(names)}.")
        ratios = dict.fromkeys(names[ir] for ir in choice.irs)
    sets = choice.datasets or tuple(dict.fromkeys(d for d, _ in found))
    return [(d, ir) for d in sets for ir in (ratios if choice.irs else sorted(ratios)) if (d, ir) in found]


def _attacks(source: Source, settings: Sequence[Where], choice: Choice) -> list[str]:
    there = source.attacks(settings)
    for attack in choice.columns:
        if attack not in there:
            raise UsageError(f"column '{attack}' has no number here. {did_you_mean(attack, there)}")
    return list(choice.columns) or [a for a in there if a in COLUMNS] or there


def _place(
    source: Source,
    settings: Sequence[Where],
    choice: Choice,
    row: tuple[str, str],
    group: tuple[str, float],
    attack: str,
) -> Place | None:
    """What the first setting has of a method, network, data set, ratio and attack; None where none has anything."""
    for setting in settings:
        if setting.dataset != group[0]:
            continue
        for config in source.configs(setting):
            if (config.label, config.model) != row or not _equal(config.ir, group[1]):
                continue
            if found := source.evaluations(setting, config, attack):
                flags = tuple(dict.fromkeys(f for e in found for f in e.flags))
                chance = 1 / len(found[0].counts.names) if choice.metric == "balanced" else None
                return Place(setting, found, source.estimate(found, choice.metric), flags, chance)
    return None


def _equal(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _usual(column: Sequence[Place | None]) -> tuple[Any, ...]:
    """What most numbers of a column share of what they must share to be ranked; the first of those as frequent."""
    often = Counter(p.kind for p in column if p is not None)
    return max(often, key=lambda kind: often[kind]) if often else ()


def _bold(
    source: Source, places: Sequence[Sequence[Place | None]], usual: Sequence[tuple[Any, ...]], choice: Choice
) -> tuple[set[tuple[int, int]], bool]:
    """(positions of what is bold, whether a paired test said so), column by column.

    A doubtful number takes no part, nor one that is not made as most of its column are.
    """
    columns = {
        j: {i: p for i, line in enumerate(places) if (p := line[j]) and p.kind == kind and not doubtful(p.flags)}
        for j, kind in enumerate(usual)
    }
    several = {j: column for j, column in columns.items() if len(column) > 1}
    if choice.best == "none":
        return set(), False
    if choice.best == "tested" and choice.metric == "balanced":
        pairs = Pairs(source)
        # a row stands for its method here: what is compared are the evaluations
        stands = {
            j: pairs.standings(
                next(iter(column.values())).setting.test_split,
                {Config(0.0, "", str(i)): p.found for i, p in column.items()},
            )
            for j, column in several.items()
        }
        if stands and all(any(s.pair is not None for s in some.values()) for some in stands.values()):
            return {
                (int(config.method), j)
                for j, some in stands.items()
                for config, s in some.items()
                if s.word in (BEST, TIED, AHEAD)
            }, True
    values = {(i, j): round(100 * p.estimate.value, choice.decimals) for j, c in several.items() for i, p in c.items()}
    highest = {j: max(v for (_, k), v in values.items() if k == j) for j in several}
    return {at for at, value in values.items() if value == highest[at[1]]}, False


def _labels(row: tuple[str, str], networks: Sequence[str], choice: Choice) -> tuple[str, ...]:
    name = choice.labels.get(row[0], paper.method_label(row[0]))
    return (name, paper.MODEL_LABEL.get(row[1], row[1])) if len(networks) > 1 else (name,)


def _entry(place: Place | None, bold: bool, choice: Choice, apart: str) -> Entry:
    if place is None or math.isnan(place.estimate.value):
        return Entry()
    marks = [text.sign(flag(name).mark) for name in place.flags if doubtful([name])]
    low = place.chance is not None and place.estimate.value <= place.chance + 1e-9
    value = text.number(100 * place.estimate.value, choice.decimals)
    return Entry(value, _spread(place, choice), bold, (*(["≤"] if low else []), *marks, *([apart] if apart else [])))


def _spread(place: Place, choice: Choice) -> str:
    """What stands behind ±; empty where there is nothing to say."""
    if choice.spread == "std" and len(place.found) > 1:
        values = [float(metric(choice.metric, e.n, e.correct)) for e in place.found]
        return text.number(100 * float(np.std(values, ddof=1)), choice.decimals)
    interval = {"images": place.estimate.sampling, "seeds": place.estimate.seeds}.get(choice.spread)
    return "" if interval is None else text.number(100 * interval.margin, choice.decimals)


def _heading(dataset: str, ir: float) -> str:
    ratio = "natural ratio" if math.isnan(ir) else f"IR {format_value(ir)}"
    return f"{paper.DATA_LABEL.get(dataset, dataset)}, {ratio}"


def _notes(used: Sequence[Place]) -> tuple[tuple[str, str], ...]:
    """(mark, text) of the flags that make a number no measure, and of chance."""
    names = sorted({f for p in used for f in p.flags if doubtful([f])})
    low = any(p.chance is not None and p.estimate.value <= p.chance + 1e-9 for p in used)
    notes = [(text.sign(flag(name).mark), flag(name).text) for name in names]
    return tuple(([("≤", "at or below a constant answer")] if low else []) + notes)
