"""What figures read besides counts may be anything: a figure is lost, never the report, and the file is named."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.registry import registry
from bench.reports import render
from bench.reports.drawing.inputs import Features
from bench.reports.figures.fig3 import embed
from bench.reports.report import make

from .conftest import CIFAR, write_cell

ALL = ["html", "latex", "markdown", "csv"]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    for method in ("at-bsl", "taet"):
        write_cell(folder, method, epochs=True, features=True, attacks=("clean", "pgd-20"))
    return folder


def features(**changed: Any) -> Callable[[Path], None]:
    """Writes features.npz with these arrays instead of sound ones; None leaves one out."""

    def damage(cell: Path) -> None:
        with np.load(cell / "features.npz") as found:
            held = {**found, **changed}
        np.savez(cell / "features.npz", **{name: value for name, value in held.items() if value is not None})

    return damage


def cut(name: str, share: float) -> Callable[[Path], None]:
    """Truncates a file."""

    def damage(cell: Path) -> None:
        body = (cell / name).read_bytes()
        (cell / name).write_bytes(body[: int(len(body) * share)])

    return damage


def text(name: str, body: str) -> Callable[[Path], None]:
    """Another text in place of a file."""
    return lambda cell: [(cell / name).write_text(body)][0] and None


#: file, figure that needs it -> what happened to the file
FEATURES = {
    "constant": features(features=np.ones((400, 12), np.float32)),
    "equal but for the last digit": features(features=np.ones((400, 12)) + 1e-12 * np.eye(400, 12)),
    "not finite": features(features=np.full((400, 12), np.nan)),
    "infinite": features(features=np.where(np.arange(4800).reshape(400, 12) == 7, np.inf, 1.0)),
    "one axis": features(features=np.arange(400.0)),
    "one column": features(features=np.arange(400.0)[:, None]),
    "no image": features(features=np.zeros((0, 12)), label=np.zeros(0, np.int64)),
    "other length": features(label=np.zeros(3, np.int64)),
    "words": features(features=np.array([["a"] * 12] * 400)),
    "labels in words": features(label=np.array(["a"] * 400)),
    "no labels": features(label=None),
    "truncated": cut("features.npz", 0.6),
    "empty": cut("features.npz", 0.0),
    "no archive": text("features.npz", "hello"),
}
EPOCHS = {
    "empty": text("epochs.csv", ""),
    "head only": text("epochs.csv", "epoch,phase,lr,loss,seconds,images,peak_memory_mib,clean:0\n"),
    "cut": cut("epochs.csv", 0.37),
    "words": text("epochs.csv", "epoch,phase,lr,loss,seconds,images,peak_memory_mib\none,natural,a,b,c,d,e\n"),
    "other columns": text("epochs.csv", "a,b\n1,2\n"),
    "bytes": lambda cell: (cell / "epochs.csv").write_bytes(b"\xff\x00\xfe" * 40) and None,
}
CASES = [*((f, "fig3", "features.npz") for f in FEATURES), *((f, "fig2", "epochs.csv") for f in EPOCHS)]


@pytest.mark.parametrize(("case", "figure", "name"), CASES)
def test_a_figure_is_lost_never_the_report(stored: Path, tmp_path: Path, case: str, figure: str, name: str) -> None:
    root = shutil.copytree(stored, tmp_path / "store")
    for cell in sorted(p for p in root.iterdir() if p.is_dir()):
        (FEATURES if name == "features.npz" else EPOCHS)[case](cell)
    report = make(root, tables=["table01"], figures=[figure], suffixes=("svg",))
    assert report.tables[0].measured == 4
    if case != "cut":  # half of a log is a log
        assert not report.figures[0].files
        assert report.figures[0].missing
        assert sum(name in problem for problem in report.problems) == 2


def test_a_drawing_that_fails_loses_only_itself(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("nothing to draw")

    monkeypatch.setattr(registry("figures").get("fig1"), "draw", fail)
    report = make(stored, tables=["table01"], figures=["fig1", "fig4"], suffixes=("svg",))
    assert [bool(figure.files) for figure in report.figures] == [False, True]
    assert "it could not be drawn (ZeroDivisionError: nothing to draw)" in report.figures[0].missing
    render.write(report, tmp_path, ALL)


@pytest.mark.parametrize(
    "values",
    [
        np.repeat(np.eye(2, 6), 50, axis=0),
        np.vstack([np.zeros((99, 6)), np.ones((1, 6))]),
        np.outer(np.arange(100.0), np.ones(6)),
        np.linspace(0, 1e-300, 600).reshape(100, 6),
        np.linspace(-1e300, 1e300, 600).reshape(100, 6),
        np.ones((100, 6)),
        np.eye(3, 6),
    ],
)
def test_a_map_of_anything_finite_is_finite(values: np.ndarray) -> None:
    label = np.arange(len(values)) % 2
    points, where = embed(Features(values, label), [0, 1])
    assert points.shape == (len(values), 2)
    assert np.isfinite(points).all()
    assert where.tolist() == label.tolist()


# --------------------------------------------------------------------------------------------- text of others

#: ends a fence and a code span, moves a cursor, turns what follows, and is a formula
HOSTILE = "=1+1\u202egnp.exe\x1b[2J\n```\n# broken out\n`x`"


def test_names_of_others_stay_text_in_every_format(tmp_path: Path) -> None:
    root = tmp_path / "a`b\n```\n# broken out of the path"
    for method in ("at", "taet"):
        cell = write_cell(root, method, dataset="archive:x", source=HOSTILE, names=(HOSTILE, *CIFAR[1:9], "=b"))
        document = json.loads((root / cell / "cell.json").read_text())
        document["device"]["name"] = HOSTILE
        (root / cell / "cell.json").write_text(json.dumps(document))
    report = make(root, tables=["overview", "table02"], figures=[], dataset="archive:x")
    render.write(report, tmp_path, ALL)
    for path in (tmp_path / "report.html", tmp_path / "report.md", tmp_path / "tables.csv"):
        written = path.read_text()
        assert not set("\u202e\x1b") & set(written)
        assert "U+202E" in written
    lines = (tmp_path / "report.md").read_text().splitlines()
    assert not [line for line in lines if line.startswith("# broken out")]
    fences = [line for line in lines if line.startswith("```")]
    assert [line.strip("`") for line in fences] == ["sh", ""] * (len(fences) // 2)
    assert all(len(a) == len(b) + 2 for a, b in zip(fences[::2], fences[1::2], strict=True))
    with (tmp_path / "tables.csv").open(newline="") as file:
        fields = [value for row in csv.reader(file) for value in row]
    assert not [value for value in fields if value.startswith(("=", "@", "\t"))]
    assert "'=b" in fields


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (",5000,1000,", ",5000,-1000,"),
        (",0,airplane,", ",1,airplane,"),
        (",0,airplane,", ",-1,airplane,"),
        (",5000,1000,", ",5000,3,"),
    ],
)
def test_impossible_counts_are_left_out_and_named(tmp_path: Path, old: str, new: str) -> None:
    good, bad = (write_cell(tmp_path, method, attacks=("clean", "pgd-20")) for method in ("at-bsl", "taet"))
    rows = tmp_path / bad / "per_class.csv"
    text_ = rows.read_text()
    assert old in text_
    rows.write_text(text_.replace(old, new))
    report = make(tmp_path, tables=["table01"], figures=[])
    assert {c for cell in report.tables[0].cells if cell.value is not None for c in cell.provenance} == {good}
    (problem,) = report.problems
    assert bad in problem
    assert "cannot be used" in problem
