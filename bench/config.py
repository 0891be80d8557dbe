"""What a cell is: frozen, validated descriptions with one canonical JSON form; a cell's id is a hash of it.

    Recipe      how everything is trained (`bench.recipe.settings`)
    ThreatModel what the adversary may do at test time: norm and radius
    AttackSpec  one evaluation attack with its parameters
    CellSpec    one training run, fully resolved: every number that decides the weights is in it
    Request     what is wanted of a cell's weights: attacks, test splits, curves, features

Only what decides the weights enters the id, so attacks, splits and curves can be added to a finished cell later.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, get_args

from bench.fields import check_closed, written
from bench.fields import check_setting as check_setting
from bench.fields import is_silent as is_silent
from bench.fields import make as make
from bench.fields import one_of as one_of
from bench.fields import setting as setting
from bench.recipe.settings import Recipe as Recipe
from bench.variants import format_number as format_number
from bench.variants import format_value as format_value
from bench.variants import parse_method as parse_method
from bench.variants import parse_value as parse_value
from bench.variants import parse_variant as parse_variant
from bench.variants import split_list as split_list
from bench.variants import variant_label as variant_label
from bench.variants import whole_number as whole_number

#: Version of the benchmark: what a number means. Rows of different versions are never compared.
BENCHMARK_VERSION = "1"
#: Version of the files in a results folder.
SCHEMA_VERSION = 1
#: The radius at which recipes state their training attack (8/255 on [0,1]); other radii scale it in proportion.
REFERENCE_EPS = 8 / 255
#: closed sets: anything else is refused where an object is made
RecipeName = Literal["paper", "official"]
Split = Literal["long-tailed", "balanced"]
Precision = Literal["fp32", "tf32", "bf16", "fp64"]
TEST_SPLITS: tuple[Split, ...] = get_args(Split)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class ThreatModel:
    """l_inf ball of radius `eps` on the [0,1] scale, intersected with [0,1]."""

    eps: float = 8 / 255
    norm: Literal["linf"] = "linf"

    def __post_init__(self) -> None:
        check_closed(self)

    @property
    def scale(self) -> float:
        """Factor from the reference radius 8/255 to this one (exactly 1 at 8/255)."""
        return self.eps / REFERENCE_EPS


@dataclass(frozen=True)
class AttackSpec:
    """One evaluation attack: registered name and the parameters that differ from its defaults, sorted by name."""

    name: str
    params: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def parse(cls, text: str) -> AttackSpec:
        """`pgd-20` or `pgd-20[step=2/255]`. Raises UsageError."""
        name, params = parse_variant(text)
        return cls(name, tuple(sorted(params.items())))

    @property
    def label(self) -> str:
        """The text that `parse` reads back; used as column, file name part and stream name."""
        return variant_label(self.name, dict(self.params))


@dataclass(frozen=True)
class CellSpec:
    """One training run with everything resolved. `hparams` are the method's own, sorted by name.

    `enhancers`: name and settings of each, by name; `enhanced` is how they are written, as `variant` is for the method.
    `init`: mark of the given weights that training starts from (`bench.engine.life.before`). `cells`: role and id of
    each finished cell that this one goes on from (`Method.cells`).
    """

    method: str
    dataset: str
    ir: float | None
    model: str
    seed: int
    recipe: Recipe = Recipe()  # noqa: RUF009 - frozen
    hparams: tuple[tuple[str, Any], ...] = ()
    variant: str = ""
    threat: ThreatModel = ThreatModel()
    selection: str = "seeded"
    class_order: str = "natural"
    limit: int | None = None
    precision: Precision = "fp32"
    compile: bool = False
    deterministic: bool = False
    enhancers: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...] = setting((), later=True)
    enhanced: str = setting("", later=True)
    init: str = setting("", later=True)
    cells: tuple[tuple[str, str], ...] = setting((), later=True)

    def __post_init__(self) -> None:
        check_closed(self)

    @property
    def trained(self) -> str:
        """The method with its enhancers, as rows and headings name it: `at-bsl+ema+robustlt[alpha=0.4]`."""
        return self.method + self.enhanced

    @cached_property
    def id(self) -> str:
        """Readable slug and hash: `taet-digitslt-ir10-s0-1f0c9a3b2e`."""
        slug = re.sub(r"[^a-z0-9]+", "_", self.dataset.lower()).strip("_")[:32]
        ratio = "natural" if self.ir is None else f"ir{self.ir:g}"
        names = "".join(f"+{name}" for name, _ in self.enhancers)
        return f"{self.method}{names}-{slug}-{ratio}-s{self.seed}-{self.digest}"

    @property
    def digest(self) -> str:
        """First 10 hex digits of the SHA-256 of the canonical JSON, without the labels `variant`, `enhanced`."""
        body = {k: v for k, v in to_plain(self).items() if k not in ("variant", "enhanced")}
        return hashlib.sha256(_json([BENCHMARK_VERSION, body]).encode()).hexdigest()[:10]

    @property
    def reduced(self) -> str:
        """How this run falls short of its recipe (`epochs=3 of 100, limit=50`), or an empty text."""
        parts = [f"epochs={self.recipe.epochs} of {self.recipe.full_epochs}"] if self.recipe.reduced else []
        return ", ".join([*parts, *([f"limit={self.limit}"] if self.limit is not None else [])])


@dataclass(frozen=True)
class Evaluation:
    """One attack on one test split."""

    test_split: Split
    attack: AttackSpec

    def __post_init__(self) -> None:
        check_closed(self)

    @property
    def key(self) -> str:
        """`long-tailed/pgd-20`: its name in cell.json and per_sample.npz."""
        return f"{self.test_split}/{self.attack.label}"


@dataclass(frozen=True)
class Request:
    """What is wanted of a cell besides its weights."""

    evaluations: tuple[Evaluation, ...] = ()
    track: tuple[str, ...] = ()
    features: bool = False

    @classmethod
    def product(cls, attacks: Iterable[AttackSpec], test_splits: Iterable[Split] = ("long-tailed",)) -> Request:
        """Every attack on every split."""
        attacks = tuple(attacks)
        return cls(tuple(Evaluation(split, attack) for split in test_splits for attack in attacks))


@dataclass(frozen=True)
class Task:
    """One unit of a grid: a cell and what is wanted of it, or the reason why it is skipped."""

    spec: CellSpec
    want: Request
    skip: str = ""


#: types that are plain already
_PLAIN = {str, int, float, bool, type(None)}


def to_plain(value: Any) -> Any:
    """Dataclasses, tuples and mappings as JSON's own types."""
    if type(value) in _PLAIN:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((name, getattr(value, name), later) for name, later in written(type(value)))
        told = {name: v for name, v, later in pairs if later is None or not is_silent(later, v)}
        return {name: v if type(v) in _PLAIN else to_plain(v) for name, v in told.items()}
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [v if type(v) in _PLAIN else to_plain(v) for v in value]
    return value


def canonical_json(value: Any) -> str:
    """The one text form of a value: sorted keys, no spaces, shortest floats. Raises ValueError on NaN."""
    return _json(to_plain(value))


def _json(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def cell_from_plain(plain: Mapping[str, Any]) -> CellSpec:
    """The CellSpec that `to_plain` wrote. Raises UsageError on fields it does not know."""
    body = dict(plain)
    recipe = _recipe(json.dumps(body.pop("recipe")))
    body["hparams"] = tuple((k, _tupled(v)) for k, v in body["hparams"])
    body |= {name: _tupled(body[name]) for name in ("enhancers", "cells") if name in body}
    return make(
        CellSpec,
        body | {"recipe": recipe, "threat": make(ThreatModel, body["threat"], "threat model")},
        "cell",
    )


@lru_cache(maxsize=256)
def _recipe(text: str) -> Recipe:
    """The recipe of a JSON text, read once: the cells of a grid share theirs."""
    return make(Recipe, {name: _tupled(value) for name, value in json.loads(text).items()}, "recipe")


def request_from_plain(plain: Mapping[str, Any]) -> Request:
    """The Request that `to_plain` wrote."""
    evaluations = tuple(
        Evaluation(e["test_split"], AttackSpec(e["attack"]["name"], _tupled(e["attack"]["params"])))
        for e in plain["evaluations"]
    )
    return Request(evaluations, tuple(plain["track"]), plain["features"])


def _tupled(value: Any) -> Any:
    return tuple(_tupled(v) for v in value) if isinstance(value, list) else value
