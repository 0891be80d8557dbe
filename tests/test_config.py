"""Settings as a user writes them: what is no number, no list or does not fit together is one clear sentence."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.config import (
    CellSpec,
    Recipe,
    canonical_json,
    cell_from_plain,
    format_number,
    format_value,
    make,
    parse_value,
    parse_variant,
    to_plain,
    variant_label,
    whole_number,
)
from bench.engine.grid import Axes, expand
from bench.errors import UsageError


def cell(method: str) -> CellSpec:
    """The one cell of a method on digits."""
    (task,) = expand(Axes(methods=(method,), datasets=("digitslt",)))
    return task.spec


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "1e999", "infinity", "9" * 400, "9" * 5000, "1/0", "1:inf"])
def test_what_is_no_finite_number_is_read_as_text(text):
    assert parse_value(text) == text
    assert parse_variant(variant_label("at", {"lr": parse_value(text)}))[1] == {"lr": text}


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_field_takes_no_infinity_wherever_it_comes_from(value):
    for name in ("lr", "step", "weight_decay"):
        with pytest.raises(UsageError, match=rf"recipe: {name}=.*is not a finite number"):
            make(Recipe, {name: value}, "recipe")
    with pytest.raises(UsageError, match=r"factors=.*is not a finite number"):
        make(Recipe, {"factors": (0.1, value)}, "recipe")
    assert isinstance(format_value(value), str)


@pytest.mark.parametrize(
    ("settings", "pattern"),
    [
        ("lr=inf", "at: lr='inf' is not a number"),
        ("step=nan", "at: step='nan' is not a number"),
        ("steps=inf", "at: steps='inf' is not of type int"),
        ("lr=0.1:0.2", r"at: lr=\(0.1, 0.2\) is not a number"),
        ("milestones=50", "milestones=50 and factors=0.1:0.01 differ in number"),
        ("factors=0.1", "milestones=75:90 and factors=0.1 differ in number"),
        ("milestones=75:50", "at: milestones=75:50 do not increase"),
        ("milestones=50:50", "do not increase"),
        ("schedule=one-cycle,warmup=5", "warmup=5 has no place before schedule=one-cycle"),
        ("nesterov=true,momentum=0", "nesterov=true needs optimizer=sgd with a momentum"),
        ("nesterov=true,optimizer=adam", "not optimizer=adam with momentum=0.9"),
        ("milestones=-1:50", "milestones=-1 is out of range"),
        ("milestones=50/75", "milestones=0.6.* is not of type int; write a list with colons, such as 50:75"),
        ("milestones=early:late", "milestones='early:late' is not of type int"),
        ("factors=none", "factors=None is not a number; write a list with colons"),
        ("factors=0.1:-1", "factors=-1 is out of range"),
    ],
)
def test_a_wrong_setting_is_one_sentence_before_anything_runs(settings, pattern):
    with pytest.raises(UsageError, match=pattern) as error:
        cell(f"at[{settings}]")
    assert "\n" not in str(error.value)


def test_a_schedule_can_be_written_and_is_the_one_that_trains():
    spec = cell("at[milestones=50:75,factors=1/2:0.25]")
    assert (spec.recipe.milestones, spec.recipe.factors) == ((50, 75), (0.5, 0.25))
    assert [spec.recipe.lr_at(epoch) for epoch in (49, 50, 75)] == pytest.approx([0.1, 0.05, 0.025])
    assert cell(f"at[{spec.variant}]") == spec
    assert cell_from_plain(json.loads(canonical_json(spec))) == spec


@pytest.mark.parametrize(
    ("text", "variant"), [("augment=none", ""), ("start=none", "start=none")], ids=["the default here", "another"]
)
def test_a_choice_called_none_can_be_written(text, variant):
    spec = cell(f"at[{text}]")
    assert {"augment": spec.recipe.augment, "start": dict(spec.hparams)["start"]}[text.partition("=")[0]] == "none"
    assert spec.variant == variant
    assert cell(f"at[{spec.variant}]") == cell_from_plain(json.loads(canonical_json(spec))) == spec


def test_a_list_of_one_is_written_like_a_number():
    spec = cell("at[milestones=50,factors=1]")
    assert (spec.recipe.milestones, spec.recipe.factors) == ((50,), (1.0,))
    assert cell(f"at[{spec.variant}]").id == spec.id


def test_a_schedule_equal_to_the_default_is_the_default_cell():
    assert cell("at[milestones=75:90,factors=0.1:0.01]") == cell("at")


def test_a_stored_recipe_whose_schedule_does_not_fit_is_refused():
    plain = to_plain(cell("at"))
    plain["recipe"]["milestones"] = [75]
    with pytest.raises(UsageError, match="recipe: milestones=75 and factors"):
        cell_from_plain(plain)
    with pytest.raises(UsageError, match="differ in number"):
        dataclasses.replace(Recipe(), factors=())


@given(st.lists(st.one_of(st.integers(0, 10**6), st.floats(0, 1e6)), min_size=2, max_size=4).map(tuple))
def test_lists_are_read_back_as_they_were_written(values):
    assert parse_value(format_value(values)) == pytest.approx(values, rel=1e-9, abs=0)


@pytest.mark.parametrize("value", [1e308, -1e308, 254.9999999999999 / 255, 8 / 255, 1.0, 0.0, -8 / 255])
def test_every_finite_number_is_written_so_that_it_is_read_back(value):
    assert parse_value(format_value(value)) == pytest.approx(value, rel=1e-9, abs=0)


@pytest.mark.parametrize(
    ("value", "text"), [(8 / 255, "8/255"), (254 / 255, "254/255"), (0.2, "0.2"), (0.6, "0.6"), (1.0, "1")]
)
def test_a_value_is_written_in_255ths_where_that_is_shorter(value: float, text: str) -> None:
    assert format_value(value) == text


@given(st.one_of(st.integers(-(10**400), 10**400), st.floats(allow_nan=False, allow_infinity=False)))
def test_a_number_is_written_so_that_the_very_same_is_read_back(value):
    text = format_number(value)
    assert type(value)(text) == value
    if isinstance(value, float):
        assert format_number(np.float64(value)) == text


@given(st.integers(0, 2**63 - 1), st.integers(0, 5000))
def test_a_whole_number_is_read_whatever_zeros_stand_before_it(number, zeros):
    assert whole_number("0" * zeros + str(number)) == number


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "1e3", " 1", "x", "²", str(2**63), "9" * 5000])
def test_what_is_no_whole_number_that_can_be_stored_is_none(text):
    assert whole_number(text) is None
    assert whole_number("7", largest=6) is None
