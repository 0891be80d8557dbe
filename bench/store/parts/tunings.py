"""What is known of tunings beside the cells of a results folder: `tunings/NAME.json`, one file a tuning.

Every trial is a cell, and a finished one's curve is read from there. The file says which cells were trials of one
tuning, in their order, and what became of those that were given up. A report reads from it how often a row was tuned.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench.config import BENCHMARK_VERSION, CellSpec, canonical_json
from bench.errors import StoreError
from bench.store import query
from bench.store.folders import atomic_write
from bench.store.parts.files import read
from bench.store.schema import LATER
from bench.store.where import PAIRED, USUAL, Where

FORMAT = 1
#: folder beside the cells
TUNINGS = "tunings"
#: the column of epochs.csv that is the objective
COLUMN = "validation"
#: coordinates in which a trial may differ from the row that it was for
FREE = {"reduced", "precision"}


class Trial(msgspec.Struct, frozen=True):
    """One trial. `label`: method, settings and enhancers as a table's row has them; `settings`: those searched.

    `curve`: objective (0 to 1) after each epoch; `value`: the highest of a finished trial, whose epoch is kept.
    """

    cell: str
    label: str
    settings: dict[str, Any]
    state: Literal["done", "pruned", "failed"]
    value: float | None = None
    curve: list[float] = []
    message: str = ""


class Study(msgspec.Struct, frozen=True):
    """What is tuned, where, on what: everything that decides the trials but their number.

    `method` as it was written, without what is searched; `place`: see `place`; `space`: a dimension a line.
    """

    method: str
    place: dict[str, Any]
    seed: int
    validation: float
    objective: str
    space: list[str]
    prune: bool = True
    benchmark: str = BENCHMARK_VERSION

    @property
    def name(self) -> str:
        """`trades-digitslt-1f0c9a3b2e`: of its file."""
        digest = hashlib.sha256(canonical_json(msgspec.to_builtins(self)).encode()).hexdigest()[:10]
        slug = re.sub(r"[^a-z0-9]+", "-", f"{self.method}-{self.place['dataset']}".lower()).strip("-")
        return f"{slug[:60]}-{digest}"


class Tuning(msgspec.Struct, frozen=True):
    """A study and its trials so far."""

    study: Study
    trials: list[Trial] = []
    format: int = FORMAT

    @property
    def best(self) -> Trial | None:
        """The first of the finished trials with the highest value."""
        done = [trial for trial in self.trials if trial.value is not None and trial.state == "done"]
        return max(done, key=lambda trial: trial.value or 0.0, default=None)

    def count(self, state: str) -> int:
        """How many trials ended so."""
        return sum(trial.state == state for trial in self.trials)


def place(spec: CellSpec) -> dict[str, Any]:
    """Where a cell stands: what two rivals share but for their seed; a coordinate that came later where it is used."""
    told = {name: get(spec) for name, get in PAIRED.items()}
    return {name: value for name, value in told.items() if name not in LATER or value != USUAL[name]}


def of_cell(found: Sequence[Tuning], spec: CellSpec) -> list[tuple[Tuning, int]]:
    """(tuning, number of the trial from 0) of every tuning at a cell's place that tried its method and settings.

    How long a trial was and its arithmetic may differ from the cell's: tunings are shorter than what is reported.
    """
    label, here = Where.of(spec).label, place(spec)
    there = [t for t in found if all(t.study.place.get(n) == here.get(n) for n in {*here, *t.study.place} - FREE)]
    tried = ((t, [trial.label for trial in t.trials]) for t in there)
    return [(t, _number(t, labels, label)) for t, labels in tried if label in labels]


def _number(tuning: Tuning, labels: list[str], label: str) -> int:
    best = tuning.best
    return tuning.trials.index(best) if best is not None and best.label == label else labels.index(label)


def path_of(root: Path, study: Study) -> Path:
    """Where a study is kept."""
    return root / TUNINGS / f"{study.name}.json"


def load(root: Path, study: Study) -> Tuning:
    """What is known of a study. Raises StoreError where its file cannot be understood."""
    path = path_of(root, study)
    if not path.exists():
        return Tuning(study)
    tuning = _read(path)
    if tuning.study != study:
        raise StoreError(f"{path} is of another tuning; move it away, or restore it.")
    return tuning


def keep(root: Path, tuning: Tuning) -> None:
    """Write it down."""
    text = json.dumps(msgspec.to_builtins(tuning), indent=1, ensure_ascii=False, allow_nan=False)
    atomic_write(path_of(root, tuning.study), text + "\n")


def agrees(root: Path, trial: Trial) -> bool:
    """Whether a finished trial's cell still has the curve that is told; one that was taken away is believed."""
    frame = query.curves(root / trial.cell)
    return frame.empty or (COLUMN in frame and [float(value) for value in frame[COLUMN]] == trial.curve)


def tunings(root: Path) -> tuple[list[Tuning], list[str]]:
    """(all tunings of a results folder by name, one sentence for each file that cannot be understood)."""
    found, problems = list[Tuning](), list[str]()
    for path in sorted((root / TUNINGS).glob("*.json")):
        try:
            found.append(_read(path))
        except StoreError as error:
            problems.append(str(error))
    return found, problems


def _read(path: Path) -> Tuning:
    try:
        tuning = msgspec.json.decode(read(path), type=Tuning)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"{path} cannot be understood ({error}); move it away, and the tuning begins anew.") from error
    if tuning.format != FORMAT:
        raise StoreError(f"{path} has format {tuning.format}, and this version reads {FORMAT}; install a newer one.")
    return tuning
