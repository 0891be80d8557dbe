"""Gains of enhancers at an equal method and of methods at equal enhancers, from a small store made by the program."""

from __future__ import annotations

import pytest

from bench.engine.cell import run_cell
from bench.engine.grid import Axes, expand
from bench.engine.life.settings import Settings
from bench.judge import paired
from bench.judge.attribution import SCOPES, attribution, setting_of
from bench.judge.compare import compare_methods
from bench.judge.pairs.wanted import Wanted
from bench.reports.figures.attribution import AttributionFigure
from bench.reports.model import Cell
from bench.reports.source import Source
from bench.reports.tables.attribution import Attribution
from bench.reports.text import intervals

METHODS = ("at[steps=1]", "at[steps=1]+ema[warmup=0]", "ce", "ce+ema[warmup=0]", "harl[steps=0]")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    axes = Axes(
        methods=METHODS, datasets=("digitslt",), irs=("10",), attacks=("clean",), epochs=1, limit=5, seeds=(0, 1)
    )
    for task in expand(axes):
        run_cell(task, Settings(results=root, device="cpu"), lambda _: None)
    return root


def test_gains_pair_what_differs_in_one_thing(store):
    gains = attribution(store)
    pairs = {(g.what, g.at, g.of_enhancer) for g in gains}
    assert pairs == {
        ("+ema[warmup=0]", "at[steps=1]", True),
        ("+ema[warmup=0]", "ce", True),
        ("ce − at[steps=1]", "alone", False),
        ("ce − at[steps=1]", "+ema[warmup=0]", False),
    }
    assert {g.scope for g in gains} == set(SCOPES)
    assert {len(g.cells) for g in gains} == {4}
    assert {g.family for g in gains} == {len(gains)}
    assert setting_of(gains[0]) == (
        "digitslt, IR 10, small-cnn, paper recipe, epochs=1 of 100, limit=5, long-tailed test split"
    )


def test_the_balanced_gain_is_that_of_compare(store):
    (gain,) = [g for g in attribution(store) if (g.at, g.scope) == ("ce", "balanced")]
    line = next(x for x in compare_methods(store, "ce+ema[warmup=0]", "ce") if x.seed is None)
    assert gain.value == pytest.approx(line.comparison.difference)
    assert gain.images == line.comparison.images


@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_is_as_compare_has_it(store, scope):
    """Losses are no smaller than they are: an interval of a difference goes below zero."""
    gains = [g for g in attribution(store) if (g.at, g.scope) == ("at[steps=1]", scope)]
    for gain in gains:
        method = gain.at + gain.what
        (line,) = [x for x in compare_methods(store, method, gain.at, Wanted(metric=scope)) if x.seed is None]
        found = line.comparison
        assert (gain.value, gain.images, gain.seeds) == (found.difference, found.images, found.seeds)


def test_head_and_tail_average_to_balanced_and_the_corrected_p_is_no_smaller(store):
    gains = {(g.what, g.at, g.scope): g for g in attribution(store)}
    for (what, at, scope), gain in gains.items():
        if scope == "balanced":
            halves = gains[what, at, "head"].value, gains[what, at, "tail"].value
            assert gain.value == pytest.approx(sum(halves) / 2)
        assert 0 <= gain.p <= 1
        assert gain.images.low <= gain.value <= gain.images.high
        assert gain.seeds.low <= gain.value <= gain.seeds.high
        assert gain.runs == 2


def test_a_table_a_setting_and_none_without_enhancers(store, tmp_path):
    (table,) = Attribution().tables(Source(store))
    assert [row.labels[0] for row in table.rows] == ["+ema[warmup=0]"] * 2 + ["ce − at[steps=1]"] * 2
    assert [column.label for column in table.columns] == list(SCOPES)
    assert table.measured == 16
    assert Attribution().tables(Source(store), test_split="balanced") == []
    axes = Axes(methods=("ce",), datasets=("digitslt",), attacks=("clean",), epochs=1, limit=4)
    run_cell(expand(axes)[0], Settings(results=tmp_path, device="cpu"), lambda _: None)
    assert Attribution().tables(Source(tmp_path)) == []


def test_the_figure_says_the_gains_of_enhancers(store):
    (figure,) = AttributionFigure().figures(Source(store), suffixes=("svg",))
    (gain,) = [g for g in attribution(store) if (g.at, g.scope) == ("ce", "balanced")]
    assert f"+ema[warmup=0] at ce Clean {100 * gain.value:+.1f}".replace("-", "−") in figure.alt
    assert "at-bsl" not in figure.alt
    assert figure.files["svg"].startswith(b"<?xml")
    assert AttributionFigure().figures(Source(store), test_split="balanced") == []


def test_equal_seeds_are_counted_as_seeds_not_as_cells():
    cell = Cell(value=1.0, seeds=(1.0, 1.0), provenance=("a", "b", "c", "d"), runs=2)
    assert intervals(cell, "seeds") == [("seeds", "equal in 2")]


def test_a_clear_gain_is_told_in_a_large_family_too(maker, monkeypatch):
    """The smallest p of the draws, times the number of gains, must not exceed what the verdict asks for."""
    monkeypatch.setattr(paired, "DRAWS", 100)  # as a family of 1600 gains is beside the usual number
    maker.cell("taet", draw="shared")
    maker.cell("taet", draw="shared", shift=0.4, enhancers=(("ema", ()),), enhanced="+ema")
    gains = [g for g in attribution(maker.root) if g.scope == "balanced"]
    assert 2 / 101 * gains[0].family > 0.05
    assert {g.verdict for g in gains} == {"better"}
