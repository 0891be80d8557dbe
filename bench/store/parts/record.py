"""What cell.json says, typed: a record of a cell and of its data, stages, evaluations and failure.

`understood` makes the record and refuses what is none; `complaint` says what in it cannot be of the cell of a folder.
What a cell's numbers rest on is sealed when it is written (`seal`): a value that changed afterwards is noticed. Cells
of older versions have no seal; nothing can be said of them then.

Who reads, reads records. The mapping itself is for the one who writes it (`bench.engine.cell`), and for what shows all
of it as it stands (`CellRecord.document`).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Container, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from bench.audit.kept import Kept
from bench.config import BENCHMARK_VERSION, TEST_SPLITS, CellSpec, cell_from_plain
from bench.errors import BenchError, StoreError
from bench.store.schema import MOST
from bench.store.where import Where

#: no class has fewer images, and nothing takes less time or memory
Count = Annotated[int, msgspec.Meta(ge=0, lt=MOST)]
Amount = Annotated[float, msgspec.Meta(ge=0)]
Counted = list[Count]
#: what changes while a cell is worked on and after it, and is no number
UNSEALED = ("status", "history", "failure", "seal")


class Key(NamedTuple):
    """One evaluation: a test split and an attack, `long-tailed/pgd-20` in cell.json and per_sample.npz."""

    split: str
    attack: str

    @classmethod
    def of(cls, text: str) -> Key:
        """From its text."""
        split, _, attack = text.partition("/")
        return cls(split, attack)

    def __str__(self) -> str:
        return f"{self.split}/{self.attack}"


class DataFacts(msgspec.Struct, frozen=True):
    """The images: where they come from, hashes (16 hex digits), classes, and images of each class."""

    source: str
    data_hash: str
    class_names: list[str]
    train_counts: Counted
    test_counts: dict[str, Counted]
    subset_hash: str = ""
    extra_hash: str = ""
    validation_counts: Counted | None = None

    @property
    def frequent_first(self) -> list[int]:
        """Classes from the most to the least frequent, equal ones by their index: as `Counts` stand."""
        return sorted(range(len(self.train_counts)), key=lambda i: (-self.train_counts[i], i))


class StageFacts(msgspec.Struct, frozen=True):
    """What a stage took: seconds, MiB, images passed forward and backward through the network; epochs of a training."""

    seconds: Amount = 0.0
    peak_memory_mib: Amount | None = None
    forward: Amount = 0.0
    backward: Amount = 0.0
    images: Amount = 0.0
    epochs: Count | None = None
    kept_epoch: Count | None = None
    weights_mib: Amount = 0.0


class Part(msgspec.Struct, frozen=True):
    """A stage of an attack: images that it was run on, and those that it broke."""

    name: str
    attacked: Amount
    broken: Amount
    white_box: bool = False


class EvaluationFacts(msgspec.Struct, frozen=True):
    """An attack on a test split. `code`: mark of its code; `bits`: mark of its verdicts (see `parts.bits`)."""

    engine: str = ""
    name: str = ""
    norm: str = ""
    white_box: bool = False
    strength: float | None = None
    eps: float | None = None
    params: dict[str, Any] = {}
    notes: list[str] = []
    refused: Count = 0
    flags: list[str] = []
    stages: list[Part] = []
    audit: Kept | None = None
    code: str = ""
    bits: str | None = None

    @property
    def counted(self) -> bool:
        """Whether there are counts: an audit that left images out has an estimate, and no count of anything."""
        return self.audit is None or self.audit.whole

    def within(self, radius: float) -> bool:
        """Whether it is an l_inf attack of this radius: the only ones that share a threat model."""
        return self.norm == "linf" and self.eps is not None and math.isclose(self.eps, radius)


class Failure(msgspec.Struct, frozen=True):
    """Where a cell failed, and why."""

    stage: str = ""
    message: str = ""
    traceback: str = ""


class Entry(msgspec.Struct, frozen=True):
    """A change of status, with its time (UTC)."""

    at: str = ""
    status: str = ""
    stage: str = ""


class Device(msgspec.Struct, frozen=True):
    """Where a cell was last worked on."""

    kind: str = ""
    name: str = ""
    threads: int = 0
    at: float = 0

    @property
    def label(self) -> str:
        """`CUDA (NVIDIA H100)`; what is not known is left out."""
        return f"{self.kind.upper()} ({self.name})" if self.kind and self.name else self.name or self.kind.upper()


class CellRecord(msgspec.Struct, frozen=True, dict=True):
    """A whole cell.json. `files`: marks of what lies beside it; `seal`: mark of the record itself.

    `inputs`: marks of what it was made from; None of cells of older versions.
    """

    schema: int
    id: str
    spec: dict[str, Any]
    status: Literal["planned", "running", "done", "failed"]
    benchmark: str = ""
    history: list[Entry] = []
    failure: Failure | None = None
    data: DataFacts | None = None
    stages: dict[str, StageFacts] = {}
    evaluations: dict[str, EvaluationFacts] = {}
    flags: list[str] = []
    probes: dict[str, dict[str, float | None]] = {}
    seeds: dict[str, int] = {}
    versions: dict[str, str] = {}
    device: Device | None = None
    weights: str = ""
    tracked: list[str] = []
    features: bool = False
    inputs: dict[str, str] | None = None
    files: dict[str, str] = {}
    seal: str = ""

    @property
    def document(self) -> Mapping[str, Any]:
        """cell.json itself: all of it, also what no field here is for."""
        found: Mapping[str, Any] = self.__dict__["document"]
        return found

    @property
    def seen(self) -> DataFacts:
        """The data that it saw. Raises StoreError while nothing is known of them."""
        if self.data is None:
            raise StoreError(f"{self.id} says nothing about its data; run the cell again.")
        return self.data

    def counted(self, split: str) -> dict[str, EvaluationFacts]:
        """Every evaluation of a test split that has counts, by the attack's label."""
        return {label: facts for label, facts in self.on(split).items() if facts.counted}

    def on(self, split: str) -> dict[str, EvaluationFacts]:
        """Every evaluation of a test split, by the attack's label."""
        return {
            key.attack: f
            for key, f in zip(map(Key.of, self.evaluations), self.evaluations.values(), strict=True)
            if key.split == split
        }

    def only(self, keys: Container[str]) -> CellRecord:
        """Without the evaluations that are not among `keys`."""
        if all(key in keys for key in self.evaluations):
            return self
        left = {key: facts for key, facts in self.document["evaluations"].items() if key in keys}
        return understood({**self.document, "evaluations": left})

    @cached_property
    def place(self) -> Where:
        """Its coordinates, test split and attack left open."""
        data = self.data or DataFacts("", "", [], [], {})
        return Where.of(
            self.made,
            source=data.source,
            data_hash=data.data_hash,
            train_counts=data.train_counts,
            benchmark=self.benchmark,
        )

    @cached_property
    def made(self) -> CellSpec:
        """The specification. Raises StoreError when it is none."""
        try:
            return cell_from_plain(self.spec)
        except (BenchError, KeyError, TypeError, ValueError, AttributeError) as error:
            said = f"it has no {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
            raise StoreError(f"its specification is none ({said})") from error


def understood(cell: Any) -> CellRecord:
    """The record that a decoded cell.json is. Raises StoreError that names the value of a wrong type."""
    try:
        record = msgspec.convert(cell, CellRecord)
    except (msgspec.ValidationError, RecursionError) as error:
        raise StoreError(f"it cannot be understood: {error}") from error
    record.__dict__["document"] = cell
    return record


def complaint(record: CellRecord, folder: str) -> str:
    """Why this is not the record of the cell in `folder` (its name), in words; empty when nothing speaks against it.

    An id of another benchmark version cannot be recomputed, so it is taken.
    """
    return next(_complaints(record, folder), "")


def _complaints(record: CellRecord, folder: str) -> Iterator[str]:
    if folder != record.id:
        yield f"the folder is called {folder}, its cell.json says {record.id}: a copy is not another cell"
    if record.seal and record.seal != seal(record.document):
        yield "its cell.json is not as it was written: a value in it was changed"
    try:
        if record.benchmark == BENCHMARK_VERSION and record.made.id != record.id:
            yield f"its cell.json says id {record.id}, its specification hashes to {record.made.id}"
        _ = record.made
    except StoreError as error:
        yield str(error)
    data = record.data
    if data is None:
        if record.evaluations:
            yield "it has evaluations and nothing about its data"
        return
    splits = {"train": data.train_counts, **data.test_counts}
    for name, counts in splits.items():
        if len(counts) != len(data.class_names):
            yield f"it says {counts} {name} images for {len(data.class_names)} classes"
    for text, facts in record.evaluations.items():
        key = Key.of(text)
        if facts.audit is not None and not facts.counted and not facts.audit.of(len(data.class_names)):
            yield f"what it says of the audit '{key}' is not by {len(data.class_names)} classes"
        if key.split not in TEST_SPLITS or key.split not in data.test_counts or not key.attack:
            yield f"it says it was evaluated with '{key}', which is no attack on a test split of its data"


def seal(cell: Mapping[str, Any]) -> str:
    """16 hex digits of all that cell.json says but for status, history and failure."""
    body = {name: value for name, value in cell.items() if name not in UNSEALED}
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]
