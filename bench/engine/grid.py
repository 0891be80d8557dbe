"""Axes -> ordered list of tasks, with everything resolved; pure, and the same for every executor.

A setting in brackets behind a method's name (`taet[beta=0.05,steps=20]`) is one of the method's own hyper-parameters
or a field of the recipe; both enter the cell id.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bench import longtail
from bench.api import DatasetFacts, Method
from bench.config import (
    TEST_SPLITS,
    AttackSpec,
    CellSpec,
    Request,
    Split,
    Task,
    ThreatModel,
    check_setting,
    make,
    one_of,
    parse_method,
    parse_variant,
)
from bench.engine.images.subset import check_classes
from bench.engine.settled import settle, settle_enhancers
from bench.errors import BenchError, UsageError
from bench.plugins import make_dataset, make_model, tried
from bench.registry import registry
from bench.store.schema import LATER

#: seeds as every file of a store can hold them: 64 bits with a sign
LEAST_SEED, MOST_SEED = -(2**63), 2**63 - 1
ALL_ATTACKS = ("clean", "fgsm", "pgd-20", "pgd-100", "cw-l2", "cw-linf", "aa")
T = TypeVar("T")


def _with_later(cls: type[T]) -> type[T]:
    """The axes with those that cells got later: fields of `CellSpec` that are columns of `schema.LATER`."""
    later: list[Any] = [
        (f.name, f.type, dataclasses.field(default=f.default)) for f in dataclasses.fields(CellSpec) if f.name in LATER
    ]
    if not later:
        return cls
    named = {"__module__": cls.__module__, "__doc__": cls.__doc__}
    return dataclasses.make_dataclass(cls.__name__, later, bases=(cls,), namespace=named, frozen=True)


@_with_later
@dataclass(frozen=True)
class Axes:
    """The axes of a grid as the user writes them. `irs`: ratios, or `natural` for a set's own imbalance.

    What a cell has under the same name goes into it as it is.
    """

    methods: tuple[str, ...]
    datasets: tuple[str, ...]
    irs: tuple[str, ...] = ("10",)
    models: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    attacks: tuple[str, ...] = ALL_ATTACKS
    recipes: tuple[str, ...] = ("paper",)
    test_splits: tuple[str, ...] = ("long-tailed",)
    epochs: int | None = None
    limit: int | None = None
    precision: str = "fp32"
    compile: bool = False
    deterministic: bool = False
    selection: str = "seeded"
    class_order: str = "natural"
    track: tuple[str, ...] = ()
    features: bool = False


#: axes that a cell has under the same name
SAME = tuple(f.name for f in dataclasses.fields(Axes) if f.name in {own.name for own in dataclasses.fields(CellSpec)})


def expand(axes: Axes, data_root: Path | None = None, refused: dict[str, str] | None = None) -> list[Task]:
    """Every cell of the axes, each once, ordered by data set, ratio, model, recipe, method, seed.

    Before a cell come those that it goes on from (`Method.cells`), of which nothing but their weights is wanted.
    Cells that cannot exist (a ratio that a set cannot have) come with the reason in `skip`. Data sets of which nothing
    can be known go into `refused` with the reason, and have no cells; without it the first one's error is raised.
    Raises UsageError for anything unknown or out of range, and for an empty grid.
    """
    want = _request(axes)
    tasks: dict[str, Task] = {}
    methods = [parse_method(text) for text in axes.methods]
    for (name, _), *_ in methods:
        registry("methods").get(name)
    irs = [parse_ratio(ir) for ir in axes.irs]
    known = {dataset: _facts(dataset, data_root, refused) for dataset in axes.datasets}
    for dataset, recipe in itertools.product(axes.datasets, axes.recipes):
        if (facts := known[dataset]) is None:
            continue
        for ir, model in itertools.product(irs, axes.models or (facts.default_model,)):
            make_model(model).input_size(facts.image)
            skip = _impossible(dataset, facts, ir)
            for (name, settings), *enhancers in methods:
                made = functools.partial(
                    family,
                    name,
                    settings,
                    dataset=dataset,
                    ir=ir,
                    model=model,
                    recipe=recipe,
                    facts=facts,
                    axes=axes,
                    enhancers=enhancers,
                )
                for *before, spec in _each(made, axes.seeds):
                    for base in before:
                        tasks.setdefault(base.id, Task(base, Request(), skip))
                    told = tasks.get(spec.id)
                    tasks[spec.id] = Task(spec, want, skip) if told is None else dataclasses.replace(told, want=want)
    if not tasks and not refused:
        raise UsageError("the grid is empty; give at least one method, data set, ratio and seed.")
    return list(tasks.values())


def _each(made: Callable[..., list[CellSpec]], seeds: Sequence[int]) -> Iterator[list[CellSpec]]:
    """A family for every seed. One of a single cell is the same for all of them but for that number."""
    first: list[CellSpec] = []
    for seed in map(_possible, seeds):
        yield (first := [dataclasses.replace(first[0], seed=seed)] if len(first) == 1 else made(seed=seed))


def _possible(seed: int) -> int:
    """The seed. Raises UsageError for one that no file of a store can hold."""
    if LEAST_SEED <= seed <= MOST_SEED:
        return seed
    raise UsageError(f"seed {seed} is not possible; give a whole number of at most {MOST_SEED}, as in --seeds 0,1.")


def _facts(dataset: str, data_root: Path | None, refused: dict[str, str] | None) -> DatasetFacts | None:
    """What is known of a data set; None where nothing can be, and then `refused` says why."""
    made = make_dataset(dataset, data_root)
    try:
        facts = tried(dataset, made.facts)
        check_classes(dataset, facts.classes)
    except BenchError as error:
        if refused is None:
            raise
        refused[dataset] = str(error)
        return None
    return facts


def _impossible(dataset: str, facts: DatasetFacts, ir: float | None) -> str:
    """Why a data set cannot have an imbalance ratio; empty when it can, or when that is not known yet."""
    if ir is not None and facts.native_ir is not None:
        return f"{dataset} has its own imbalance ({facts.native_ir:.2f}); ask for it with --irs natural"
    try:
        if ir is not None and facts.train_max:
            longtail.counts(facts.train_max, ir, facts.classes)
    except UsageError as error:
        return str(error)
    return ""


def merge(tasks: Sequence[Task]) -> list[Task]:
    """Tasks of several grids with each cell once and everything wanted of it together."""
    merged: dict[str, Task] = {}
    for task in tasks:
        old = merged.get(task.spec.id)
        if old is None:
            merged[task.spec.id] = task
            continue
        union = Request(
            evaluations=tuple(dict.fromkeys(old.want.evaluations + task.want.evaluations)),
            track=tuple(dict.fromkeys(old.want.track + task.want.track)),
            features=old.want.features or task.want.features,
        )
        merged[task.spec.id] = dataclasses.replace(old, want=union)
    return list(merged.values())


def parse_ratio(text: str) -> float | None:
    """An imbalance ratio above 1, or None for `natural`. Raises UsageError."""
    if text == "natural":
        return None
    try:
        ratio = float(text)
    except ValueError:
        ratio = float("nan")
    if not 1 < ratio < float("inf"):
        raise UsageError(
            f"imbalance ratio '{text}' is not a number above 1; write for instance --irs 10,50 or natural."
        )
    return ratio


def family(
    method: str,
    settings: Mapping[str, Any],
    *,
    dataset: str,
    ir: float | None,
    model: str,
    seed: int,
    recipe: str,
    facts: DatasetFacts,
    axes: Axes,
    enhancers: Sequence[tuple[str, Mapping[str, Any]]] = (),
) -> list[CellSpec]:
    """One cell with everything filled in, last; first those that it goes on from, at the same place. Raises UsageError.

    Weights that are given (`axes.init`) start the first trainings, not those that have weights to go on from.
    """
    cls: type[Method] = registry("methods").get(method)
    kind, common = parse_variant(recipe)
    full_recipe, hparams, variant = settle(cls, settings, kind, axes.epochs, facts.augment, common)
    _possible(seed)
    if axes.limit is not None and axes.limit < 1:
        raise UsageError(f"--limit {axes.limit} is not a positive number of images a class.")
    if full_recipe.judge is not None:
        _check_attack(AttackSpec.parse(full_recipe.judge))
    settled, enhanced = settle_enhancers(enhancers, kind, cls)
    longtail.check_selection(axes.selection)
    longtail.class_ranks(axes.class_order, facts.classes)
    before: dict[str, CellSpec] = {}
    cells = {}
    for role, text in sorted(cls(make(cls.Hparams, dict(hparams), method)).cells().items()):
        (name, own), *tricks = parse_method(text)
        if name == method and not own:
            raise UsageError(f"{method} cannot go on from '{text}', which is itself; name another method.")
        *earlier, base = family(
            name,
            own,
            dataset=dataset,
            ir=ir,
            model=model,
            seed=seed,
            recipe=recipe,
            facts=facts,
            axes=axes,
            enhancers=tricks,
        )
        cells[role] = base.id
        before |= {spec.id: spec for spec in (*earlier, base)}
    same = {name: getattr(axes, name) for name in SAME} | ({"init": ""} if "init" in cells else {})
    spec = CellSpec(
        method=method,
        dataset=dataset,
        ir=ir,
        model=model,
        seed=seed,
        recipe=full_recipe,
        hparams=hparams,
        variant=variant,
        threat=ThreatModel(facts.eps),
        enhancers=settled,
        enhanced=enhanced,
        cells=tuple(cells.items()),
        **same,
    )
    for name in SAME:
        check_setting(CellSpec, name, getattr(spec, name), "cell")
    return [*before.values(), spec]


def _check_attack(attack: AttackSpec) -> None:
    """Refuse an attack that there is not, or settings that it does not take."""
    make(registry("attacks").get(attack.name).Params, dict(attack.params), attack.name)


def _request(axes: Axes) -> Request:
    attacks = tuple(AttackSpec.parse(text) for text in axes.attacks)
    for attack in (*attacks, *(AttackSpec.parse(text) for text in axes.track)):
        _check_attack(attack)
    wanted = [one_of(split, Split, "test split") for split in axes.test_splits]
    product = Request.product(attacks, (s for s in TEST_SPLITS if s in wanted))
    return dataclasses.replace(product, track=axes.track, features=axes.features)
