"""A cell's life: done once, resumed where it stopped, failed with a reason; the same bytes whatever came between."""

import dataclasses
import hashlib
import json
import os

import numpy as np
import pandas as pd
import pytest
import torch

from bench.engine import cell as cell_module
from bench.engine import train as train_module
from bench.engine.cell import run_cell
from bench.engine.executors import local as local_module
from bench.engine.executors.inline import Inline
from bench.engine.executors.local import Local
from bench.engine.grid import Axes, expand
from bench.engine.life import trained
from bench.engine.life.settings import Settings
from bench.engine.plan import missing, plan
from bench.engine.step import takes_one
from bench.errors import HeldError, StoreError
from bench.judge.metrics import summarise
from bench.store import query
from bench.store.folders import CellFolder, read_cell
from bench.store.results import Results
from bench.store.state import look

AXES = Axes(methods=("at-bsl",), datasets=("digitslt",), irs=("10",), epochs=3, limit=12, attacks=("clean", "fgsm"))


def tasks(**changes):
    return expand(dataclasses.replace(AXES, **changes))


def run(task, root, **settings):
    events = []
    run_cell(task, Settings(results=root, **settings), events.append)
    return events


def digest(root, task, name="per_class.csv"):
    return hashlib.sha256((root / task.spec.id / name).read_bytes()).hexdigest()


def weights(root, task):
    return torch.load(root / task.spec.id / "checkpoint.pt", weights_only=True)["network"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    task = tasks()[0]
    assert run(task, root)[-1]["event"] == "done"
    return root, task


def test_rows_hold_the_counts_of_the_law_and_of_the_bits(finished):
    root, task = finished
    rows, cell = Results(root).rows, read_cell(root / task.spec.id)
    bits = query.samples(root / task.spec.id)
    for (split, attack), own in rows.groupby(["test_split", "attack"]):
        assert own["n"].tolist() == cell["data"]["test_counts"][split]
        assert own["train_count"].tolist() == cell["data"]["train_counts"]
        if attack != "worst":
            labels, correct = bits[f"{split}/label"], bits[f"{split}/{attack}"]
            assert own["correct"].tolist() == [int(correct[labels == c].sum()) for c in range(10)]
    assert set(rows["attack"]) == {"clean", "fgsm", "worst"}
    assert rows["reduced"].unique().tolist() == ["epochs=3 of 100, limit=12"]


def test_metrics_are_what_their_names_say_on_the_stored_counts(finished):
    rows = Results(finished[0]).rows
    for line in summarise(rows).itertuples():
        own = rows[(rows.attack == line.attack) & (rows.test_split == line.test_split)]
        assert line.balanced == pytest.approx((own.correct / own.n).mean())
        assert line.standard == pytest.approx(own.correct.sum() / own.n.sum())


def test_a_balanced_test_split_gives_equal_balanced_and_standard(tmp_path):
    task = tasks(test_splits=("balanced",))[0]
    run(task, tmp_path)
    lines = summarise(Results(tmp_path).rows)
    assert set(lines.test_split) == {"balanced"}
    np.testing.assert_allclose(lines.balanced, lines.standard, rtol=1e-12)


def test_a_finished_cell_is_not_touched_again(finished):
    root, task = finished
    before = {p.name: p.stat().st_mtime_ns for p in (root / task.spec.id).iterdir() if p.is_file()}
    assert plan([task], root) == []
    run(task, root)
    after = {p.name: p.stat().st_mtime_ns for p in (root / task.spec.id).iterdir() if p.is_file()}
    assert after == before


def test_an_attack_added_later_does_not_train_again(finished, tmp_path, monkeypatch):
    root, task = finished
    more = tasks(attacks=("clean", "fgsm", "cw-linf"))[0]
    assert missing(more, look(root / task.spec.id)) == ["long-tailed/cw-linf"]
    monkeypatch.setattr(trained, "train", lambda *a, **k: pytest.fail("trained again"))
    assert run(more, root)[-1]["event"] == "done"
    assert "cw-linf" in set(Results(root).rows["attack"])


class Stop(BaseException):
    """Stands for a kill: nothing catches it."""


def test_killed_training_goes_on_from_its_checkpoint_with_the_same_bytes(finished, tmp_path, monkeypatch):
    _, task = finished
    epochs = []
    real = train_module._epoch

    def dying(spec, epoch, *rest):
        if epoch == 2 and 2 not in epochs:
            epochs.append(epoch)
            raise Stop
        epochs.append(epoch)
        return real(spec, epoch, *rest)

    monkeypatch.setattr(train_module, "_epoch", dying)
    with pytest.raises(Stop):
        run(task, tmp_path, checkpoint_seconds=0.0)
    assert read_cell(tmp_path / task.spec.id)["status"] == "running"
    assert run(task, tmp_path)[-1]["event"] == "done"
    assert epochs == [0, 1, 2, 2]
    monkeypatch.undo()
    fresh = tmp_path / "fresh"
    run(task, fresh)
    assert digest(tmp_path, task) == digest(fresh, task)
    old, new = weights(fresh, task), weights(tmp_path, task)
    assert all(torch.equal(old[k], new[k]) for k in old)


def test_an_evaluation_killed_between_attacks_keeps_the_finished_one(tmp_path, monkeypatch):
    task = tasks()[0]
    real = cell_module.CellRun._store

    def dying(self, data, split, label, result):
        if label == "fgsm":
            raise Stop
        return real(self, data, split, label, result)

    monkeypatch.setattr(cell_module.CellRun, "_store", dying)
    with pytest.raises(Stop):
        run(task, tmp_path)
    assert set(Results(tmp_path).rows["attack"]) == {"clean"}
    monkeypatch.undo()
    assert missing(task, look(tmp_path / task.spec.id)) == ["long-tailed/fgsm"]
    run(task, tmp_path)
    run(task, tmp_path / "fresh")
    assert digest(tmp_path, task) == digest(tmp_path / "fresh", task)


def test_a_loss_that_is_not_finite_fails_the_cell_and_keeps_where(tmp_path):
    bad, good = tasks(methods=("at-bsl[lr=1e30]", "ce"))
    events = []
    Inline().run([bad, good], Settings(results=tmp_path), events.append)
    assert [e["event"] for e in events if e["event"] in ("done", "failed")] == ["failed", "done"]
    cell = read_cell(tmp_path / bad.spec.id)
    assert cell["status"] == "failed"
    assert cell["failure"]["stage"] == "train"
    for word in ("at-bsl", "epoch", "step", "last good loss"):
        assert word in cell["failure"]["message"]
    assert bad.spec.id not in set(Results(tmp_path).rows["cell"])


def test_a_cell_is_never_continued_on_other_images(finished, tmp_path):
    root, task = finished
    folder = CellFolder(root, task.spec.id)
    cell = folder.read()
    more = tasks(attacks=("clean", "fgsm", "lsa"))[0]
    folder.write(cell | {"data": cell["data"] | {"data_hash": "0" * 16}})
    try:
        assert "the data changed" in run(more, root)[-1]["message"]
    finally:
        folder.write(cell)


def test_two_processes_never_work_in_one_folder(finished):
    root, task = finished
    more = tasks(attacks=("mim",))[0]
    with CellFolder(root, task.spec.id).locked():
        event = run(more, root)[-1]
    assert event["event"] == "elsewhere"
    assert f"process {os.getpid()} on " in event["message"]
    assert read_cell(root / task.spec.id)["status"] == "done"


def test_a_failure_is_stored_before_anybody_else_can_work_in_the_folder(tmp_path, monkeypatch):
    task, real = tasks(methods=("at-bsl[lr=1e30]",))[0], cell_module.mark_failed

    def marked(root, failed, *reason):
        with pytest.raises(HeldError), CellFolder(root, failed.spec.id).locked():
            pass
        real(root, failed, *reason)

    monkeypatch.setattr(cell_module, "mark_failed", marked)
    assert run(task, tmp_path)[-1]["stage"] == "train"


def test_a_failure_that_cannot_be_stored_is_told_with_both_reasons(tmp_path, monkeypatch):
    def full(*_):
        raise StoreError("cannot write cell.json: no space left on device.")

    monkeypatch.setattr(cell_module, "mark_failed", full)
    event = run(tasks(methods=("at-bsl[lr=1e30]",))[0], tmp_path)[-1]
    assert event["event"] == "failed"
    for words in ("last good loss", "no space left"):
        assert words in event["message"]


def test_jobs_and_order_do_not_change_a_byte(tmp_path):
    both = tasks(methods=("ce", "at"))
    done = []
    Local(2).run(both, Settings(results=tmp_path / "two"), lambda e: done.append(e) if e["event"] == "done" else None)
    Inline().run(both[::-1], Settings(results=tmp_path / "one"), lambda e: None)
    assert len(done) == 2
    for task in both:
        assert digest(tmp_path / "two", task) == digest(tmp_path / "one", task)


def test_a_process_that_dies_fails_its_cell_and_the_grid_goes_on(tmp_path, monkeypatch):
    first, second = tasks(methods=("ce", "at"))
    executor, events = Local(1), []
    real = local_module._Worker._send

    def kill_first(self, line):
        real(self, line)
        if first.spec.digest in json.dumps(json.loads(line)) or '"method":"ce"' in line:
            self.process.kill()

    monkeypatch.setattr(local_module._Worker, "_send", kill_first)
    executor.run([first, second], Settings(results=tmp_path), events.append)
    ends = {e["cell"]: e for e in events if e["event"] in ("done", "failed")}
    assert ends[first.spec.id]["event"] == "failed"
    assert "killed by SIGKILL" in ends[first.spec.id]["message"]
    assert ends[second.spec.id]["event"] == "done"
    assert read_cell(tmp_path / first.spec.id)["failure"]["stage"] == "process"


def test_curves_are_recorded_and_can_be_drawn_later_without_touching_the_cell(finished):
    root, task = finished
    tracked = tasks(track=("clean",), attacks=("clean",))[0]
    assert tracked.spec.id == task.spec.id
    before = digest(root, task), digest(root, task, "checkpoint.pt")
    assert run(tracked, root)[-1]["event"] == "done"
    curves = query.curves(root / task.spec.id)
    assert [f"clean:{c}" in curves for c in range(10)] == [True] * 10
    final = Results(root).rows
    final = final[(final.attack == "clean") & (final.test_split == "long-tailed")]
    assert [int(curves[f"clean:{c}"].iloc[-1]) for c in range(10)] == final.correct.tolist()
    assert (digest(root, task), digest(root, task, "checkpoint.pt")) == before


def test_features_are_stored_on_request(finished):
    root, _ = finished
    task = tasks(features=True, attacks=("clean",))[0]
    run(task, root)
    with np.load(root / task.spec.id / "features.npz") as stored:
        assert stored["features"].shape[0] == stored["logits"].shape[0] == len(stored["label"])
        labels = query.samples(root / task.spec.id)["long-tailed/label"]
        correct = query.samples(root / task.spec.id)["long-tailed/clean"].astype(bool)
        assert ((stored["logits"].argmax(1) == labels) == correct).all()


def test_shared_first_epochs_give_the_same_bytes_as_none(tmp_path):
    one, other = tasks(methods=("taet", "taet[beta=0.05]"))
    run(one, tmp_path / "shared")
    assert list((tmp_path / "shared" / "prefixes").glob("*.pt"))
    run(other, tmp_path / "shared")
    run(other, tmp_path / "alone")
    assert digest(tmp_path / "shared", other) == digest(tmp_path / "alone", other)
    shared, alone = weights(tmp_path / "shared", other), weights(tmp_path / "alone", other)
    assert all(torch.equal(shared[k], alone[k]) for k in alone)


def test_a_store_of_a_newer_schema_is_refused(tmp_path):
    task = tasks()[0]
    folder = CellFolder(tmp_path, task.spec.id)
    folder.write({"schema": 99, "status": "done"})
    with pytest.raises(StoreError, match="schema 99"):
        plan([task], tmp_path)
    with pytest.raises(StoreError, match="upgrade"):
        Results(tmp_path)


def test_a_damaged_cell_is_named_set_aside_and_done_again(tmp_path):
    task = tasks(attacks=("clean",))[0]
    folder = tmp_path / task.spec.id
    folder.mkdir()
    (folder / "cell.json").write_text("{ not json")
    assert "cannot be read" in Results(tmp_path).problems[0]
    assert [work.task for work in plan([task], tmp_path)] == [task]
    assert run(task, tmp_path)[-1]["event"] == "done"
    assert (folder / "cell.json.damaged").read_text() == "{ not json"
    assert isinstance(Results(tmp_path).rows, pd.DataFrame)


def test_a_damaged_checkpoint_is_set_aside_and_training_begins_again(tmp_path):
    task = tasks(attacks=("clean",))[0]
    folder = tmp_path / task.spec.id
    folder.mkdir()
    (folder / "checkpoint.pt").write_bytes(b"half a file")
    assert run(task, tmp_path)[-1]["event"] == "done"
    assert (folder / "checkpoint.pt.damaged").exists()
    assert json.loads((folder / "cell.json").read_text())["status"] == "done"


class Pixel(torch.nn.Module):
    """A network whose batch norm sees one value an image."""

    def __init__(self, size: int = 1) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(size), torch.nn.BatchNorm2d(1), torch.nn.Flatten())

    def forward(self, x):
        return self.net(x)


def test_whether_a_network_takes_one_image_is_asked_without_a_trace():
    image = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    for size, takes in ((1, False), (2, True)):
        network = Pixel(size)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        assert takes_one(network, image) is takes
        assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_last_batch_of_one_image_is_left_out_where_batch_norm_cannot_take_it(tmp_path):
    """resnet18 ends in maps of one pixel on images of 8 x 8; 33 images come in batches of 16, 16 and 1."""
    changes = {"methods": ("ce[batch_size=16]",), "limit": 9, "epochs": 1, "attacks": ("clean",)}
    (task,) = tasks(models=("resnet18",), **changes)
    events = []
    run_cell(task, Settings(results=tmp_path), events.append)
    assert events[-1]["event"] == "done", events[-1]
    count = sum(read_cell(tmp_path / task.spec.id)["data"]["train_counts"])
    assert count % 16 == 1
    assert list(query.curves(tmp_path / task.spec.id)["images"]) == [count - 1]
    (alone,) = tasks(models=("resnet18",), **{**changes, "methods": ("ce[batch_size=1]",)})
    run_cell(alone, Settings(results=tmp_path), events.append)
    assert events[-1]["stage"] == "train"
    assert "cannot be trained on batches of one image" in events[-1]["message"]
