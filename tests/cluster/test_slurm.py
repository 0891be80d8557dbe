"""A grid through sbatch on a cluster of one machine: the same bytes as here, whatever happens to its workers."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from bench.cli import main
from bench.config import Task
from bench.engine.executors import slurm as executor
from bench.engine.executors.inline import Inline
from bench.engine.grid import Axes, expand
from bench.engine.life.settings import Settings
from bench.errors import UsageError
from bench.store.folders import read_cell

#: two methods and two seeds: four cells of a few seconds
GRID = Axes(
    methods=("ce", "at"), datasets=("digitslt",), irs=("10",), seeds=(0, 1), attacks=("clean", "fgsm"), epochs=2
)
#: files whose bytes must not depend on who computed them
FILES = ("per_class.csv", "per_sample.npz")


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    """The cells of the grid."""
    return expand(GRID, None)


@pytest.fixture(scope="module")
def undisturbed(tasks, tmp_path_factory) -> Path:
    """The grid computed in this process."""
    root = tmp_path_factory.mktemp("here")
    Inline().run(tasks, Settings(results=root), lambda event: None)
    return root


def same_bytes(one: Path, other: Path, tasks: list[Task]) -> bool:
    """Whether every cell of two stores is equal byte for byte, and whole."""
    pairs = [(one / t.spec.id, other / t.spec.id) for t in tasks]
    rows = all((a / f).read_bytes() == (b / f).read_bytes() for a, b in pairs for f in FILES)
    return rows and all(read_cell(a)["weights"] == read_cell(b)["weights"] for a, b in pairs)


def strays(root: Path) -> list[str]:
    """What a run leaves that is no result."""
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if ".lease" in p.name or p.suffix == ".part")


def ends(events: list[dict]) -> dict[str, str]:
    """How each cell ended: `done`, or what else it was and why."""
    last = {e["cell"]: e for e in events if e["event"] != "progress"}
    return {cell: " ".join([e["event"], *filter(None, [e.get("message")])]) for cell, e in last.items()}


def hasten(slurm, over: threading.Event) -> None:
    """Take away the two minutes for which SLURM holds back a job that it queued again."""
    while not over.wait(1.0):
        for job in slurm.call("squeue", "-h", "-t", "PD", "-o", "%i", check=False).split():
            slurm.call("scontrol", "update", f"JobId={job}", "StartTime=now", check=False)


@pytest.mark.slurm
def test_a_cancelled_and_a_requeued_worker_change_no_byte(slurm, monkeypatch, tmp_path, tasks, undisturbed):
    monkeypatch.setenv("SLURM_CONF", slurm.env["SLURM_CONF"])
    monkeypatch.setenv("PATH", slurm.env["PATH"])
    run = executor.Slurm(2, {"cpus": "1", "memory": "900"}, jobs=1)
    events: list[dict] = []
    hurt: list[str] = []

    def on_event(event: dict) -> None:
        events.append(event)
        if event["event"] == "progress" and not hurt:  # a cell is being trained: now
            first, second = run.submitted
            slurm.call("scancel", first)
            slurm.call("scontrol", "requeue", second)
            hurt.extend((first, second))

    over = threading.Event()
    threading.Thread(target=hasten, args=(slurm, over), daemon=True).start()
    run.run(tasks, Settings(results=tmp_path), on_event)
    over.set()
    assert hurt
    assert ends(events) == {t.spec.id: "done" for t in tasks}
    assert same_bytes(tmp_path, undisturbed, tasks)
    slurm.wait("an empty queue", lambda: not slurm.call("squeue", "-h"), 30)
    assert strays(tmp_path) == []


@pytest.mark.slurm
def test_workers_that_cannot_work_are_told_apart_from_cells_that_fail(slurm, monkeypatch, tmp_path, tasks):
    monkeypatch.setenv("SLURM_CONF", slurm.env["SLURM_CONF"])
    monkeypatch.setenv("PATH", slurm.env["PATH"])
    events: list[dict] = []
    run = executor.Slurm(1, {}, ["echo this node has no python >&2", "exit 3"], jobs=1)
    run.run(tasks[:1], Settings(results=tmp_path), events.append)
    assert [e["event"] for e in events] == ["failed"]
    assert "no worker job is left" in events[0]["message"]
    assert "this node has no python" in events[0]["message"]
    assert str(tmp_path) in events[0]["message"]


@pytest.mark.slurm
def test_what_slurm_refuses_is_one_sentence_and_a_dry_run_prints_the_script(slurm, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SLURM_CONF", slurm.env["SLURM_CONF"])
    monkeypatch.setenv("PATH", slurm.env["PATH"])
    words = ["run", "--methods", "ce", "--datasets", "digitslt", "--irs", "10", "--epochs", "1", "--attacks", "clean",
             "--on", "slurm", "--slurm", "partition=nope", "--setup", "module load none"]  # fmt: skip
    for more, code in (([], 1), (["--dry-run"], 0)):
        with pytest.raises(SystemExit) as ended:
            main([*words, *more, "--results", str(tmp_path / f"r{code}")])
        assert ended.value.code == code
    said = capsys.readouterr()
    (sentence,) = [line for line in said.err.splitlines() if line.startswith("bench:")]
    assert "Invalid partition name" in sentence
    assert "mend --slurm" in sentence
    assert "Traceback" not in said.err
    assert "#SBATCH --partition=nope" in said.out
    assert "\nmodule load none\n" in said.out
    assert not (tmp_path / "r0").exists()


@pytest.mark.slurm
def test_detached_workers_are_left_to_themselves(slurm, monkeypatch, tmp_path, tasks, undisturbed):
    monkeypatch.setenv("SLURM_CONF", slurm.env["SLURM_CONF"])
    monkeypatch.setenv("PATH", slurm.env["PATH"])
    run = executor.Slurm(1, {}, jobs=1, detach=True)
    began = time.monotonic()
    run.run(tasks[:1], Settings(results=tmp_path), lambda event: None)
    assert time.monotonic() - began < 20
    slurm.wait("an empty queue", lambda: not executor.in_queue(run.submitted), 90)
    assert same_bytes(tmp_path, undisturbed, tasks[:1])


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), ("1:30:00", 90), ("0:30:20", 31), ("2-00:00:00", 2880), ("1-12", 2160), ("5:30", 5)],
)
def test_time_limits_are_read_as_sbatch_reads_them(text, minutes):
    assert executor.minutes(text) == minutes


@pytest.mark.parametrize("options", [{"time": "10"}, {"time": "soon"}, {"cpus": "none"}, {"parallel": "0"}])
def test_options_that_cannot_work_are_refused_before_anything_is_submitted(options):
    with pytest.raises(UsageError, match="--slurm"):
        executor.parameters(options)


def test_options_reach_sbatch_by_its_own_names():
    given = {"partition": "gpu", "gpus": "2", "time": "4:00:00", "cpus": "8", "memory": "32GB", "mail-user": "a@b"}
    assert executor.parameters(given) == {
        "timeout_min": 240,
        "slurm_array_parallelism": 256,
        "slurm_partition": "gpu",
        "slurm_gpus_per_node": 2,
        "slurm_cpus_per_task": 8,
        "slurm_mem": "32GB",
        "slurm_additional_parameters": {"mail_user": "a@b"},
    }
