"""Every number of the leaderboard from an entry's counts: accuracies, intervals, chance, and the test against the best.

An entry holds counts and no verdicts of single images, so two entries are compared as if each had been measured on
test images of its own: the difference of the balanced accuracies over the root of both squared standard errors. On the
same images the two are usually correlated and the test is then cautious. Where both have several seeds, Welch's t over
the seeds must agree; p is the larger of the two, corrected (Holm) over the rivals of a table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from bench.board.entry import FIRST, Entry, Numbers, setting
from bench.judge.metrics import WORST_CLASS, metric
from bench.judge.paired import holm
from bench.judge.stats import LEVEL, estimate, standard_error
from bench.store.flags import FLAGS
from bench.store.where import Where

SHOWN = ("balanced", "tail", WORST_CLASS, "standard")


@dataclass(frozen=True)
class Line:
    """An entry on the board. `unreliable`: reasons why its first number may be no measure of robustness.

    `p`: against the best of its table, None for the best itself and where nothing is compared. `verdict`: in words.
    """

    entry: Entry
    unreliable: tuple[str, ...]
    verdict: str = ""
    p: float | None = None

    @property
    def first(self) -> dict[str, float]:
        """Its numbers under the first attack."""
        return self.entry.numbers[FIRST]


@dataclass(frozen=True)
class Table:
    """Entries of one setting, best first; those that are claimed or unreliable stand where their number puts them.

    `chance`: balanced accuracy of a constant answer in percent.
    """

    where: Where
    lines: tuple[Line, ...]
    chance: float


def counts(entry: Entry, attack: str) -> tuple[np.ndarray, np.ndarray]:
    """(n, correct) of all runs, seeds x classes from the most to the least frequent."""
    correct = np.array([run.correct[attack] for run in entry.runs], dtype=float)
    return np.broadcast_to(np.array([c.n for c in entry.classes], dtype=float), correct.shape), correct


def numbers(entry: Entry) -> Numbers:
    """Attack -> metric -> percent of an entry, means over its seeds, with the 95 % bounds of the balanced accuracy.

    `low`, `high`: other test images. `seeds_low`, `seeds_high`: other seeds, where there are several.
    """
    made: Numbers = {}
    for attack in entry.attacks:
        n, correct = counts(entry, attack)
        values = {name: float(metric(name, n, correct).mean()) for name in SHOWN}
        found = estimate("balanced", [*n], [*correct], LEVEL)
        values |= {"low": found.sampling.low, "high": found.sampling.high}
        values |= {} if found.seeds is None else {"seeds_low": found.seeds.low, "seeds_high": found.seeds.high}
        made[attack] = {name: round(100 * value, 2) for name, value in values.items()}
    return made


def unreliable(entry: Entry) -> tuple[str, ...]:
    """Why the first number may be no measure of robustness: flags that say so, a run that was cut short."""
    invalid = {flag.name: flag.text for flag in FLAGS if flag.invalid}
    harmless = {flag.name for flag in FLAGS} - set(invalid)
    raised = sorted({name for run in entry.runs for name in run.flags[FIRST]} - harmless)
    reasons = [f"{name}: {invalid.get(name, 'a flag that this version does not know')}" for name in raised]
    cut = entry.place.reduced
    return (*reasons, *([f"reduced run: {cut}"] if cut else []))


def tables(entries: Sequence[Entry]) -> list[Table]:
    """One table a setting, in the order of their coordinates."""
    groups: dict[tuple[object, ...], list[Entry]] = {}
    for entry in entries:
        place = setting(entry)
        groups.setdefault(tuple(map(str, place.key(list(place.__dataclass_fields__)))), []).append(entry)
    return [_table(groups[key]) for key in sorted(groups)]


def _table(entries: Sequence[Entry]) -> Table:
    made = [Line(entry, unreliable(entry)) for entry in entries]
    lines = sorted(made, key=lambda line: (-line.first["balanced"], line.entry.place.label, line.entry.place.model))
    chance = 100 / len(entries[0].classes)
    lines = [Line(line.entry, line.unreliable, _apart(line, chance)) for line in lines]
    sound = [line for line in lines if not line.verdict]
    judged: dict[int, Line] = {}
    if sound:
        best, *rivals = sound
        raw = [against(best.entry, line.entry) for line in rivals]
        judged[id(best)] = Line(best.entry, (), "best measured")
        for line, p in zip(rivals, holm(raw), strict=True):
            verdict = "lower" if p < 1 - LEVEL else "not distinguishable"
            judged[id(line)] = Line(line.entry, (), verdict, round(p, 4))
    return Table(setting(entries[0]), tuple(judged.get(id(line), line) for line in lines), round(chance, 2))


def _apart(line: Line, chance: float) -> str:
    """Why an entry takes no part in the comparison; empty when it does."""
    if line.entry.claimed or line.unreliable:
        return "not compared: " + ("claimed" if line.entry.claimed else "unreliable")
    return "no better than chance" if line.first["balanced"] <= round(chance, 2) else ""


def against(best: Entry, other: Entry) -> float:
    """P that the balanced accuracies under the first attack are equal, two-sided."""
    pairs = [counts(entry, FIRST) for entry in (best, other)]
    values = [metric("balanced", n, correct) for n, correct in pairs]
    difference = float(values[0].mean() - values[1].mean())
    errors = [float(standard_error("balanced", n[0], correct.mean(axis=0))) for n, correct in pairs]
    images = 2 * float(special.ndtr(-abs(difference) / math.hypot(*errors)))
    if min(map(len, values)) < 2:
        return images
    if all(float(v.std()) == 0 for v in values):
        return images
    return max(images, float(stats.ttest_ind(*values, equal_var=False).pvalue))
