"""What a grid costs before it runs: passes, and from measured rates seconds, memory and disk.

Passes follow from the recipe and the attacks, and where a finished cell has run the same attack on the same data, from
what it needed there. Seconds follow from rates measured on this device, by `bench doctor --calibrate` or else by cells
in the results folder. Without a measurement the seconds are unknown, never guessed.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from bench import longtail
from bench.api import Attack, DatasetFacts
from bench.audit.run import Plan, predicted
from bench.config import AttackSpec, CellSpec, Task
from bench.engine.plan import Work
from bench.engine.price.rates import Line, Rate, key, read_calibration
from bench.engine.verdicts.chunks import EVALUATION_BATCH
from bench.errors import StoreError
from bench.plugins import dataset_facts, epoch_images, make_method, needs, passes
from bench.registry import registry
from bench.sizes import IMAGE, read_facts
from bench.store.parts.files import read
from bench.store.schema import CELL

#: share of test images taken to resist an attack of several stages, where no finished cell tells; on the safe side
SURVIVORS = 0.5
#: processes that import everything before the first cell: the command and its worker
STARTS = 2
#: MiB of a cell's files besides the checkpoint, which holds weights and momentum
FILES_MIB = 0.2


@dataclass(frozen=True)
class Cost:
    """Forward and backward passes of one image; seconds on one process, peak MiB of a process, MiB of disk.

    `gflop`: arithmetic of all passes, of networks that `bench/models/facts.csv` knows.
    """

    forward: float = 0.0
    backward: float = 0.0
    seconds: float | None = 0.0
    memory_mib: float | None = None
    disk_mib: float = 0.0
    gflop: float = 0.0

    def times(self, count: int) -> Cost:
        """The same again and again."""
        seconds = None if self.seconds is None else count * self.seconds
        return dataclasses.replace(self, forward=count * self.forward, backward=count * self.backward, seconds=seconds)

    def __add__(self, other: Cost) -> Cost:
        known = [m for m in (self.memory_mib, other.memory_mib) if m is not None]
        return Cost(
            self.forward + other.forward,
            self.backward + other.backward,
            None if self.seconds is None or other.seconds is None else self.seconds + other.seconds,
            max(known, default=None),
            self.disk_mib + other.disk_mib,
            self.gflop + other.gflop,
        )


@dataclass(frozen=True)
class Known:
    """What has been measured: rates by `rates.key`, and passes an image by (data set, attack label)."""

    rates: Mapping[str, Rate] = field(default_factory=dict)
    passes: Mapping[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    batch: int = EVALUATION_BATCH["cpu"]

    def rate(self, spec: CellSpec, facts: DatasetFacts, precision: str) -> Rate | None:
        """The rate of a cell's network on its images."""
        return self.rates.get(key(spec.model, _image(spec, facts), precision))


def estimate(todo: Sequence[Work], results: Path, data_root: Path | None, device: str) -> Cost:
    """The cost of planned work, one cell after the other in one worker process."""
    total, startup, first = Cost(), 0.0, 0.0
    if not todo:
        return total
    known = learn(results, data_root, device)
    for task, lacks, *_ in todo:
        facts = dataset_facts(task.spec.dataset, data_root)
        total += cell_cost(task, facts, lacks, known)
        rate = known.rate(task.spec, facts, task.spec.precision)
        if rate:
            startup, first = max(startup, rate.startup), max(first, rate.first)
    return total + Cost(seconds=STARTS * startup + first)


def cell_cost(task: Task, facts: DatasetFacts, lacks: Sequence[str], known: Known) -> Cost:
    """The cost of one task's missing stages."""
    if not lacks:
        return Cost()
    spec = task.spec
    trained, tested = known.rate(spec, facts, spec.precision), known.rate(spec, facts, "fp32")
    total = Cost()
    if "train" in lacks or "curves" in lacks:
        total += training(spec, facts, trained)
        if spec.recipe.judge is not None:
            held = [longtail.held_out(n, spec.recipe.validation) for n in _chosen(spec, facts)]
            judged = evaluation(spec, facts, AttackSpec.parse(spec.recipe.judge), held, tested, known)
            total += judged.times(spec.recipe.epochs)
        followed = split_counts(spec, facts, "long-tailed")
        for text in task.want.track:
            curve = evaluation(spec, facts, AttackSpec.parse(text), followed, tested, known)
            total += curve.times(spec.recipe.epochs)
    for wanted in task.want.evaluations:
        if wanted.key in lacks:
            counts = split_counts(spec, facts, wanted.test_split)
            total += evaluation(spec, facts, wanted.attack, counts, tested, known)
    fixed, listed = trained or tested, read_facts().get(spec.model)
    weights = fixed.weights_mib if fixed else 0.0
    if listed:
        _, height, width = _image(spec, facts)
        each = listed.gflop_forward * height * width / (IMAGE[1] * IMAGE[2])
        total += Cost(gflop=each * (total.forward + 2 * total.backward))  # a backward pass is as much as two forward
        weights = weights or listed.parameters * 4 / 2**20
    disk = FILES_MIB + 2 * weights
    if fixed is None:
        return total + Cost(disk_mib=disk)
    peak = fixed.memory(spec.recipe.batch_size)
    memory = None if peak is None else peak + _data_mib(spec, facts)
    return total + Cost(0.0, 0.0, fixed.cell, memory, disk)


def training(spec: CellSpec, facts: DatasetFacts, rate: Rate | None) -> Cost:
    """All epochs of a cell. A step is one outer pass; backward passes beyond it are attack steps."""
    recipe, method = spec.recipe, make_method(spec)
    images = epoch_images(spec, method, [n - longtail.held_out(n, recipe.validation) for n in _chosen(spec, facts)])
    forward, backward = passes(spec, method)
    total = recipe.epochs * images
    if rate is None:
        return Cost(total * forward, total * backward, None)
    step, attack, more = (line.seconds(images, recipe.batch_size) for line in (rate.step, rate.attack, rate.forward))
    seconds = step + max(backward - 1, 0.0) * attack + max(forward - backward, 0.0) * more
    return Cost(total * forward, total * backward, recipe.epochs * seconds)


def _chosen(spec: CellSpec, facts: DatasetFacts) -> list[int]:
    """Images a class of the long-tailed training set, before any are held out."""
    return class_counts(facts.train_max, facts.own_train, spec.ir, facts.classes, spec.limit)


def evaluation(
    spec: CellSpec, facts: DatasetFacts, attack: AttackSpec, counts: Sequence[int], rate: Rate | None, known: Known
) -> Cost:
    """One attack on one test split with these images a class. A backward pass comes with its forward pass."""
    made, images = _made(spec, facts, attack), sum(counts)
    forward, backward = made.passes()
    attacked = images * (SURVIVORS if len(made.stages()) > 1 else 1.0)
    if (spec.dataset, attack.label) in known.passes:
        forward, backward = known.passes[spec.dataset, attack.label]
        attacked = images
    elif plan := planned(spec, facts, attack, counts):
        attacked = plan.passes / (forward + backward)  # survivors of every stage that would cost as much
    if rate is None:
        return Cost(attacked * forward, attacked * backward, None)
    gradient, lone = (line.seconds(attacked, known.batch) for line in (rate.gradient, rate.forward))
    passes = backward * gradient + max(forward - backward, 0.0) * lone
    seconds = passes * rate.slowdown.get(attack.name, 1.0) + rate.evaluation
    return Cost(attacked * forward, attacked * backward, seconds)


def _made(spec: CellSpec, facts: DatasetFacts, attack: AttackSpec) -> Attack:
    cls = registry("attacks").get(attack.name)
    made: Attack = cls(cls.Params(**dict(attack.params)), spec.threat, facts.classes)
    return made


def planned(spec: CellSpec, facts: DatasetFacts, attack: AttackSpec, counts: Sequence[int]) -> Plan | None:
    """The sample that an audit would take of these images a class, at typical rates; None of a full evaluation."""
    made = _made(spec, facts, attack)
    goal = made.goal()
    return predicted(np.array(counts), goal, made.costs()) if goal and sum(counts) else None


def plans(tasks: Sequence[Task], data_root: Path | None) -> dict[str, list[str]]:
    """The plans in words, by `<cell>, <split>/<attack>`."""
    found = {}
    for task in tasks:
        facts = dataset_facts(task.spec.dataset, data_root)
        for wanted in task.want.evaluations:
            plan = planned(task.spec, facts, wanted.attack, split_counts(task.spec, facts, wanted.test_split))
            if plan:
                found[f"{task.spec.id}, {wanted.key}"] = plan.lines([str(c) for c in range(facts.classes)])
    return found


def split_counts(spec: CellSpec, facts: DatasetFacts, split: str) -> list[int]:
    """Test images a class of a split, as the data module will choose them."""
    ir, own = (spec.ir, facts.own_test) if split == "long-tailed" else (None, ())
    return class_counts(facts.test_max, own, ir, facts.classes, spec.limit)


def class_counts(largest: int, own: Sequence[int], ir: float | None, classes: int, limit: int | None) -> list[int]:
    """Images a class as the data module will choose them: by the law, or the set's `own` (), or equally many."""
    if ir is None:
        full = list(own) or [largest] * classes
    else:
        full = longtail.counts(largest, ir, classes, at_least=1) if largest else [largest] * classes
    return longtail.limited(full, limit) if largest else full


class _Stage(msgspec.Struct):
    seconds: float = 0.0
    forward: float = 0.0
    backward: float = 0.0
    images: float = 0.0
    peak_memory_mib: float | None = None
    weights_mib: float = 0.0


class _Resized(msgspec.Struct):
    resize: int | None = None


class _Spec(msgspec.Struct):
    dataset: str
    model: str
    precision: str = "fp32"
    recipe: _Resized = msgspec.field(default_factory=_Resized)


class _Device(msgspec.Struct):
    kind: str = ""


class _Timed(msgspec.Struct):
    """What cell.json says of what a cell took; nothing else is read, so ten thousand cells take seconds."""

    spec: _Spec
    stages: dict[str, _Stage] = {}
    device: _Device = msgspec.field(default_factory=_Device)


def learn(results: Path, data_root: Path | None, device: str) -> Known:
    """Everything measured so far: the calibration file's rates, and the store's where that has none."""
    cells = list(_timed(results)) if results.is_dir() else []
    kind = device.partition(":")[0]
    rates = _rates_of(cells, data_root, kind) | read_calibration(device)
    return Known(rates, _passes_of(cells), EVALUATION_BATCH.get(kind, EVALUATION_BATCH["cpu"]))


def _timed(results: Path) -> Iterator[_Timed]:
    """What every cell of a store took; one that cannot be understood tells nothing."""
    for path in sorted(results.glob(f"*/{CELL}")):
        with suppress(OSError, StoreError, msgspec.DecodeError, RecursionError):
            yield msgspec.json.decode(read(path), type=_Timed)


def _rates_of(cells: Sequence[_Timed], data_root: Path | None, kind: str) -> dict[str, Rate]:
    """Seconds a pass from finished trainings, every pass taken as equally long; the median cell of each network."""
    found = dict[str, list[Rate]]()
    images = {name: _image_of(name, data_root) for name in {cell.spec.dataset for cell in cells}}
    for cell in cells:
        train, image = cell.stages.get("train", _Stage()), images[cell.spec.dataset]
        passes = train.forward + train.backward
        if not passes or image is None or (kind not in ("auto", cell.device.kind)):
            continue
        side = cell.spec.recipe.resize
        each = Line(0.0, train.seconds / passes)
        both = Line(0.0, 2 * each.image)
        memory = max((s.peak_memory_mib for s in cell.stages.values() if s.peak_memory_mib), default=None)
        rate = Rate(both, both, each, both, memory_mib=memory, base_mib=memory or 0.0, weights_mib=train.weights_mib)
        name = key(cell.spec.model, (image[0], side, side) if side else image, cell.spec.precision)
        found.setdefault(name, []).append(rate)
    return {name: sorted(rates, key=lambda r: r.forward.image)[len(rates) // 2] for name, rates in found.items()}


def _image_of(dataset: str, data_root: Path | None) -> tuple[int, int, int] | None:
    try:
        return dataset_facts(dataset, data_root).image
    except Exception:  # the data set of an old cell may be gone; its rates then tell nothing
        return None


def _passes_of(cells: Sequence[_Timed]) -> dict[tuple[str, str], tuple[float, float]]:
    """(forward, backward) passes an image of the test set that each attack needed: survivors as they were."""
    found = dict[tuple[str, str], list[tuple[float, float]]]()
    for cell in cells:
        for stage, facts in cell.stages.items():
            label = stage.partition("/")[2]
            if label and facts.images:
                each = facts.forward / facts.images, facts.backward / facts.images
                found.setdefault((cell.spec.dataset, label), []).append(each)
    return {
        name: (statistics.fmean(f for f, _ in pairs), statistics.fmean(b for _, b in pairs))
        for name, pairs in found.items()
    }


def _image(spec: CellSpec, facts: DatasetFacts) -> tuple[int, int, int]:
    side = spec.recipe.resize
    return (facts.image[0], side, side) if side else facts.image


def _data_mib(spec: CellSpec, facts: DatasetFacts) -> float:
    """Training images used, extra ones where they are needed, and the whole test set, resident as bytes."""
    train = sum(_chosen(spec, facts)) + (facts.extra if "extra" in needs(spec) else 0)
    channels, height, width = facts.image
    tested = sum(facts.own_test) or facts.test_max * facts.classes
    return (train + tested) * channels * height * width / 2**20
