"""What goes wrong around a run costs only what it touches: a data set, a pipe, a disk, a results folder, an hour."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench.cli import main
from bench.engine import cell as cell_module
from bench.engine.executors.inline import Inline
from bench.engine.grid import Axes, expand
from bench.engine.host import stop
from bench.engine.life.settings import Settings
from bench.errors import StoreError
from bench.store.folders import read_cell
from bench.store.status import overview

SMALL = ["--epochs", "1", "--limit", "6", "--attacks", "clean", "--jobs", "0", "--device", "cpu"]
DIGITS = ["run", "--methods", "ce", "--datasets", "digitslt", "--irs", "10", *SMALL]


def call(*words: object) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main([str(w) for w in words])
    return int(ended.value.code or 0)


def archive(path: Path, **changes: object) -> Path:
    """Three classes of bars in noise, as an array archive."""
    rng = np.random.default_rng(0)
    made: dict[str, object] = {}
    for split, count in (("train", 12), ("test", 6)):
        labels = np.repeat(np.arange(3), count)
        images = rng.integers(0, 80, (len(labels), 8, 8, 1)).astype(np.uint8)
        images[np.arange(len(labels)), labels] = 255
        made |= {f"{split}_images": images, f"{split}_labels": labels}
    np.savez(path, **{name: np.asarray(values) for name, values in (made | changes).items()})
    return path


BAD = {
    "negative": {"train_labels": np.repeat([-1, 0, 1], 12)},
    "empty": {"train_images": np.zeros((0, 8, 8, 1), np.uint8), "train_labels": np.zeros(0, int)},
    "flat": {"train_images": np.zeros((36, 64), np.uint8)},
    "flat-test": {"test_images": np.zeros((18, 64), np.uint8)},
    "gaps": {"train_labels": np.repeat([0, 5, 10], 12), "test_labels": np.repeat([0, 5, 10], 6)},
    "black": {"train_images": np.zeros((36, 8, 8, 1), np.uint8)},
    "one": {"train_labels": np.zeros(36, int), "test_labels": np.zeros(18, int)},
}


@pytest.mark.parametrize("how", [*BAD, "missing", "damaged"])
def test_one_bad_data_set_is_named_once_before_anything_starts_and_stops_no_other(tmp_path, capsys, how):
    good = archive(tmp_path / "good.npz")
    bad = tmp_path / f"{how}.npz"
    if how == "damaged":
        bad.write_bytes(good.read_bytes()[:-40])
    elif how != "missing":
        archive(bad, **BAD[how])
    words = ["run", "--methods", "ce", "--datasets", f"archive:{bad},archive:{good}", "--irs", "natural,2",
             "--seeds", "0,1", *SMALL, "--results", tmp_path / "out"]  # fmt: skip
    assert call(*words) == 1
    said = capsys.readouterr()
    assert said.err.count(f"data set 'archive:{bad}' is left out") == 1
    assert said.err.index("is left out") < said.err.index("[1/4")
    assert "4 cells done, 0 failed" in said.out
    assert {s.state for s in overview(tmp_path / "out").standings} == {"done"}
    assert call("run", *words[1:3], "--datasets", f"archive:{bad}", *words[5:]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_ratio_that_one_set_cannot_have_stops_no_other(tmp_path, capsys):
    small = archive(tmp_path / "small.npz")
    words = ["run", "--methods", "ce", "--datasets", f"archive:{small},digitslt", "--irs", "20", *SMALL]
    assert call(*words, "--results", tmp_path / "out") == 0
    said = capsys.readouterr()
    assert "skipped ce-archive" in said.err
    assert "use a ratio of at most 12" in said.err
    assert "1 cell done, 0 failed" in said.out


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, capsys, monkeypatch):
    good = archive(tmp_path / "good.npz")

    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("zipfile.ZipFile.__init__", refuse)
    monkeypatch.setattr("zipfile.ZipFile.__del__", lambda self: None)
    assert call("run", "--methods", "ce", "--datasets", f"archive:{good}", *SMALL, "--results", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "cannot be opened (permission denied)" in error
    assert "damaged" not in error


@pytest.mark.parametrize("seed", [2**63, -(2**63) - 1])
def test_a_seed_that_no_file_can_hold_is_refused_before_training(tmp_path, capsys, seed):
    assert call(*DIGITS, "--seeds", seed, "--results", tmp_path / "out") == 2
    assert f"seed {seed} is not possible" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_full_log_and_a_closed_pipe_cost_no_cell(tmp_path):
    command = [sys.executable, "-m", "bench", *DIGITS, "--seeds", "0,1", "--verbose", "--results"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*command, str(tmp_path / "full")], stdout=full, stderr=full, check=False, timeout=120)
    assert done.returncode == 1  # the summary could not be said
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*command, str(tmp_path / "pipe")], stdout=writer, stderr=writer, check=False, timeout=120)
    os.close(writer)
    for name in ("full", "pipe"):
        assert [s.state for s in overview(tmp_path / name).standings] == ["done", "done"]


TASKS = expand(Axes(("ce", "at"), ("digitslt",), attacks=("clean",), epochs=1, limit=6))


def test_a_results_folder_that_is_removed_ends_the_run_in_one_sentence(tmp_path, monkeypatch):
    root = tmp_path / "out"

    def run_cell(task, settings, emit):
        shutil.rmtree(settings.results)
        emit({"cell": task.spec.id, "event": "done"})

    root.mkdir()
    monkeypatch.setattr(cell_module, "run_cell", run_cell)
    with pytest.raises(StoreError, match="is gone, removed or unmounted during the run"):
        Inline().run(TASKS, Settings(results=root), lambda event: None)
    assert not root.exists()


def test_a_cell_whose_folder_is_removed_fails_and_takes_nobody_along(tmp_path):
    events = []

    def on_event(event):
        events.append(event)
        if event["event"] == "progress" and event["cell"] == TASKS[0].spec.id and event["at"] == 1:
            shutil.rmtree(tmp_path / event["cell"], ignore_errors=True)

    Inline().run(TASKS, Settings(results=tmp_path), on_event)
    ends = {e["cell"]: e for e in events if e["event"] in ("done", "failed", "elsewhere")}
    assert ends[TASKS[0].spec.id]["event"] == "failed"
    assert ends[TASKS[0].spec.id]["message"].count("is gone") == 1
    assert ends[TASKS[1].spec.id]["event"] == "done"


def test_a_cell_that_takes_too_long_fails_keeps_what_it_has_and_goes_on(tmp_path, capsys, monkeypatch):
    looks = itertools.count()  # a clock that goes on by a second whenever somebody looks at it: after every step
    monkeypatch.setattr(stop, "time", SimpleNamespace(monotonic=lambda: float(next(looks))))
    words = ["run", "--methods", "ce,at", "--datasets", "digitslt", "--irs", "10", "--epochs", "40", "--limit", "6",
             "--attacks", "clean", "--jobs", "0", "--device", "cpu", "--results", tmp_path]  # fmt: skip
    assert call(*words, "--cell-limit", "20s") == 1
    out, error = capsys.readouterr()
    assert "0 cells done, 2 failed" in out
    assert error.count("it took longer than the 20 s of --cell-limit") == 2
    cells = [read_cell(path.parent) for path in tmp_path.glob("*/cell.json")]
    assert [c["failure"]["stage"] for c in cells] == ["train", "train"]
    assert len(list(tmp_path.glob("*/checkpoint.pt"))) == 2
    assert call(*words, "--retry", "none") == 0
    assert "every cell that is not done failed before" in capsys.readouterr().out
    assert call(*words, "--cell-limit", "2 hours") == 2
    assert "'2 hours' is no time" in capsys.readouterr().err


def test_a_cell_waits_for_those_that_it_goes_on_from_whatever_the_number_of_processes(tmp_path, capsys):
    words = ["run", "--methods", "crt[base=lws]", "--datasets", "digitslt", "--irs", "5", "--epochs", "2",
             "--limit", "6", "--attacks", "clean", "--jobs", "3", "--device", "cpu", "--results", tmp_path]  # fmt: skip
    assert call(*words) == 0
    assert "3 cells done, 0 failed" in capsys.readouterr().out


def test_workers_are_of_the_program_that_was_started_whatever_lies_in_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "__init__.py").write_text("raise RuntimeError('another copy')\n")
    monkeypatch.chdir(tmp_path)
    words = [*DIGITS, "--seeds", "0", "--jobs", "1", "--results", str(tmp_path / "out")]
    assert call(*words) == 0
    assert [s.state for s in overview(tmp_path / "out").standings] == ["done"]


@pytest.mark.parametrize("jobs", ["0", "2"])
def test_a_run_whose_time_is_over_stops_and_the_same_command_goes_on(jobs, tmp_path, capsys, monkeypatch):
    looks = itertools.count()  # the run looks at the clock after every step of its own, or twice a second
    monkeypatch.setattr(stop, "time", SimpleNamespace(monotonic=lambda: float(next(looks))))
    words = ["run", "--methods", "ce,at", "--datasets", "digitslt", "--irs", "10", "--epochs", "40", "--limit", "6",
             "--attacks", "clean", "--jobs", jobs, "--device", "cpu", "--results", tmp_path]  # fmt: skip
    assert call(*words, "--run-limit", "3s") == 124
    assert "the 3 s of --run-limit are over" in capsys.readouterr().err
    assert not [path for path in tmp_path.glob("*/cell.json") if read_cell(path.parent)["status"] == "failed"]
    monkeypatch.undo()
    assert call(*words) == 0
    assert "2 cells done, 0 failed" in capsys.readouterr().out


def test_a_limit_of_the_run_is_refused_where_others_run_it(tmp_path, capsys):
    assert call(*DIGITS, "--results", tmp_path, "--on", "slurm", "--run-limit", "8h") == 2
    assert "--run-limit ends a run of this machine" in capsys.readouterr().err


def test_only_what_failed_is_tried_again(tmp_path, capsys):
    words = [*DIGITS, "--results", tmp_path]
    assert call(*words, "--seeds", "0", "--cell-limit", "0.000001s") == 1
    capsys.readouterr()
    assert call(*words, "--seeds", "0,1", "--retry", "failed") == 0
    assert "1 cell done, 0 failed" in capsys.readouterr().out
    assert call(*words, "--seeds", "0,1", "--retry", "failed") == 0
    assert "no cell failed" in capsys.readouterr().out
    assert call(*words, "--seeds", "0,1", "--retry", "none") == 0
    assert "1 cell done, 0 failed, 1 done before" in capsys.readouterr().out


def test_parts_of_a_grid_are_disjoint_and_together_the_whole(tmp_path, capsys):
    def cells(*more):
        assert call(*DIGITS, "--seeds", "0,1,2,3,4", "--results", tmp_path / "r", "--dry-run", *more) == 0
        out = capsys.readouterr().out
        return [line.split()[2] for line in out.splitlines() if line.startswith("to do")]

    parts = [cells("--shard", f"{i}/3") for i in (1, 2, 3)]
    assert sorted(cell for part in parts for cell in part) == sorted(cells())
    assert [len(part) for part in parts] == [2, 2, 1]
    assert call(*DIGITS, "--results", tmp_path / "r", "--shard", "0/2") == 2
    assert "--shard '0/2' cannot be read" in capsys.readouterr().err
