"""Where a number stands: each of its coordinates once, with what it means. All else about coordinates is derived here.

    identity    whose number it is: the method and its settings; two rivals differ in it and in nothing else
    axis        what a grid runs along: data set, ratio, network, seed, attack; equal where numbers belong together
    condition   what two numbers must share before they may be compared, ranked or averaged

Derived: what differs (`differing`, `explain`), what is not usual and how that is said (`unusual`, `heading`, `title`),
what may be compared with the paper (`PAPER`), keys (`key`), rows (`Where.of`, `row`); and in `bench/store/asked.py` how
the command line says it.

To add an axis of cells, four files are touched, and nothing else needs to know of it:

    bench/config.py         a field of `CellSpec`, `setting(NEUTRAL, later=True)`: out of ids and files while NEUTRAL
    bench/cli/options/    in `axes.py`, its option in `AXES`
    bench/store/schema.py   its column in `LATER`: written only to the rows of cells where it is not neutral
    bench/store/where.py    a field of `Where` of the same name, `usual=NEUTRAL`, with its role, option and words
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any

from bench.config import BENCHMARK_VERSION, REFERENCE_EPS, CellSpec, canonical_json, parse_variant, variant_label
from bench.store.schema import LATER
from bench.variants import format_number, parse_method

IDENTITY, AXIS, CONDITION = "identity", "axis", "condition"
#: words behind a precision: what else decides the last bits of a training
COMPILED, DETERMINISTIC = "compiled", "deterministic"
#: in place of a usual value: there is none; in place of the paper's: its protocol does not say
NONE: Any = object()
SILENT: Any = object()
Read = Callable[[CellSpec], Any]


def arithmetic(spec: CellSpec) -> str:
    """The precision of training with what else decides its last bits: `bf16`, `fp32, compiled`, ..."""
    more = {COMPILED: spec.compile, DETERMINISTIC: spec.deterministic}
    return ", ".join([spec.precision, *(word for word, on in more.items() if on)])


def _precision_options(text: str) -> list[str]:
    kind, *more = text.split(", ")
    return [
        *(["--precision", kind] if kind != "fp32" else []),
        *({COMPILED: "--compile"}.get(w, f"--{w}") for w in more),
    ]


def _reduced_options(text: str) -> list[str]:
    """`epochs=3 of 100, limit=50` -> `--epochs 3 --limit 50`."""
    pairs = (part.partition(" of ")[0].partition("=") for part in text.split(", "))
    return [word for name, _, value in pairs for word in (f"--{name}", value)]


def _open(_: CellSpec) -> str:
    """A coordinate that no cell's specification has: it comes from the data or the evaluation."""
    return ""


def coordinate(
    role: str,
    default: Any = "",
    *,
    usual: Any = NONE,
    paper: Any = NONE,
    words: str = "{}",
    title: str = "",
    option: str | Callable[[Any], list[str]] = "",
    read: Read | None = None,
    digits: int | None = None,
    stored: bool = True,
) -> Any:
    """A field of `Where`.

    `usual`: what most cells are, so that it is only said of others. `paper`: the value of the paper's protocol (the
    usual one where not given; `SILENT` where it has none). `words`, `title`: how it is said in a heading, and in a
    title (empty: the same). `option`: of `bench run`, or what makes the words of the command line from a value.
    `read`: its value in a cell's specification; without, the field of the same name. `digits`: decimals to which two
    values count as one. `stored`: a column of per_class.csv.
    """
    meta = {
        "role": role,
        "usual": usual,
        "paper": usual if paper is NONE else paper,
        "words": words,
        "title": title or words,
        "option": option,
        "read": read,
        "digits": digits,
        "stored": stored,
    }
    return dataclasses.field(default=default, metadata=meta)


@dataclass(frozen=True, order=True)
class Where:
    """The coordinates of one number. What is left at its default is not asked for, as the axes of a whole table.

    `ir` is the ratio of the training set; `natural` says that the data are imbalanced by themselves. `reduced` is how
    the run falls short of its recipe.
    """

    method: str = coordinate(IDENTITY, option="--methods", read=lambda s: s.trained)
    variant: str = coordinate(IDENTITY)
    dataset: str = coordinate(AXIS, option="--datasets")
    ir: float = coordinate(AXIS, math.nan, words="IR {:g}", option="--irs", digits=2)
    model: str = coordinate(AXIS, option="--models")
    attack: str = coordinate(AXIS, option="--attacks", read=_open)
    seed: int | None = coordinate(AXIS, None, words="seed {}", option="--seeds")
    source: str = coordinate(CONDITION, words="pixels from {}", read=_open)
    data_hash: str = coordinate(CONDITION, words="images {}", read=_open)
    test_split: str = coordinate(
        CONDITION, paper="long-tailed", words="{} test split", option="--test-split", read=_open
    )
    recipe: str = coordinate(
        CONDITION, usual="paper", words="recipe {}", title="{} recipe", option="--recipe", read=lambda s: s.recipe.name
    )
    reduced: str = coordinate(
        CONDITION, usual="", words="REDUCED RUN: {}", title="{}", option=_reduced_options, read=lambda s: s.reduced
    )
    precision: str = coordinate(CONDITION, usual="fp32", option=_precision_options, read=arithmetic)
    eps: float = coordinate(
        CONDITION, math.nan, paper=REFERENCE_EPS, words="radius {:g}", read=lambda s: s.threat.eps, digits=9
    )
    selection: str = coordinate(CONDITION, usual="seeded", paper=SILENT, words="selection {}", option="--selection")
    class_order: str = coordinate(CONDITION, usual="natural", words="class order {}", option="--class-order")
    init: str = coordinate(CONDITION, usual="", words="from weights {}", option="--init")
    benchmark: str = coordinate(CONDITION, words="benchmark version {}", read=_open)
    natural: bool = coordinate(CONDITION, False, words="natural imbalance", read=lambda s: s.ir is None, stored=False)

    @classmethod
    def of(
        cls,
        spec: CellSpec,
        *,
        source: str = "",
        data_hash: str = "",
        train_counts: Sequence[int] = (),
        test_split: str = "",
        attack: str = "",
        benchmark: str = BENCHMARK_VERSION,
    ) -> Where:
        """The coordinates of a cell, and of one evaluation of it. `train_counts`: images a class, for its own ratio."""
        values = {name: get(spec) for name, get in READ.items()}
        if spec.ir is None:
            values["ir"] = round(max(train_counts) / min(train_counts), 2) if train_counts else math.nan
        known = {"source": source, "data_hash": data_hash, "test_split": test_split, "attack": attack}
        return cls(**values | known | {"benchmark": benchmark})

    @classmethod
    def of_row(cls, row: Mapping[Any, Any], natural: bool | None = None) -> Where:
        """The coordinates of a row of per_class.csv, numbers rounded as in `key` but for a ratio that was asked for.

        `natural`: whether the cell's data have a ratio of their own; None where no cell.json says so: then they are
        taken to have one if it is no whole number.
        """
        import pandas as pd

        values = {f.name: row.get(f.name, f.default) for f in FIELDS.values() if f.metadata["stored"]}
        known: dict[str, Any] = {
            name: FIELDS[name].default if value is pd.NA or value is None or value != value else value
            for name, value in values.items()
        }
        ir = float(known["ir"])
        own = math.isnan(ir) or ir % 1 != 0 if natural is None else natural
        seed = known["seed"]
        known |= {name: _rounded(name, known[name]) for name in DIGITS if name in known} | ({} if own else {"ir": ir})
        return cls(**known | {"seed": None if seed is None else int(seed), "natural": own})

    def value(self, name: str) -> Any:
        """A coordinate as it is compared: numbers to the decimals that tell two of them apart."""
        return _rounded(name, getattr(self, name))

    def key(self, names: Iterable[str]) -> tuple[Any, ...]:
        """These coordinates, hashable; a ratio or radius that is not known equals another that is not."""
        return tuple(None if isinstance(v := self.value(n), float) and math.isnan(v) else v for n in names)

    def row(self) -> dict[str, Any]:
        """The stored columns with their values, unrounded."""
        return {name: getattr(self, name) for name, f in FIELDS.items() if f.metadata["stored"]}

    def only(self, names: Iterable[str]) -> Where:
        """These coordinates, the others left open."""
        return Where(**{name: getattr(self, name) for name in names})

    @property
    def label(self) -> str:
        """`taet` or `taet[beta=0.05]`, as `--methods` reads it."""
        method, plus, enhancers = self.method.partition("+")
        return canonical(f"{method}[{self.variant}]{plus}{enhancers}")

    @property
    def params(self) -> tuple[tuple[str, Any], ...]:
        """The settings of the method that are not the usual ones, sorted by name."""
        return _settings(self.variant)

    @property
    def ratio(self) -> str:
        """`10` as `--irs` reads it, or `natural` for data with an imbalance of their own."""
        return "natural" if self.natural or math.isnan(self.ir) else format_number(self.ir)

    @property
    def digest(self) -> str:
        """Six letters that tell settings of one data set apart in file names; a later axis counts where it is used."""
        told = {n: getattr(self, n) for n in SETTING if n not in LATER or getattr(self, n) != USUAL.get(n)}
        return hashlib.sha256(canonical_json(told).encode()).hexdigest()[:6]

    def differing(self, other: Where, names: Iterable[str] | None = None) -> list[str]:
        """Names of the coordinates (by default the conditions) that differ."""
        chosen = list(CONDITIONS if names is None else names)
        pairs = zip(chosen, self.key(chosen), other.key(chosen), strict=True)
        return [name for name, mine, its in pairs if not _same(mine, its)]

    def unusual(self) -> dict[str, Any]:
        """The coordinates that are not what most cells are."""
        return {name: v for name, usual in USUAL.items() if (v := getattr(self, name)) != usual}

    def said(self) -> dict[str, str]:
        """What is unusual, in words."""
        return {name: _said(name, value, "words") for name, value in self.unusual().items()}

    def heading(self) -> str:
        """Test split and what is unusual: `balanced test split, recipe official, bf16`."""
        return ", ".join([_said("test_split", self.test_split, "words"), *self.said().values()])

    def title(self) -> list[str]:
        """What tells a table from its namesakes: test split, recipe, and what else is unusual."""
        told = self.unusual() | {"test_split": self.test_split, "recipe": self.recipe}
        return [_said(name, told[name], "title") for name in FIELDS if name in told]


FIELDS = {f.name: f for f in dataclasses.fields(Where)}
#: decimals to which two values of a coordinate are compared, where they are rounded
DIGITS: dict[str, int] = {name: f.metadata["digits"] for name, f in FIELDS.items() if f.metadata["digits"] is not None}
#: how each is read of a cell's specification; those that it does not have are empty
READ: dict[str, Read] = {name: f.metadata["read"] or attrgetter(name) for name, f in FIELDS.items()}
#: coordinates by their role
IDENTITIES, AXES, CONDITIONS = (
    tuple(name for name, f in FIELDS.items() if f.metadata["role"] == role and f.metadata["stored"])
    for role in (IDENTITY, AXIS, CONDITION)
)
#: what a reference and a measured number share that belong together
BELONG = (*IDENTITIES, *AXES)
#: what a whole table shares: the conditions but for its images, which differ between ratios; and the data set
SETTING = ("dataset", *(name for name in CONDITIONS if name != "data_hash"), "natural")
#: what two rival methods must share: all but what they are
SHARED = (*AXES, *CONDITIONS)
#: what two trainings must share whose numbers are paired, read of their specifications: all but method and seed
PAIRED: dict[str, Read] = {name: READ[name] for name in SHARED if READ[name] is not _open and name != "seed"}
#: what most cells are, so that it is only said of those that are not
USUAL = {name: f.metadata["usual"] for name, f in FIELDS.items() if f.metadata["usual"] is not NONE}
#: the paper's protocol: what must be equal to compare with its numbers (its pixels stand with each number, and of the
#: choice of images and the kernels' order of addition it says nothing)
PROTOCOL = {n: f.metadata["paper"] for n, f in FIELDS.items() if f.metadata["paper"] not in (NONE, SILENT)}
PAPER = Where(**PROTOCOL)


def off_protocol(where: Where, source: str) -> list[str]:
    """Names of the coordinates in which a measured number does not keep the paper's protocol on these pixels."""
    plain = dataclasses.replace(where, precision=where.precision.removesuffix(f", {DETERMINISTIC}"))
    return plain.differing(dataclasses.replace(PAPER, source=source), ("source", *PROTOCOL))


def explain(names: Iterable[str], wanted: Where, got: Where, sides: tuple[str, str] = ("reference", "measured")) -> str:
    """`source differs: reference cifar10, measured cifar10-jpeg75`, one clause a coordinate."""
    clauses = (
        f"{n} differs: {sides[0]} {_shown(getattr(wanted, n))}, {sides[1]} {_shown(getattr(got, n))}" for n in names
    )
    return "; ".join(clauses)


def canonical(text: str) -> str:
    """`trades[step=0.1, beta=3.0]` as labels are written: `trades[beta=3,step=0.1]`. Raises UsageError."""
    method, *enhancers = parse_method(text)
    return "+".join(variant_label(*part) for part in (method, *sorted(enhancers, key=lambda part: part[0])))


def _same(a: Any, b: Any) -> bool:
    return math.isclose(a, b, rel_tol=1e-6) if isinstance(a, float) and isinstance(b, float) else bool(a == b)


def _said(name: str, value: Any, form: str) -> str:
    return str(FIELDS[name].metadata[form]).format(value)


def _shown(value: Any) -> str:
    return "none" if value in (None, "") else f"{value:g}" if isinstance(value, float) else str(value)


def _rounded(name: str, value: Any) -> Any:
    return value if value is None or name not in DIGITS else round(float(value), DIGITS[name])


@cache
def _settings(variant: str) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(parse_variant(f"x[{variant}]")[1].items()))
