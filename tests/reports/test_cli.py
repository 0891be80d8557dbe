"""`bench report` as a user calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.cli.report import command
from bench.reports import render
from bench.reports.report import make

HERE = Path(__file__).parent


def call(*words: str) -> Any:
    return CliRunner().invoke(command, words)


def test_formats_and_choice_of_tables(tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = call("--results", str(HERE / "store"), "--output", str(out), "--format", "html,csv", "--format", "latex",
               "--tables", "1,5", "--figures", "none")  # fmt: skip
    assert ran.exit_code == 0, ran.output
    assert ran.output.split() == [str(out / "report.html"), str(out / "tables.csv"), str(out / "latex" / "report.tex")]
    keys = {line.split(",")[0] for line in (out / "tables.csv").read_text(encoding="utf-8").splitlines()[1:]}
    assert {k.split("-")[0] for k in keys} == {"table01", "table05"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "word"], "--format word is unknown"),
        (["--tables", "12"], "unknown table 'table12'"),
        (["--figures", "nine"], "unknown figure 'nine'"),
        (["--interval", "most"], "--interval most"),
        (["--results", "nowhere"], "does not exist"),
        (["--dataset", "cifar10"], "no cell of data set 'cifar10' in "),
        (["--dataset", "cifar10"], "it holds archive:odd_&_names, cifar10lt."),
        (["--test-split", "balanced"], "no number of test split 'balanced' in "),
    ],
)
def test_one_sentence_for_a_wrong_word(words: list[str], message: str, tmp_path: Path) -> None:
    ran = call("--results", str(HERE / "store"), "--output", str(tmp_path), *words)
    assert ran.exit_code != 0
    assert message in str(ran.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_told_and_the_report_still_written(tmp_path: Path, make_cell: Any) -> None:
    make_cell(tmp_path / "store", "taet")
    damaged = make_cell(tmp_path / "store", "at-bsl")
    (tmp_path / "store" / damaged / "per_class.csv").write_text("nothing\n")
    words = ["report", "--results", str(tmp_path / "store"), "--output", str(tmp_path / "out"), "--figures", "none"]
    ran = subprocess.run([sys.executable, "-m", "bench", *words], check=False, capture_output=True, text=True)
    assert ran.returncode == 1
    assert ran.stderr.startswith("left out: ")
    assert damaged in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert (tmp_path / "out" / "report.html").exists()


def test_starts_without_torch_and_writes_nothing_else(tmp_path: Path) -> None:
    code = (
        "import sys; from bench.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules"
    )
    words = ["report", "--results", str(HERE / "store"), "--output", str(tmp_path / "out"), "--figures", "none"]
    subprocess.run([sys.executable, "-c", code, *words], check=True, cwd=tmp_path, capture_output=True)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
def test_a_thousand_cells(tmp_path: Path, make_cell: Any) -> None:
    """All of them are read and shown; how fast is measured by `benchmarks/report.py`."""
    methods = ("at-bsl", "robal", "trades", "at", "mart", "adt", "reat", "las-at", "he", "gairat", "taet", "ce", "harl")
    root = tmp_path / "store"
    for method in methods:
        for ir in (10.0, 20.0, 50.0, 100.0):
            for seed in range(20):
                make_cell(root, method, ir=ir, seed=seed)
    report = make(tmp_path / "store", figures=[])
    render.write(report, tmp_path / "out", ["html"])
    assert len(report.cells) == 13 * 4 * 20


def test_watch_writes_again_as_cells_finish_and_ends_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_cell: Any
) -> None:
    """The page is live while something runs, and finished when nothing does."""
    from collections import Counter

    from bench.cli import report as verb
    from bench.store import status

    runs, out = tmp_path / "runs", tmp_path / "page"
    make_cell(runs, "taet")
    looks = iter([1, 1, 1, 0, 0])
    seen = []

    def overview(_):
        return status.Overview((), Counter(running=next(looks)))

    def sleep(seconds):
        assert seconds == 7
        page = (out / "report.html").read_text(encoding="utf-8")
        seen.append((page.count('<article class="cell"'), 'data-refresh="7"' in page))
        if len(seen) == 1:
            make_cell(runs, "at-bsl")

    monkeypatch.setattr(status, "overview", overview)
    monkeypatch.setattr(verb.time, "sleep", sleep)
    words = ["--results", str(runs), "--output", str(out), "--tables", "overview", "--figures", "none"]
    ran = call(*words, "--watch", "--every", "7")
    assert ran.exit_code == 0, ran.output
    assert seen == [(1, True), (2, True), (2, True), (2, True)]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "data-refresh" not in page.partition("<script>")[0]
    refused = call(*words, "--watch", "--compare", str(runs), str(runs))
    assert "--watch follows one results folder" in str(refused.exception or refused.output)
