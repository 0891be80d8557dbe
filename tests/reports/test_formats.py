"""Every format shows the same numbers; LaTeX compiles; names cannot break out."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.config import CellSpec, ThreatModel
from bench.judge.compare import compare_stores
from bench.reports import render
from bench.reports.marks import flag
from bench.reports.report import compare, make
from bench.reports.source import Source
from bench.store import query
from bench.store.folders import read_record
from bench.store.rows import rows_text
from bench.store.schema import CELL, ROWS

from .test_findings import measured

HERE = Path(__file__).parent
ALL = ["html", "latex", "markdown", "csv"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    render.write(make(HERE / "store", figures=["fig4"]), folder, ALL)
    return folder


def compiled(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", name],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
    )


def numbers(folder: Path) -> list[str]:
    with (folder / "tables.csv").open(encoding="utf-8", newline="") as file:
        return [r["value"] for r in csv.DictReader(file) if r["value"]]


def test_same_numbers_everywhere(written: Path) -> None:
    expected = sorted(numbers(written))
    assert len(expected) > 100
    html = (written / "report.html").read_text(encoding="utf-8")
    assert sorted(re.findall(r'<a class="value"[^>]*>([\d.]+)</a>', html)) == expected
    # Beside `value`, only intervals and the paper's numbers stand in small print.
    markdown = re.sub(r"<sub>.*?</sub>|paper [\d.]+[^|]*", "", (written / "report.md").read_text(encoding="utf-8"))
    lines = [re.split(r"(?<!\\)\|", line)[2:] for line in markdown.splitlines() if line.startswith("| ")]
    cells = [m[1] for line in lines for c in line if (m := re.match(r" (?:\*\*|<u>)?(\d+\.\d\d)(?!\d)", c))]
    assert sorted(cells) == expected
    tex = "".join(p.read_text() for p in (written / "latex").glob("*.tex") if p.name != "report.tex")
    tex = re.sub(r"\{\\tiny[^\n]*", "", tex)
    found = re.findall(r"& (?:\\textbf\{|\\underline\{)?(\d+\.\d\d)", tex)
    assert sorted(found) == expected


def test_nothing_is_fetched_and_nothing_breaks_out(written: Path) -> None:
    html = (written / "report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)</script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", html)
    assert html.count("<script>") == 1
    assert "<b>&</b> 100%" not in html
    markdown = (written / "report.md").read_text(encoding="utf-8")
    assert "<script" not in markdown
    for line in markdown.splitlines():
        if line.startswith("| cats") or line.startswith("| my"):
            assert line.endswith("|")


def test_images_have_alternative_text(written: Path) -> None:
    html = (written / "report.html").read_text(encoding="utf-8")
    images = re.findall(r"<img [^>]*>", html)
    assert images
    assert all(re.search(r'alt="[^"]{20,}"', image) for image in images)


def test_ids_are_unique_and_links_lead_somewhere(written: Path) -> None:
    html = (written / "report.html").read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(ids)


@pytest.mark.parametrize("interval", ["sampling", "seeds", "both"])
def test_intervals_asked_for(interval: str, tmp_path: Path) -> None:
    render.write(
        make(HERE / "store", interval=interval, tables=["table01"], figures=[]), tmp_path, ["html", "markdown"]
    )
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    shown = {word for word in ("img", "seeds") if f"<i>{word}</i>" in html}
    assert shown == {"sampling": {"img"}, "seeds": {"seeds"}, "both": {"img", "seeds"}}[interval]


def test_comparison_of_two_stores(tmp_path: Path, make_cell: Any) -> None:
    for name, level in (("a", 0.7), ("b", 0.6)):
        for method in ("at", "taet"):
            make_cell(tmp_path / name, method, level=level)
    report = compare(tmp_path / "a", tmp_path / "b")
    table = report.tables[0]
    assert [c.label for c in table.columns[:3]] == ["A", "B", "A − B"]
    a, b, gap = table.rows[0].cells[:3]
    assert gap.value == pytest.approx(a.value - b.value)
    assert gap.value > 5
    render.write(report, tmp_path, ALL)
    assert "Comparison" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_comparison_is_that_of_the_judge_in_every_setting(tmp_path: Path) -> None:
    """Two radii of one method: neither difference may stand at the other's place."""
    near = CellSpec("at", "cifar10lt", 10.0, "resnet18", 0, threat=ThreatModel(eps=4 / 255))
    for name, level in (("a", 0.7), ("b", 0.6)):
        for seed in (0, 1):
            measured(tmp_path / name, "at", seed=seed, level=level, attacks=("clean",))
            measured(tmp_path / name, "at", seed=seed, level=1.3 - level, attacks=("clean",), spec=near)
    report = compare(tmp_path / "a", tmp_path / "b")
    lines = [one for one in compare_stores(tmp_path / "a", tmp_path / "b") if one.seed is None]
    expected = {round(100 * line.comparison.difference, 6): line for line in lines}
    shown = {round(table.rows[0].cells[2].value or 0, 6): table.rows[0].cells for table in report.tables}
    assert shown.keys() == expected.keys()
    assert len(shown) == 2
    for gap, (a, b, cell) in shown.items():
        assert gap == pytest.approx(a.value - b.value)
        assert cell.sampling == pytest.approx(
            [100 * getattr(expected[gap].comparison.images, e) for e in ("low", "high")]
        )
        assert cell.marks == {"better": ("▲",), "worse": ("▼",)}.get(expected[gap].verdict, ())


def test_numbers_of_other_images_stand_beside_each_other_without_a_difference(tmp_path: Path) -> None:
    for name, level in (("a", 0.7), ("b", 0.6)):
        cell = measured(tmp_path / name, "at", level=level, attacks=("clean",))
        folder = tmp_path / name / cell
        known = json.loads((folder / CELL).read_text())
        known["data"]["data_hash"] = name * 16
        known["evaluations"]["long-tailed/clean"]["flags"] = ["collapse"]
        (folder / CELL).write_text(json.dumps(known))
        (folder / ROWS).write_text(rows_text(read_record(folder), query.samples(folder)))
    (table,) = compare(tmp_path / "a", tmp_path / "b").tables
    a, b, gap = table.rows[0].cells[:3]
    assert gap.value is None
    assert a.value > b.value
    assert a.marks == b.marks == (flag("collapse").mark,)
    assert {note.mark for note in table.footnotes} == {"", *a.marks}
    assert dict(table.settings)["Images of B"] == "b" * 16


@pytest.mark.parametrize("kind", ["empty", "failed"])
def test_a_store_without_results(tmp_path: Path, make_cell: Any, kind: str) -> None:
    root = tmp_path / "store"
    root.mkdir()
    if kind == "failed":
        make_cell(root, "taet", status="failed")
    report = make(root)
    assert all(t.measured == 0 for t in report.tables)
    assert {t.title for t in report.tables} == {f"Table {i}" for i in range(1, 12)}
    assert {f.title for f in report.figures} == {f"Figure {i}" for i in range(1, 10)}
    assert all(t.commands for t in report.tables)
    render.write(report, tmp_path / "out", ALL)
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert ("the loss became NaN in epoch 3" in html) == (kind == "failed")


@pytest.mark.latex
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path: Path) -> None:
    render.write(make(HERE / "store", figures=["fig4"]), tmp_path, ["latex"])
    ran = compiled(tmp_path / "latex", "report.tex")
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert (tmp_path / "latex" / "report.pdf").stat().st_size > 10_000


@pytest.mark.latex
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_one_table_alone_needs_booktabs_only(tmp_path: Path) -> None:
    render.write(make(HERE / "store", tables=["table02"], figures=[]), tmp_path, ["latex"])
    body = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{table02.tex}\end{document}"
    (tmp_path / "latex" / "own.tex").write_text(body)
    ran = compiled(tmp_path / "latex", "own.tex")
    assert ran.returncode == 0, ran.stdout[-2000:]


def test_the_csv_is_tidy(tmp_path: Path) -> None:
    """A column a coordinate: every measured number of a table is found again in the store by its keys alone."""
    source = Source(HERE / "store")
    render.write(make(HERE / "store", figures=[]), tmp_path, ["csv"])
    frame = pd.read_csv(tmp_path / "tables.csv", dtype=str, keep_default_na=False)
    measured = frame[(frame["value"] != "") & (frame["value"] != "—") & frame["seeds"].ne("")]
    assert len(measured) > 50
    for line in measured.to_dict("records"):
        found = [
            e
            for s in source.index
            for c in source.configs(s)
            for e in source.evaluations(s, c, line["attack"])
            if (s.dataset, s.test_split, s.recipe, c.method, c.variant, f"{c.ir:g}", c.model)
            == tuple(line[k] for k in ("dataset", "test_split", "recipe", "method", "variant", "ir", "model"))
        ]
        assert " ".join(str(e.seed) for e in found) == line["seeds"]
        if line["metric"] == "recall":
            position = found[0].counts.names.index(line["class"])
            value = source.estimate(found, "class", position).value
        else:
            value = source.estimate(found, line["metric"]).value
        assert f"{100 * value:.2f}" == line["value"]
    assert not frame.drop(columns=["row", "title"]).map(lambda text: "Method=" in text).any(axis=None)


def test_marks_of_what_was_tested_are_in_every_format(tmp_path: Path) -> None:
    """● and ○ only where a paired test was made, ≤ at chance; the same numbers in Markdown, LaTeX and CSV."""
    golden = HERE.parents[1] / "results" / "golden"
    report = make(golden, tables=["overview"], figures=[])
    render.write(report, tmp_path, ALL)
    table = next(t for t in report.tables if "○" in {render.mark(report, cell) for cell in t.cells})
    cells = [(row, column, cell) for row in table.rows for column, cell in zip(table.columns, row.cells, strict=True)]
    signs = {"●": "best", "○": "not distinguishable"}
    shown = [(render.mark(report, cell), render.stands(report, cell)) for _, _, cell in cells]
    assert {sign for sign, _ in shown} == {"", *signs}
    assert all(signs.get(sign, word) == word for sign, word in shown)
    tex = (tmp_path / "latex" / f"{table.key}.tex").read_text()
    text = (tmp_path / "report.md").read_text().partition(f'<a id="{table.key}">')[2].partition("<a id=")[0]
    for sign, command in (("●", "bullet"), ("○", "circ")):
        count = sum(one == sign for one, _ in shown)
        assert len(re.findall(rf"\d\*{{0,2}} {sign}", text)) == count
        assert len(re.findall(rf"textsuperscript\{{\\ensuremath\{{\\{command}\}}", tex)) == count + 1  # its note
    assert len(re.findall(r"\d\*{0,2}(?: [●○])? ≤", text)) == sum(cell.low for _, _, cell in cells) > 0
    frame = pd.read_csv(tmp_path / "tables.csv", dtype=str, keep_default_na=False)
    mine = frame[frame["table"] == table.key]
    assert (mine["standing"] == "best").sum() == sum(sign == "●" for sign, _ in shown)
