"""A page of more cells than it can show, and how it is narrowed."""

from __future__ import annotations

import csv

import pytest
from click.testing import CliRunner

from bench.cli.report import command
from bench.errors import UsageError
from bench.judge.reference import shipped
from bench.reports import report as reports
from bench.reports.extracts import summary

GOLDEN = shipped("golden")


@pytest.fixture
def crowded(monkeypatch) -> None:
    """The golden folder's cells are too many for a page."""
    monkeypatch.setattr(reports, "CELLS", 20)


def test_of_too_many_cells_each_method_s_highest_setting_is_shown(crowded):
    made = reports.make(GOLDEN)
    assert "highest setting" in made.notice
    assert "--methods" in made.notice
    assert (made.figures, made.cards) == ((), ())
    own = made.tables
    row = next(row for row in own[0].rows if row.labels[0].startswith("TAET") and row.labels[1] == "10")
    whole = reports.make(GOLDEN, whole=True, tables=["overview"], figures=[])
    same = next(t for t in whole.tables if t.data == own[0].data)
    rival = [r for r in same.rows if r.labels[0].startswith("TAET") and r.labels[1] == "10"]
    strongest = next(j for j, column in enumerate(own[0].columns) if column.attack == "aa")
    assert int(row.labels[3]) == len(rival) > 1
    known = [r.cells[strongest].value for r in rival if r.cells[strongest].value is not None]
    assert row.cells[strongest].value == max(known)
    shown = {cell for table in made.tables for one in table.cells for cell in one.provenance}
    assert {page.id for page in made.cells} == shown


def test_a_summary_has_no_more_rows_than_a_page(crowded, monkeypatch):
    monkeypatch.setattr(summary, "ROWS", 3)
    made = reports.make(GOLDEN)
    assert [len(table.rows) for table in made.tables] == [3]
    assert any("rows more have no room" in note.text for note in made.tables[0].footnotes)
    assert "settings more have no room" in made.notice


@pytest.mark.parametrize(
    "only",
    [{"method": ["at-bsl"]}, {"method": ["at-bsl"], "ir": ["20"]}, {"seed": ["0"]}, {"method": ["taet[alpha=0.05]"]}],
)
def test_narrowed_numbers_are_those_of_the_whole(only):
    whole = reports.make(GOLDEN, tables=["overview"], figures=[])
    part = reports.make(GOLDEN, tables=["overview"], figures=[], only=only)
    assert part.notice == ""
    numbers = {(c.provenance, c.selector, c.value) for table in whole.tables for c in table.cells}
    own = {(c.provenance, c.selector, c.value) for table in part.tables for c in table.cells if c.value is not None}
    assert own
    assert own <= numbers
    assert {cell for provenance, *_ in own for cell in provenance} == {page.id for page in part.cells}
    assert all(page.id.startswith(only.get("method", [""])[0].partition("[")[0]) for page in part.cells)


def test_what_is_not_there_is_refused_by_name():
    with pytest.raises(UsageError, match="no cell of method 'marts'"):
        reports.make(GOLDEN, only={"method": ["marts"]})


def test_the_command_narrows_and_keeps_tables_csv_whole(tmp_path, crowded):
    words = ["--results", str(GOLDEN), "--output", str(tmp_path), "--tables", "overview", "--figures", "none"]
    done = CliRunner().invoke(command, [*words, "--format", "html,markdown,latex,csv"])
    assert done.exit_code == 0, done.output
    for name in ("report.html", "report.md", "latex/report.tex"):
        assert "A summary" in (tmp_path / name).read_text(encoding="utf-8")
    with (tmp_path / "tables.csv").open(encoding="utf-8") as file:
        cells = {cell for row in csv.DictReader(file) for cell in row["cells"].split()}
    assert len(cells) == len(list(GOLDEN.glob("*/per_class.csv")))
    done = CliRunner().invoke(command, [*words, "--methods", "at", "--irs", "10"])
    assert done.exit_code == 0, done.output
    assert "A summary" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    done = CliRunner().invoke(command, [*words, "--paper", "--seeds", "0"])
    assert "--seeds does not narrow the table of --paper" in str(done.exception)
