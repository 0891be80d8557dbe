"""`bench run --sink`: what tracking programs are told, and that nothing of a cell depends on it."""

from __future__ import annotations

import importlib.util
import json
import struct
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.api import Sink
from bench.cli import main
from bench.cli.options.sinks import Sinks
from bench.config import Request, Task
from bench.engine.executors import failed
from bench.engine.grid import Axes, expand
from bench.registry import registry

GRID = ["--methods", "at", "--datasets", "digitslt", "--irs", "10", "--attacks", "clean,fgsm", "--epochs", "3",
        "--limit", "20", "--device", "cpu"]  # fmt: skip
#: what differs between two runs of one cell
WHEN = ["seconds", "peak_memory_mib"]


class Diary(Sink):
    """Remembers every call."""

    name = "diary"
    argument_name = "WORD"
    calls: list[tuple[Any, ...]] = []

    def start(self, cell, settings):
        self.calls.append((self.target, "start", cell, dict(settings)))

    def row(self, cell, epoch, values):
        self.calls.append((self.target, "row", cell, epoch, dict(values)))

    def scores(self, cell, values):
        self.calls.append((self.target, "scores", cell, dict(values)))

    def end(self, cell, how):
        self.calls.append((self.target, "end", cell, how))

    def close(self):
        self.calls.append((self.target, "close"))


class Broken(Diary):
    """Fails at the second epoch; cannot be opened at `nowhere`."""

    name = "broken"

    def __init__(self, target):
        super().__init__(target)
        if target == "nowhere":
            raise OSError("no such server")

    def row(self, cell, epoch, values):
        super().row(cell, epoch, values)
        if epoch == 1:
            raise ConnectionError("the server went away")


@pytest.fixture(autouse=True)
def sinks():
    Diary.calls.clear()
    for cls in (Diary, Broken):
        registry("sinks").add(cls.name, cls)
    yield
    for cls in (Diary, Broken):
        registry("sinks").discard(cls.name)


def run(results: Path, *words: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["run", *GRID, "--results", str(results), *words])
    return int(caught.value.code or 0)


def kept(results: Path) -> dict[str, Any]:
    """Everything of a store's cells that does not say when or how fast: bytes of rows and bits, curves, facts."""
    found: dict[str, Any] = {}
    for folder in sorted(results.glob("*-*")):
        for name in ("per_class.csv", "per_sample.npz"):
            found[f"{folder.name}/{name}"] = (folder / name).read_bytes()
        found[f"{folder.name}/curves"] = pd.read_csv(folder / "epochs.csv").drop(columns=WHEN).to_csv()
        cell = json.loads((folder / "cell.json").read_text())
        found[folder.name] = {name: cell[name] for name in ("spec", "weights", "flags", "data", "inputs")}
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What two cells keep where nobody listens."""
    results = tmp_path_factory.mktemp("plain")
    assert run(results, "--seeds", "0,1", "--jobs", "0", "--quiet") == 0
    return kept(results)


@pytest.mark.parametrize("jobs", ["0", "2"])
def test_a_sink_is_told_everything_in_order_and_no_byte_depends_on_it(plain, tmp_path, jobs):
    assert run(tmp_path / "told", "--seeds", "0,1", "--jobs", jobs, "--sink", "diary:a", "--sink", "diary:b") == 0
    assert plain == kept(tmp_path / "told")
    cells = [folder.name for folder in (tmp_path / "told").glob("at-*")]
    assert len(cells) == 2
    for target in "ab":
        for cell in cells:
            mine = [call[1:] for call in Diary.calls if call[0] == target and call[2:3] == (cell,)]
            assert [call[0] for call in mine] == ["start", "row", "row", "row", "scores", "end"]
            assert mine[0][2]["method"] == "at"
            assert mine[0][2]["recipe.epochs"] == 3
            curve = pd.read_csv(tmp_path / "told" / cell / "epochs.csv")
            assert [call[3]["loss"] for call in mine[1:4]] == pytest.approx(list(curve["loss"]))
            rows = pd.read_csv(tmp_path / "told" / cell / "per_class.csv")
            clean = rows[rows["attack"] == "clean"]
            balanced = 100 * (clean["correct"] / clean["n"]).mean()
            assert mine[4][2]["long-tailed/clean/balanced"] == pytest.approx(balanced)
            assert mine[5][2] == "done"
        assert [call[1] for call in Diary.calls if call[0] == target][-1] == "close"


def test_a_tuning_tells_of_each_trial(tmp_path, capsys):
    small = ["--dataset", "digitslt", "--epochs", "2", "--limit", "30", "--validation", "0.3", "--objective", "clean"]
    with pytest.raises(SystemExit) as ended:
        main(["tune", "at", "--over", "lr", *small, "--trials", "2", "--results", str(tmp_path), "--sink", "diary:t"])
    assert not ended.value.code
    assert "sink" not in capsys.readouterr().err
    by_cell: dict[str, list[Any]] = {}
    for call in Diary.calls[:-1]:
        by_cell.setdefault(call[2], []).append(call[1:])
    assert [[call[0] for call in calls] for calls in by_cell.values()] == 2 * [["start", "row", "row", "scores", "end"]]
    rates = [calls[0][2]["recipe.lr"] for calls in by_cell.values()]
    assert rates[0] != rates[1]
    for cell, calls in by_cell.items():
        curve = pd.read_csv(tmp_path / cell / "epochs.csv")
        assert [call[3]["validation"] for call in calls[1:3]] == pytest.approx(list(curve["validation"]))
        assert calls[3][2] == {}, "no test image was attacked"
    assert Diary.calls[-1] == ("t", "close")


def test_a_failing_sink_costs_one_warning_and_no_cell(tmp_path, capsys):
    assert run(tmp_path, "--jobs", "0", "--sink", "broken:x", "--sink", "diary:b") == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "broken:x" in line]
    assert warnings == [
        "--sink broken:x failed and is told nothing more (ConnectionError: the server went away); the "
        "cells are not affected."
    ]
    assert ("b", "close") in Diary.calls
    assert ("x", "close") not in Diary.calls


def test_a_cell_that_went_on_is_told_from_its_first_epoch(tmp_path):
    """Events of epochs that came before are in epochs.csv at the end, as are those of a cluster's workers."""
    assert run(tmp_path, "--jobs", "0") == 0
    (task,) = expand(Axes(("at",), ("digitslt",), (10.0,), (), (0,), ("clean",), ("paper",), epochs=3, limit=20), None)
    cell = task.spec.id
    sinks = Sinks(["diary:a"], [task], tmp_path)
    listen = sinks.beside(lambda event: None)
    listen({"cell": cell, "event": "progress", "stage": "train", "at": 3, "of": 3, "row": {"epoch": 2, "loss": 9.0}})
    listen({"cell": cell, "event": "done"})
    sinks.close()
    assert [call[3] for call in Diary.calls if call[1] == "row"] == [0, 1, 2]
    assert 9.0 not in [call[4]["loss"] for call in Diary.calls if call[1] == "row"]


def test_cells_that_fail_or_are_left_have_an_end(tmp_path):
    tasks = [Task(task.spec, Request()) for task in expand(Axes(("at", "trades"), ("digitslt",), (10.0,)), None)]
    sinks = Sinks(["diary:a"], tasks, tmp_path)
    listen = sinks.beside(lambda event: None)
    for task in tasks:
        listen({"cell": task.spec.id, "event": "progress", "stage": "train", "at": 1, "of": 9})
    listen(failed(tasks[0], "train", "NaN"))
    sinks.close()
    assert [call[2:] for call in Diary.calls if call[1] == "end"] == [
        (tasks[0].spec.id, "failed"),
        (tasks[1].spec.id, "stopped"),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sink", "tensorbord:x"], "unknown sink 'tensorbord'. Did you mean 'tensorboard'?"),
        (["--sink", "diary"], "--sink 'diary' says not where; write diary:WORD."),
        (["--sink", "diary:x", "--sink", "diary:x"], "--sink 'diary:x' stands twice; give it once."),
        (["--sink", "broken:nowhere"], "--sink broken:nowhere cannot be opened (OSError: no such server)"),
        (["--sink", "diary:x", "--on", "slurm", "--detach"], "--detach leaves it; leave one of them out."),
    ],
)
def test_a_sink_that_cannot_be_is_one_sentence_before_anything_runs(tmp_path, capsys, words, said):
    assert run(tmp_path / "runs", *words) == 2
    assert said in capsys.readouterr().err
    assert not list((tmp_path / "runs").glob("at-*"))


def test_tensorboard_holds_what_was_told(tmp_path):
    if not importlib.util.find_spec("tensorboard"):
        pytest.skip("tensorboard is not installed; the extra `test` brings it")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert run(tmp_path / "runs", "--jobs", "0", "--sink", f"tensorboard:{tmp_path / 'tb'}") == 0
    (cell,) = [folder.name for folder in (tmp_path / "runs").glob("at-*")]
    events = EventAccumulator(str(tmp_path / "tb" / cell)).Reload()
    curve = pd.read_csv(tmp_path / "runs" / cell / "epochs.csv")
    loss = events.Scalars("epoch/loss")
    assert [point.step for point in loss] == [0, 1, 2]
    assert [point.value for point in loss] == pytest.approx(list(curve["loss"]), rel=1e-6)
    assert "long-tailed/fgsm/balanced" in events.Tags()["scalars"]
    text = events.Tensors("specification/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "method = at" in text


def logged(content):
    """The records of a .wandb file: LevelDB's log, in blocks of 32 KiB, each part with checksum, length and kind."""
    at, whole = 7, b""
    while at + 7 <= len(content):
        if 2**15 - at % 2**15 < 7:
            at += 2**15 - at % 2**15
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""


@pytest.mark.wandb
@pytest.mark.filterwarnings("ignore")
def test_weights_and_biases_hold_what_was_told(tmp_path, monkeypatch):
    if not importlib.util.find_spec("wandb"):
        pytest.skip("wandb is not installed, its package brings a program of its own: tox -e trackers")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert run(tmp_path / "runs", "--jobs", "0", "--sink", f"wandb:{tmp_path / 'wb'}") == 0
    (cell,) = [folder.name for folder in (tmp_path / "runs").glob("at-*")]
    (file,) = (tmp_path / "wb").rglob("*.wandb")
    told, history, summary = {}, [], {}
    for data in logged(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.run.display_name:
            told |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            assert record.run.display_name == cell
        if record.history.item:
            history.append({"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item})
        summary |= {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.summary.update}
    curve = pd.read_csv(tmp_path / "runs" / cell / "epochs.csv")
    assert [one["epoch/loss"] for one in history] == pytest.approx(list(curve["loss"]))
    assert told["recipe.epochs"] == 3
    assert summary["ended"] == "done"
    assert "long-tailed/clean/tail" in summary


@pytest.mark.mlflow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_holds_what_was_told(tmp_path):
    if not importlib.util.find_spec("mlflow"):
        pytest.skip("mlflow is not installed, its package brings some forty others: tox -e trackers")
    assert run(tmp_path / "runs", "--jobs", "0", "--sink", f"mlflow:{tmp_path / 'ml'}") == 0
    from mlflow.tracking import MlflowClient

    (cell,) = [folder.name for folder in (tmp_path / "runs").glob("at-*")]
    client = MlflowClient(f"sqlite:///{tmp_path / 'ml' / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("bench").experiment_id])
    curve = pd.read_csv(tmp_path / "runs" / cell / "epochs.csv")
    history = client.get_metric_history(found.info.run_id, "epoch/loss")
    assert [point.step for point in history] == [0, 1, 2]
    assert [point.value for point in history] == pytest.approx(list(curve["loss"]))
    assert (found.data.tags["cell"], found.info.status) == (cell, "FINISHED")
    assert found.data.params["recipe.epochs"] == "3"
    assert "long-tailed/clean/tail" in found.data.metrics
