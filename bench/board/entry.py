"""What an entry of the leaderboard holds, how its file is read, and what is impossible in one.

Counts are its only truth: `numbers` repeats what follows from them (`bench.board.derive`), so that a review of the file
sees them, and a check derives them again.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import msgspec

from bench.config import AttackSpec
from bench.errors import StoreError, UsageError
from bench.store.schema import LATER
from bench.store.where import FIELDS, SETTING, Where

FORMAT = 1
#: what the code of a method is that this project holds, before its version
OWN = "robust-longtail-bench "
#: without these attacks there is no entry
CLEAN, FIRST = "clean", "aa"
#: an entry is read by people: a file beyond this is none
LARGEST = 2**20
#: attack -> metric -> percent, two decimals
Numbers = dict[str, dict[str, float]]


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    """A record in which nothing may stand that is not known."""


class Class(Strict):
    """A class of the data set: 0-based index, name, training and test images."""

    index: int
    name: str
    train: int
    n: int


class AttackFacts(Strict):
    """How an attack ran: engine, norm, radius on the [0,1] scale, parameters, notes for the reader."""

    engine: str
    norm: str
    eps: float | None
    params: dict[str, Any]
    notes: list[str]


class Run(Strict):
    """One training seed: its cell, the hash of its weights (empty: none), correct images a class by attack, flags."""

    seed: int
    cell: str
    weights: str
    correct: dict[str, list[int]]
    flags: dict[str, list[str]]


class Entry(Strict):
    """One line of the board. `where`: the coordinates that all its runs share; `natural`: a ratio of the data's own.

    `classes` run from the most to the least frequent. `code`, `paper`, `url`, `extra_data`: what the submitter says.
    """

    format: int
    where: dict[str, Any]
    natural: bool
    paper: str
    url: str
    code: str
    extra_data: str
    classes: list[Class]
    attacks: dict[str, AttackFacts]
    runs: list[Run]
    numbers: Numbers

    @property
    def place(self) -> Where:
        """Its coordinates, without attack and seed."""
        return Where.of_row(self.where, self.natural)

    @property
    def enhancers(self) -> list[str]:
        """Its enhancers as they are written."""
        return str(self.where["method"]).split("+")[1:]

    @property
    def claimed(self) -> str:
        """Why it counts as claimed, not measured; empty when it is measured."""
        lacks = [] if self.code else ["code"]
        lacks += [] if all(run.weights for run in self.runs) else ["hash of its weights"]
        return f"no {' and no '.join(lacks)}" if lacks else ""


def read(path: Path) -> Entry:
    """One entry's file. Raises StoreError, which names the file and what is wrong with it."""
    try:
        if path.stat().st_size > LARGEST:
            raise StoreError(f"{path} is larger than {LARGEST // 2**20} MiB, so it is no entry; take it away.")
        entry = msgspec.json.decode(path.read_bytes(), type=Entry)
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}); restore it.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"{path} is no entry ({error}); make it with `bench submit`.") from error
    wrong = complaint(entry)
    if wrong:
        raise StoreError(f"{path} is no sound entry: {wrong}; make it with `bench submit`.")
    return entry


def written(entry: Entry) -> bytes:
    """The file's bytes: fields in their order, a list of counts on one line."""
    text = json.dumps(msgspec.to_builtins(entry), indent=1, ensure_ascii=False, allow_nan=False)
    return (re.sub(r"\[\n\s+(\d+(?:,\n\s+\d+)*)\n\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text) + "\n").encode()


def complaint(entry: Entry) -> str:
    """What is impossible in an entry, or nothing."""
    if entry.format != FORMAT:
        return f"its format is {entry.format}, and this version reads {FORMAT}"
    wanted = {name for name, f in FIELDS.items() if f.metadata["stored"]} - {"attack", "seed"}
    if not wanted - set(LATER) <= set(entry.where) <= wanted:
        return f"`where` must hold {', '.join(sorted(wanted - set(LATER)))}"
    return _words(entry) or _classes(entry) or next(filter(None, (_run(entry, run) for run in entry.runs)), "")


def _words(entry: Entry) -> str:
    numbers = {name for name, f in FIELDS.items() if isinstance(f.default, float)}
    for name, value in entry.where.items():
        if not isinstance(value, (int, float) if name in numbers else str) or isinstance(value, bool):
            return f"`where.{name}` is {value!r}"
    if not 0 <= entry.where.get("eps", 0) <= 1 or not 1 <= entry.where.get("ir", 1) < math.inf:
        return "its radius is not within 0 and 1, or its ratio is below 1"
    for name, text in (("url", entry.url), ("code", "" if entry.code.startswith(OWN) else entry.code)):
        if text and not text.startswith(("https://", "http://")):
            return f"`{name}` is '{text}', which is no address that begins with https://"
    for label in entry.attacks:
        try:
            AttackSpec.parse(label)
        except UsageError as error:
            return f"the attack '{label}' cannot be read ({error})"
    return ""


def _classes(entry: Entry) -> str:
    order = [(-c.train, c.index) for c in entry.classes]
    if len(order) < 2 or order != sorted(order) or len({c.index for c in entry.classes}) < len(order):
        return "its classes are not two or more, each once, from the most to the least frequent"
    if any(c.n < 1 or c.train < 0 or c.index < 0 for c in entry.classes):
        return "a class has no test images, or a negative number of them"
    if not entry.runs or len({run.seed for run in entry.runs}) < len(entry.runs):
        return "it has no run, or two of one seed"
    if not {CLEAN, FIRST} <= set(entry.attacks):
        return f"it lacks {CLEAN} or {FIRST}"
    return ""


def _run(entry: Entry, run: Run) -> str:
    who = f"the run of seed {run.seed}"
    if set(run.correct) != set(entry.attacks) or set(run.flags) != set(entry.attacks):
        return f"{who} has other attacks than the entry"
    for label, correct in run.correct.items():
        if len(correct) != len(entry.classes):
            return f"{who} has {len(correct)} counts of {label} for {len(entry.classes)} classes"
        if any(not 0 <= k <= c.n for k, c in zip(correct, entry.classes, strict=True)):
            return f"{who} has more correct images of a class than images, or fewer than none, under {label}"
    if any(k > clean for k, clean in zip(run.correct[FIRST], run.correct[CLEAN], strict=True)):
        return f"{who} has more images of a class correct under {FIRST} than without an attack"
    return ""


def setting(entry: Entry) -> Where:
    """What entries share that stand in one table: data, images, ratio, split, radius; recipe and network are theirs."""
    free = ("recipe", "reduced", "precision")
    return entry.place.only([*(name for name in SETTING if name not in free), "ir", "data_hash"])
