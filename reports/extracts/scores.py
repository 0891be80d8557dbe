"""Balanced accuracy in three columns: what a run says at its end, and of each cell as it ends."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.config import format_value
from bench.errors import StoreError
from bench.judge.doubt import doubtful
from bench.judge.evaluations import Evaluation
from bench.reports import paper
from bench.reports.marks import flag
from bench.reports.paired.answer import strength
from bench.reports.source import Config, Source
from bench.reports.text import sign
from bench.store.schema import ROWS
from bench.store.where import Where

#: the attacks that are shown where they were run; others fill up to as many
COLUMNS = ("clean", "pgd-20", "aa")
#: mark of a number that a constant answer gets too
CHANCE = "≤"


@dataclass(frozen=True)
class Score:
    """One number: balanced accuracy in per cent, how far its 95 % interval over test images goes, flags, seeds.

    `chance`: a constant answer gets as much.
    """

    value: float
    half: float
    flags: tuple[str, ...]
    seeds: int
    chance: bool

    @property
    def doubtful(self) -> bool:
        """Whether a flag says that it may be no measure of robustness."""
        return doubtful(self.flags)


@dataclass(frozen=True)
class Line:
    """A configuration: its name, scores by attack, seeds and how its runs fall short of their recipe."""

    config: Config
    label: str
    scores: dict[str, Score]
    seeds: tuple[int, ...]
    reduced: str


@dataclass(frozen=True)
class Block:
    """The lines of one setting, ratio and network, under the attacks that are shown; `more`: those that are not."""

    setting: Where
    heading: str
    attacks: tuple[str, ...]
    lines: tuple[Line, ...]
    more: tuple[str, ...]


def blocks(source: Source, cells: Collection[str] | None = None) -> list[Block]:
    """Every setting, ratio and network of the store in which one of these cells (None: any) has a number."""
    made = []
    for setting in source.index:
        configs = source.configs(setting)
        for ir, model in dict.fromkeys((c.ir, c.model) for c in configs):
            same = [c for c in configs if c.model == model and (c.ir == ir or (math.isnan(ir) and math.isnan(c.ir)))]
            block = _block(source, setting, same, cells)
            if block.lines and block not in made:
                made.append(block)
    return made


def _block(source: Source, setting: Where, configs: Sequence[Config], cells: Collection[str] | None) -> Block:
    found: dict[Config, dict[str, list[Evaluation]]] = {}
    for config in configs:
        by_attack = {
            a: [e for e in some if cells is None or e.cell in cells]
            for a, some in source.index[setting][config].items()
        }
        if any(by_attack.values()):
            found[config] = {a: some for a, some in by_attack.items() if some}
    attacks = sorted({a for some in found.values() for a in some}, key=strength)
    shown = _shown(attacks)
    lines = tuple(_line(source, config, some, shown) for config, some in found.items())
    more = tuple(a for a in attacks if a not in shown and a != "worst")
    return Block(setting, _heading(setting, configs[0]), shown, lines, more)


def _shown(attacks: Sequence[str]) -> tuple[str, ...]:
    """Up to three: those of `COLUMNS`, then the strongest others; clean first, the strongest last."""
    first = [a for a in attacks if a.partition("[")[0] in COLUMNS]
    chosen = [*first, *(a for a in attacks if a not in first and a != "worst")][: len(COLUMNS)]
    return tuple(sorted(chosen, key=lambda a: (a != "clean", -strength(a)[0], a)))


def _line(source: Source, config: Config, found: dict[str, list[Evaluation]], shown: Sequence[str]) -> Line:
    scores = {attack: _score(source, found[attack]) for attack in shown if attack in found}
    used = [e for some in found.values() for e in some]
    reduced = "; ".join(sorted({e.where.reduced for e in used if e.where.reduced}))
    return Line(config, config.label, scores, tuple(sorted({e.seed for e in used})), reduced)


def _score(source: Source, found: Sequence[Evaluation]) -> Score:
    got = source.estimate(found, "balanced")
    flags = tuple(dict.fromkeys(f for e in found for f in e.flags))
    chance = got.value <= 1 / len(found[0].counts.names) + 1e-9
    return Score(100 * got.value, 100 * got.sampling.margin, flags, len(found), chance)


def _heading(setting: Where, config: Config) -> str:
    """`digitslt, IR 10, small-cnn, long-tailed test split`, and what is unusual."""
    ratio = "natural ratio" if math.isnan(config.ir) else f"IR {format_value(config.ir)}"
    return ", ".join((setting.dataset, ratio, config.model, setting.heading()))


def of_cell(folder: Path) -> dict[str, Score]:
    """The scores of one cell, by attack, clean first; empty where it has no rows or they cannot be read."""
    path = folder / ROWS
    try:
        found = blocks(Source(path)) if path.exists() else []
    except StoreError:
        return {}
    one = [block for block in found if block.setting.test_split == "long-tailed"] or found
    return dict(one[0].lines[0].scores) if one else {}


def footnotes(made: Sequence[Block]) -> list[tuple[str, str]]:
    """(mark, text) of every flag of these blocks, in the order of marks."""
    names = {f for b in made for line in b.lines for s in line.scores.values() for f in s.flags}
    low = any(score.chance for b in made for line in b.lines for score in line.scores.values())
    marks = sorted((sign(flag(name).mark), flag(name).text) for name in names)
    return [*([(CHANCE, "at or below a constant answer")] if low else []), *marks]


def marks(score: Score) -> str:
    """The marks behind a score, as `footnotes` explains them."""
    return (CHANCE if score.chance else "") + "".join(sign(flag(name).mark) for name in score.flags)


def plain(made: Sequence[Block]) -> list[dict[str, Any]]:
    """The blocks as plain values for JSON: one entry a configuration, percentages rounded to two decimals."""
    return [
        {
            "dataset": block.setting.dataset,
            "ir": None if math.isnan(line.config.ir) else line.config.ir,
            "model": line.config.model,
            "test_split": block.setting.test_split,
            "recipe": block.setting.recipe,
            "method": line.label,
            "seeds": list(line.seeds),
            "reduced": line.reduced,
            "balanced_accuracy": {
                attack: {
                    "value": round(s.value, 2),
                    "half_width": round(s.half, 2),
                    "flags": list(s.flags),
                    "at_or_below_chance": s.chance,
                }
                for attack, s in line.scores.items()
            },
        }
        for block in made
        for line in block.lines
    ]


def attack_label(attack: str) -> str:
    """As tables call it: `PGD-20`, `AA`."""
    return paper.attack_label(attack)
