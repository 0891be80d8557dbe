"""What a person sees at the end of a run: scores, marks, time left, what is next; and the same as JSON."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest
import rich.style  # noqa: F401 - draws a number when it is first imported

from bench.cli import main
from bench.cli.shown import progress as progress_module
from bench.cli.shown import score_table
from bench.reports.extracts import scores
from bench.reports.source import Source

GOLDEN = Path(__file__).resolve().parents[2] / "results" / "golden"
SMALL = ["--datasets", "digitslt", "--irs", "10", "--epochs", "1", "--limit", "6", "--attacks", "clean,fgsm",
         "--jobs", "0", "--seeds", "0"]  # fmt: skip


def call(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(w) for w in words])
    return ended.value.code


def test_a_run_ends_with_its_scores_and_what_is_next(tmp_path, capsys):
    words = ["run", "--methods", "ce,at", *SMALL, "--results", tmp_path]
    assert call(*words) == 0
    said = capsys.readouterr()
    cells = [scores.of_cell(folder) for folder in sorted(tmp_path.glob("*-ir10-*"))]
    assert len(cells) == 2
    for one in cells:  # the line of a cell and the table hold the numbers of the store
        numbers = ", ".join(f"{name} {one[a].value:.1f}" for name, a in (("clean", "clean"), ("FGSM", "fgsm")))
        assert numbers in said.err
        assert re.search(
            rf" 1 +{one['clean'].value:.1f} ± ?{one['clean'].half:.1f}\S* +{one['fgsm'].value:.1f} ±", said.out
        )
    assert "REDUCED RUN: epochs=1" in said.out
    assert f"bench compare at ce --results {tmp_path}" in said.out
    assert "L: a class has fewer than 30 test images" in said.out
    assert "≤: at or below a constant answer" in said.out  # an untrained network answers one class
    assert max(map(len, said.out.replace(str(tmp_path), "runs").splitlines())) <= 80
    assert call(*words) == 0
    again = capsys.readouterr().out
    assert again.partition("Balanced")[2] == said.out.partition("Balanced")[2]


def test_the_numbers_are_those_of_the_rows(tmp_path):
    rows = Source(GOLDEN).rows
    (block,) = [b for b in scores.blocks(Source(GOLDEN)) if b.heading.startswith("digitslt, IR 20")]
    line = next(line for line in block.lines if line.label == "at-bsl")
    mine = rows[(rows["method"] == "at-bsl") & (rows["ir"] == 20) & (rows["attack"] == "aa")]
    assert line.scores["aa"].value == pytest.approx(100 * float((mine["correct"] / mine["n"]).mean()))
    assert list(line.scores) == ["clean", "pgd-20", "aa"]
    assert "fgsm" in block.more


def test_json_is_all_there_is_on_standard_output(tmp_path, capsys):
    words = ["run", "--methods", "ce", *SMALL, "--results", tmp_path, "--json"]
    assert call(*words) == 0
    told = json.loads(capsys.readouterr().out)
    (cell,) = told["cells"]
    (line,) = told["scores"]
    assert cell["event"] == "done"
    assert told["counts"] == {"done": 1, "failed": 0, "done_before": 0, "elsewhere": 0}
    assert line["method"] == "ce"
    clean = scores.of_cell(tmp_path / cell["cell"])["clean"]
    assert line["balanced_accuracy"]["clean"]["value"] == round(clean.value, 2)


def test_quiet_says_nothing_unless_it_goes_wrong(tmp_path, capsys):
    assert call("run", "--methods", "ce", *SMALL, "--results", tmp_path, "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert call("run", "--methods", "ce[lr=1e30],at", *SMALL, "--epochs", "3", "--results", tmp_path, "--quiet") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "FAILED in train" in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("methods", [1, 3])
def test_every_line_of_every_store_fits_80_columns(methods, tmp_path):
    made = scores.blocks(Source(GOLDEN))
    assert made
    assert {len(line) <= 80 for line in score_table.table(made)} == {True}
    long = "taet[" + ",".join(f"alpha{i}=0.123456" for i in range(methods * 3)) + "]"
    wide = [
        scores.Block(
            b.setting,
            b.heading,
            b.attacks,
            (scores.Line(b.lines[0].config, long, b.lines[0].scores, (0,), ""),),
            b.more,
        )
        for b in made
    ]
    lines = score_table.table(wide)
    assert {len(line) <= 80 for line in lines} == {True}
    assert long in "".join(line.split(" ")[0] for line in lines)


def test_time_left_counts_from_what_is_known(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    task = object()
    progress = progress_module.Progress([task] * 4, 0, tmp_path, expected=400.0)
    now[0] += 40
    assert progress._left() == "6 min left"  # 400 s foreseen, 40 s over
    progress.on_event({"cell": "a", "event": "done"})
    assert progress._left() == "2 min left"  # 40 s a cell, three to go
    now[0] += 35
    assert progress._left() == "85 s left"
    assert progress_module.Progress([task], 0, tmp_path)._left() == ""


def test_bars_on_a_terminal_of_80_columns(tmp_path, monkeypatch):
    """The bar of a cell says what it does, that of the grid the time left; nothing is wider than the terminal."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "__stderr__", screen)
    monkeypatch.setenv("COLUMNS", "80")
    cell = "taet-cifar100lt-ir10-s0-0123456789"
    with progress_module.Progress([object()] * 2, 0, tmp_path, expected=7200.0) as progress:
        progress.on_event({"cell": cell, "event": "progress", "stage": "long-tailed/aa", "at": 3, "of": 870})
        progress._live.refresh()
        progress.on_event({"cell": cell, "event": "failed", "stage": "train", "message": "[bold]it is so[/bold]"})
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "taet-cifar100lt-ir10-s0 long-tailed/aa" in shown
    assert "2.0 h left" in shown
    assert "3/870" in shown
    assert "[bold]it is so[/bold]" in shown
    lines = [line.rstrip() for part in shown.split("\r") for line in part.splitlines()]
    assert max(len(line) for line in lines if "FAILED" not in line) <= 80  # a message is as long as it must be
