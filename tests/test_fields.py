# No `from __future__ import annotations` here: the annotations of these classes are types, as in many a plug-in.
"""Settings have types and closed sets; what does not fit stops where the class is made or the value is returned."""

import dataclasses
import sys
import types
from dataclasses import dataclass
from typing import Any, Literal, Optional

import pytest

from bench.api import Attack, Method, setting
from bench.config import AttackSpec, CellSpec, Evaluation, Recipe, ThreatModel, make
from bench.engine.gradients.inner import ascend
from bench.errors import UsageError
from bench.fields import check_fields
from bench.plugins import phase_of

WRITTEN = """
{future}
from dataclasses import dataclass
from typing import Literal
from bench.api import Method, setting

class Mine(Method):
    name = "mine"
    @dataclass(frozen=True)
    class Hparams:
        beta: float = setting(1.0, low=0.0, help="x")
        n: int = setting(2, help="x")
        mode: bool = setting(True, help="x")
        kind: Literal["a", "none"] = setting("a", help="x")
        word: str = setting("w", help="x")
        side: int | None = setting(None, low=8, help="x")
        plain: float = 1.0
"""


def hparams(future: str) -> Any:
    """The settings of a plug-in file, with annotations as text or as types."""
    module = types.ModuleType("plug_in_of_this_test")
    sys.modules[module.__name__] = module
    try:
        exec(WRITTEN.format(future=future), vars(module))
    finally:
        del sys.modules[module.__name__]
    return module.Mine.Hparams


@pytest.mark.parametrize("future", ["", "from __future__ import annotations"], ids=["types", "texts"])
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("beta", "three"),
        ("beta", True),
        ("beta", -1),
        ("beta", 10**400),
        ("n", 2.5),
        ("n", None),
        ("mode", "yes"),
        ("mode", 1),
        ("kind", "b"),
        ("kind", True),
        ("side", 7),
        ("side", "none at all"),
        ("plain", "one"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_however_the_type_is_written(future, name, wrong):
    with pytest.raises(UsageError, match=f"mine: {name}=") as error:
        make(hparams(future), {name: wrong}, "mine")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("future", ["", "from __future__ import annotations"], ids=["types", "texts"])
def test_the_type_of_a_field_decides_what_a_word_means(future):
    values = {"beta": 3, "n": 4.0, "mode": False, "kind": None, "word": 1 / 255, "side": None}
    made = make(hparams(future), values, "mine")
    assert (made.beta, made.n, made.mode, made.kind, made.word, made.side) == (3.0, 4, False, "none", "1/255", None)
    assert type(made.beta) is float
    assert type(made.n) is int
    assert make(hparams(future), {"word": True}, "mine").word == "true"


def settings(annotation: Any, default: Any = 1.0, frozen: bool = True) -> Any:
    return dataclasses.make_dataclass("Hparams", [("x", annotation, default)], frozen=frozen)


@pytest.mark.parametrize(
    ("own", "pattern"),
    [
        ({"Hparams": settings(list[int], setting((1,)))}, r"'x' has the type .*list.*, which no setting has"),
        ({"Hparams": settings(dict, None)}, "which no setting has"),
        ({"Hparams": settings(Literal[1, "a"], 1)}, "which no setting has"),
        ({"Hparams": settings("Nowhere", 1)}, "cannot be read: name 'Nowhere' is not defined"),
        ({"Hparams": settings(float, "three")}, "x='three' is not a number"),
        ({"Hparams": settings(float, setting(-1.0, low=0.0))}, "must be >= 0"),
        ({"Hparams": settings(Literal["a", "b"], "c")}, "x='c' is not one of a, b"),
        ({"Hparams": settings(float, frozen=False)}, "is no frozen dataclass"),
        ({"Hparams": type("Hparams", (), {})}, "is no frozen dataclass"),
        ({"start": "Gaussian"}, "unknown start of Mine 'Gaussian'. Did you mean 'gaussian'"),
        ({"needs": frozenset({"class_count"})}, "unknown need of Mine 'class_count'. Did you mean 'class_counts'"),
    ],
)
def test_a_method_that_cannot_be_checked_cannot_be_made(own, pattern):
    with pytest.raises(UsageError, match=pattern) as error:
        type("Mine", (Method,), own)
    assert "\n" not in str(error.value)


def test_a_setting_without_a_default_is_refused():
    @dataclass(frozen=True)
    class Hparams:
        x: Optional[float]  # noqa: UP045

    with pytest.raises(UsageError, match="'x' has no default; give it one"):
        type("Mine", (Method,), {"Hparams": Hparams})


@pytest.mark.parametrize(
    ("own", "pattern"),
    [({"norm": "Linf"}, "unknown norm of Mine 'Linf'"), ({"Params": settings(set, None)}, "which no setting has")],
)
def test_an_attack_that_cannot_be_checked_cannot_be_made(own, pattern):
    with pytest.raises(UsageError, match=pattern):
        type("Mine", (Attack,), own)


def test_a_phase_that_is_none_stops_the_training():
    class Mine(Method):
        name = "mine"

        def phase(self, context):
            return "Natural"

    with pytest.raises(UsageError, match=r"unknown phase of mine 'Natural'. Did you mean 'natural'"):
        phase_of(Mine(), None)


@pytest.mark.parametrize(
    "action",
    [
        lambda: ThreatModel(0.1, "l2"),
        lambda: Evaluation("Balanced", AttackSpec("clean")),
        lambda: CellSpec("ce", "digitslt", 10.0, "small-cnn", 0, precision="fp16"),
        lambda: dataclasses.replace(CellSpec("ce", "digitslt", 10.0, "small-cnn", 0), precision=None),
        lambda: Recipe(augment="crops"),
        lambda: ascend(None, None, None, noise=None, mode="Eval", eps=1, step=1, steps=1),
    ],
)
def test_a_closed_set_takes_nothing_else(action):
    with pytest.raises(UsageError, match=r"unknown .*(Known: |Did you mean)"):
        action()


@pytest.mark.parametrize("cls", [Recipe])
def test_the_core_keeps_the_rule_it_sets(cls):
    check_fields(cls, cls.__name__)
