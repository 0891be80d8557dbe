"""Tables of RobustLT's and RoBal's papers: there only with their rows, printed numbers reported and never judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.config import CellSpec
from bench.judge.metrics import metric
from bench.judge.reference import robustlt_tables
from bench.registry import registry
from bench.reports.model import Verdict
from bench.reports.source import Source

from .conftest import write_cell

ATTACKS = ("clean", "pgd-20", "cw-linf", "aa-10", "aa")


def wrapped(method: str, *more: str) -> CellSpec:
    names = sorted([*more, "robustlt"])
    return CellSpec(
        method,
        "cifar10lt",
        50.0,
        "wrn-28-10",
        0,
        enhancers=tuple((n, ()) for n in names),
        enhanced="".join(f"+{n}" for n in names),
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    there = {"ir": 50.0, "model": "wrn-28-10", "splits": ("balanced",), "attacks": ATTACKS}
    write_cell(tmp_path, "at", **there)
    write_cell(tmp_path, "at", spec=wrapped("at"), **there)
    write_cell(tmp_path, "taet", spec=wrapped("taet"), **there)
    return tmp_path


def table(root: Path, name: str, **options: str):
    return registry("tables").get(name)().tables(Source(root), **options)


def test_bases_stand_alone_and_wrapped_beside_what_third_parties_report(root):
    (made,) = table(root, "robustlt")
    assert [row.labels[:2] for row in made.rows] == [("AT", "none"), ("AT", "RobustLT"), ("TAET", "RobustLT")]
    clean, tail = made.rows[1].cells[:2]
    assert (clean.paper.printed, tail.paper.printed) == ("61.59", "52.67")
    assert {cell.verdict for row in made.rows[:2] for cell in row.cells if cell.paper} == {Verdict.REPORT}
    assert made.rows[2].cells[0].paper is None
    assert any("summaries by third parties (note 61440368236" in note.text for note in made.footnotes)


def test_under_other_settings_nothing_is_printed_beside(tmp_path):
    there = {"ir": 50.0, "model": "wrn-28-10", "attacks": ATTACKS}
    write_cell(tmp_path, "at", **there)
    write_cell(tmp_path, "at", spec=wrapped("at"), **there)
    (made,) = table(tmp_path, "robustlt")
    assert all(cell.paper is None for row in made.rows for cell in row.cells)


@pytest.mark.parametrize("name", ["robustlt", "robal"])
def test_a_store_without_their_rows_has_no_such_table(name, tmp_path):
    write_cell(tmp_path, "at-bsl")
    write_cell(tmp_path, "taet")
    assert table(tmp_path, name) == []


def test_the_baselines_of_robal_stand_by_kind(tmp_path):
    for method in ("robal", "crt", "plain", "cb", "tau-norm"):
        write_cell(tmp_path, method, model="wrn-34-10", attacks=("clean", "aa"))
    (made,) = table(tmp_path, "robal")
    assert [row.labels[1] for row in made.rows] == ["plain", "cb", "tau-norm", "crt", "robal"]
    assert [row.labels[0] for row in made.rows] == ["loss", "loss", "inference", "second stage", "RoBal"]


@pytest.mark.parametrize(("classes", "counted"), [(10, 8), (7, 6), (100, 80), (2, 2)])
def test_the_two_tails_are_two_metrics(classes, counted):
    n, correct = np.full(classes, 10.0), np.zeros(classes)
    correct[classes - counted :] = 10.0
    assert metric("tail-80", n, correct) == 1.0
    correct[classes - counted] = 0.0
    assert metric("tail-80", n, correct) == pytest.approx(1 - 1 / counted)
    assert metric("tail", n, correct) == 1.0


def test_all_54_numbers_are_shipped():
    assert len(robustlt_tables()) == 54
