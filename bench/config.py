"""What a cell is: frozen, validated descriptions with one canonical JSON form; a cell's id is a hash of it.

    Recipe      how everything is trained: optimiser, schedule, batch, augmentation, the training attack
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
import math
import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bench.errors import UsageError, did_you_mean

T = TypeVar("T")

#: Version of the benchmark: what a number means. Rows of different versions are never compared.
BENCHMARK_VERSION = "1"
#: Version of the files in a results folder.
SCHEMA_VERSION = 1
#: The radius at which recipes state their training attack (8/255 on [0,1]); other radii scale it in proportion.
REFERENCE_EPS = 8 / 255
TEST_SPLITS = ("long-tailed", "balanced")
PRECISIONS = ("fp32", "tf32", "bf16", "fp64")


def setting(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: tuple[Any, ...] | None = None,
    help: str = "",
) -> Any:
    """A dataclass field with a range: `low` <= value <= `high`, value > `above`, or one of `choices`."""
    meta = {"low": low, "high": high, "above": above, "choices": choices, "help": help}
    return field(default=default, metadata=meta)


@dataclass(frozen=True)
class Recipe:
    """Training settings. Defaults are the paper's (TAET, A.1) for every method; `recipe=official` changes them.

    `eps`, `step` are the training attack's radius and step on the [0,1] scale at the reference radius 8/255.
    Milestones count 0-based epochs of a run of `full_epochs`; a shorter run (`epochs`) meets them in proportion.
    """

    name: str = "paper"
    epochs: int = setting(100, low=1, help="epochs of this run")
    full_epochs: int = setting(100, low=1, help="epochs of the recipe as published")
    batch_size: int = setting(128, low=1)
    lr: float = setting(0.1, above=0.0)
    momentum: float = setting(0.9, low=0.0, high=1.0)
    nesterov: bool = False
    weight_decay: float = setting(5e-4, low=0.0)
    milestones: tuple[int, ...] = (75, 90)
    factors: tuple[float, ...] = (0.1, 0.01)
    compounding: bool = setting(False, help="multiply by the factor again in every epoch after a milestone")
    drop_last: bool = False
    augment: str = setting("crop-flip", choices=("none", "crop", "crop-flip", "randaugment", "autoaugment"))
    resize: int | None = setting(None, low=8, help="side to which images are enlarged before augmentation")
    eps: float = setting(8 / 255, low=0.0)
    step: float = setting(2 / 255, low=0.0)
    steps: int = setting(10, low=0)

    @property
    def reduced(self) -> bool:
        """Whether this run is shorter than the recipe as published."""
        return self.epochs != self.full_epochs

    def epoch_at(self, published: float) -> int:
        """The 0-based epoch of this run that corresponds to epoch `published` of the full-length recipe."""
        return math.ceil(published * self.epochs / self.full_epochs - 1e-9)

    def lr_at(self, epoch: int) -> float:
        """Learning rate of the 0-based epoch."""
        lr = self.lr
        for milestone, factor in zip(self.milestones, self.factors, strict=True):
            since = epoch - self.epoch_at(milestone)
            if since >= 0:
                lr = (lr if self.compounding else self.lr) * (factor ** (since + 1) if self.compounding else factor)
        return lr


@dataclass(frozen=True)
class ThreatModel:
    """l_inf ball of radius `eps` on the [0,1] scale, intersected with [0,1]."""

    eps: float = 8 / 255
    norm: str = "linf"

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
    """One training run with everything resolved. `hparams` are the method's own, sorted by name."""

    method: str
    dataset: str
    ir: float | None
    model: str
    seed: int
    recipe: Recipe = Recipe()
    hparams: tuple[tuple[str, Any], ...] = ()
    variant: str = ""
    threat: ThreatModel = ThreatModel()
    selection: str = "seeded"
    class_order: str = "natural"
    limit: int | None = None
    precision: str = "fp32"
    compile: bool = False
    deterministic: bool = False

    @property
    def id(self) -> str:
        """Readable slug and hash: `taet-digitslt-ir10-s0-1f0c9a3b2e`."""
        slug = re.sub(r"[^a-z0-9]+", "_", self.dataset.lower()).strip("_")[:32]
        ratio = "natural" if self.ir is None else f"ir{self.ir:g}"
        return f"{self.method}-{slug}-{ratio}-s{self.seed}-{self.digest}"

    @property
    def digest(self) -> str:
        """First 10 hex digits of the SHA-256 of the canonical JSON, without the label `variant`."""
        body = {k: v for k, v in to_plain(self).items() if k != "variant"}
        return hashlib.sha256(canonical_json([BENCHMARK_VERSION, body]).encode()).hexdigest()[:10]

    @property
    def reduced(self) -> str:
        """How this run falls short of its recipe (`epochs=3 of 100, limit=50`), or an empty text."""
        parts = [f"epochs={self.recipe.epochs} of {self.recipe.full_epochs}"] if self.recipe.reduced else []
        return ", ".join([*parts, *([f"limit={self.limit}"] if self.limit is not None else [])])


@dataclass(frozen=True)
class Evaluation:
    """One attack on one test split."""

    test_split: str
    attack: AttackSpec

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
    def product(cls, attacks: Iterable[AttackSpec], test_splits: Iterable[str] = ("long-tailed",)) -> Request:
        """Every attack on every split."""
        attacks = tuple(attacks)
        return cls(tuple(Evaluation(split, attack) for split in test_splits for attack in attacks))


@dataclass(frozen=True)
class Task:
    """One unit of a grid: a cell and what is wanted of it, or the reason why it is skipped."""

    spec: CellSpec
    want: Request
    skip: str = ""


def to_plain(value: Any) -> Any:
    """Dataclasses, tuples and mappings as JSON's own types."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(v) for v in value]
    return value


def canonical_json(value: Any) -> str:
    """The one text form of a value: sorted keys, no spaces, shortest floats. Raises ValueError on NaN."""
    return json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def cell_from_plain(plain: Mapping[str, Any]) -> CellSpec:
    """The CellSpec that `to_plain` wrote. Raises UsageError on fields it does not know."""
    body = dict(plain)
    recipe = {k: _tupled(v) for k, v in body.pop("recipe").items()}
    body["hparams"] = tuple((k, _tupled(v)) for k, v in body["hparams"])
    return make(
        CellSpec,
        body | {"recipe": make(Recipe, recipe, "recipe"), "threat": make(ThreatModel, body["threat"], "threat model")},
        "cell",
    )


def request_from_plain(plain: Mapping[str, Any]) -> Request:
    """The Request that `to_plain` wrote."""
    evaluations = tuple(
        Evaluation(e["test_split"], AttackSpec(e["attack"]["name"], _tupled(e["attack"]["params"])))
        for e in plain["evaluations"]
    )
    return Request(evaluations, tuple(plain["track"]), plain["features"])


def _tupled(value: Any) -> Any:
    return tuple(_tupled(v) for v in value) if isinstance(value, list) else value


def make(cls: type[T], values: Mapping[str, Any], what: str) -> T:
    """An instance of dataclass `cls`, each value checked against its field's type and range.

    Raises UsageError that names the value, what was expected and the names that exist.
    """
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    checked = {}
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"{what} has no setting '{name}'. {did_you_mean(name, known)}")
        checked[name] = check_setting(known[name], value, what)
    return cls(**checked)


def check_setting(spec: dataclasses.Field[Any], value: Any, what: str) -> Any:
    """`value` in the type of its field, or a UsageError with the allowed type, range or choices."""
    kind, where = str(spec.type), f"{what}: {spec.name}={value!r}"
    optional = kind.endswith("| None")
    base = kind.removesuffix("| None").strip()
    if value is None and optional:
        return None
    if base == "float" and isinstance(value, (int, float)) and not isinstance(value, bool):
        value = float(value)
    if base == "int" and isinstance(value, float) and value.is_integer():
        value = int(value)
    types: dict[str, type] = {"float": float, "int": int, "bool": bool, "str": str}
    if base in types and (not isinstance(value, types[base]) or (base == "int" and isinstance(value, bool))):
        raise UsageError(f"{where} is not {'a number' if base == 'float' else 'of type ' + base}.")
    if isinstance(value, float) and math.isnan(value):
        raise UsageError(f"{where} is not a number.")
    limits = spec.metadata
    if limits.get("choices") and value not in limits["choices"]:
        raise UsageError(f"{where} is not one of {', '.join(map(str, limits['choices']))}.")
    for bound, wrong, sign in (("low", operator.lt, ">="), ("high", operator.gt, "<="), ("above", operator.le, ">")):
        limit = limits.get(bound)
        if limit is not None and isinstance(value, (int, float)) and wrong(value, limit):
            raise UsageError(f"{where} is out of range; it must be {sign} {limit:g}.")
    return value


def split_list(text: str) -> list[str]:
    """`a,b[x=1,y=2],c` -> [`a`, `b[x=1,y=2]`, `c`]; commas inside brackets do not separate."""
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        depth += (char == "[") - (char == "]")
        if char == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [part.strip() for part in (*parts, text[start:]) if part.strip()]


def parse_variant(text: str) -> tuple[str, dict[str, Any]]:
    """`trades[beta=3,step=1/255]` -> (`trades`, {beta: 3, step: 1/255}). Raises UsageError."""
    match = re.fullmatch(r"([^\[\]]+?)\s*(?:\[(.*)\])?", text.strip())
    if not match:
        raise UsageError(f"'{text}' cannot be read; write name or name[setting=value,setting=value].")
    params: dict[str, Any] = {}
    for part in split_list(match[2] or ""):
        key, sign, value = part.partition("=")
        if not sign or not key.strip() or not value.strip():
            raise UsageError(f"'{part}' in '{text}' cannot be read; write setting=value.")
        if key.strip() in params:
            raise UsageError(f"'{key.strip()}' stands twice in '{text}'; give it once.")
        params[key.strip()] = parse_value(value.strip())
    return match[1].strip(), params


def parse_value(text: str) -> Any:
    """A number (`3`, `0.1`, `2/255`), `true`, `false`, `none`, or the text itself."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    fraction = re.fullmatch(r"([+-]?[\d.]+)/([\d.]+)", text)
    try:
        return float(fraction[1]) / float(fraction[2]) if fraction else float(text)
    except (ValueError, ZeroDivisionError):
        return text


def format_value(value: Any) -> str:
    """The shortest text `parse_value` reads back; multiples of 1/255 are written as such."""
    if isinstance(value, float):
        in_255 = value * 255
        if value and abs(in_255 - round(in_255)) < 1e-9 and 0 < round(in_255) < 255:
            return f"{round(in_255)}/255"
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def variant_label(name: str, params: Mapping[str, Any]) -> str:
    """`name` or `name[a=1,b=2/255]`, settings sorted by name."""
    inside = ",".join(f"{k}={format_value(v)}" for k, v in sorted(params.items()))
    return f"{name}[{inside}]" if inside else name
