"""Whatever was lost or damaged in a cell's folder: named, set aside, done again, and never mixed with other numbers."""

import dataclasses
import hashlib
import io
import json
import os
import time

import numpy as np
import pandas as pd
import pytest
import torch

from bench import config
from bench.engine import cell as cell_module
from bench.engine import plan as plan_module
from bench.engine import train as train_module
from bench.engine.cell import run_cell
from bench.engine.grid import Axes, expand
from bench.engine.life import trained
from bench.engine.life.failure import mark_failed
from bench.engine.life.settings import Settings
from bench.engine.plan import missing, plan
from bench.engine.price.cost import estimate
from bench.engine.resume import prefix as prefix_module
from bench.engine.resume.checkpoint import load_checkpoint
from bench.engine.resume.prefix import make_prefix
from bench.engine.verdicts.chunks import Partial
from bench.errors import NewerSchemaError, StoreError, UnreadableError
from bench.plugins import make_method
from bench.store import lease, query
from bench.store.folders import CellFolder, moved, read_cell
from bench.store.results import Results
from bench.store.state import look
from bench.store.status import overview

AXES = Axes(methods=("ce",), datasets=("digitslt",), irs=("10",), epochs=2, limit=8, attacks=("clean", "fgsm"))


def task(**changes):
    return expand(dataclasses.replace(AXES, **changes))[0]


def run(cell, root, **settings):
    events = []
    run_cell(cell, Settings(results=root, **settings), events.append)
    return events


def done(cell, root):
    events = run(cell, root)
    assert events[-1]["event"] == "done", events[-1]
    return events


@pytest.fixture
def finished(tmp_path):
    cell = task()
    done(cell, tmp_path)
    return tmp_path / cell.spec.id, cell


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Stop(BaseException):
    """Stands for a kill: nothing catches it."""


def stop_at(epoch, monkeypatch):
    real = train_module._epoch

    def dying(spec, at, *rest):
        if at == epoch:
            raise Stop
        return real(spec, at, *rest)

    monkeypatch.setattr(train_module, "_epoch", dying)


# ------------------------------------------------------------------------------------------------------------ files


def cut_lines(path):
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:8]))


def cut_middle(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def blank_counts(path):
    lines = path.read_text().splitlines()
    lines[3] = lines[3].rpartition(",")[0] + ","
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("harm", [cut_lines, cut_middle, blank_counts, lambda path: path.unlink()])
def test_a_table_that_lacks_rows_is_named_never_reported_and_derived_again(finished, harm):
    folder, cell = finished
    table = folder / "per_class.csv"
    before = digest(table)
    harm(table)
    assert Results(folder.parent).rows.empty
    assert str(table) in Results(folder.parent).problems[0]
    assert missing(cell, look(folder)) == ["rows"]
    done(cell, folder.parent)
    assert digest(table) == before
    assert plan([cell], folder.parent) == []
    assert Results(folder.parent).problems == []


@pytest.mark.parametrize("harm", [cut_middle, lambda path: path.write_bytes(b"no archive")])
def test_damaged_bits_are_set_aside_with_their_table_and_attacked_again(finished, harm):
    folder, cell = finished
    before = digest(folder / "per_class.csv")
    harm(folder / "per_sample.npz")
    assert missing(cell, look(folder)) == ["long-tailed/clean", "long-tailed/fgsm"]
    events = done(cell, folder.parent)
    assert "per_sample.npz is damaged" in next(e["message"] for e in events if e["event"] == "aside")
    assert digest(folder / "per_class.csv") == before
    assert (folder / "per_sample.npz.damaged").exists()
    assert digest(folder / "per_class.csv.damaged") == before


@pytest.mark.parametrize("text", ["{}", "{", "[]", '{"schema": "x"}'])
def test_a_cell_file_without_a_schema_is_damaged_not_newer(finished, text):
    folder, cell = finished
    (folder / "cell.json").write_text(text)
    assert Results(folder.parent).rows.empty
    assert "cell.json cannot be read" in Results(folder.parent).problems[0]
    assert [work.task for work in plan([cell], folder.parent)] == [cell]
    done(cell, folder.parent)
    assert (folder / "cell.json.damaged").read_text() == text


def test_a_newer_schema_is_never_touched(finished):
    folder, cell = finished
    (folder / "cell.json").write_text('{"schema": 99}')
    with pytest.raises(NewerSchemaError):
        mark_failed(folder.parent, cell, "train", "no")
    with pytest.raises(NewerSchemaError):
        look(folder)
    assert (folder / "cell.json").read_text() == '{"schema": 99}'


def test_damaged_curves_are_set_aside(finished):
    folder, _ = finished
    (folder / "curves.pt").write_bytes(b"half")
    done(task(track=("clean",)), folder.parent)
    assert (folder / "curves.pt.damaged").exists()


def test_a_cell_whose_process_died_before_it_began_can_be_run(tmp_path):
    cell = task()
    mark_failed(tmp_path, cell, "process", "killed by SIGKILL")
    assert read_cell(tmp_path / cell.spec.id)["status"] == "failed"
    done(cell, tmp_path)
    assert [entry["status"] for entry in read_cell(tmp_path / cell.spec.id)["history"]][:2] == ["planned", "failed"]


def test_a_file_that_may_not_be_read_is_named_and_left_alone(finished, monkeypatch):
    """It is neither damaged nor lost: nothing is computed in its place."""
    folder, cell = finished
    more = task(attacks=("clean", "fgsm", "lsa"), track=("clean",))
    before = {path.name: digest(path) for path in folder.iterdir() if path.name not in (".lock", "cell.json")}
    real = io.open

    for name in ("per_sample.npz", "per_class.csv", "checkpoint.pt"):

        def refusing(file, *rest, hidden=name, **more):
            if file == folder / hidden:
                raise PermissionError(13, "Permission denied", str(file))
            return real(file, *rest, **more)

        with monkeypatch.context() as patch:
            patch.setattr(io, "open", refusing)
            if name != "checkpoint.pt":
                with pytest.raises(UnreadableError, match=f"{name} may not be read"):
                    plan([cell], folder.parent)
            event = run(more, folder.parent)[-1]
        assert event["event"] == "failed"
        assert f"{folder / name} may not be read" in event["message"]
        assert {p.name: digest(p) for p in folder.iterdir() if p.name not in (".lock", "cell.json")} == before


def turned(path, pick):
    """One bit of a file turned over: of the byte at `pick` of its length."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * pick)] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("pick", [0.2, 0.5, 0.8])
def test_a_bit_that_turned_in_a_checkpoint_is_noticed_and_never_trained_from(tmp_path, monkeypatch, pick):
    cell = task(methods=("at[steps=1]",))
    with monkeypatch.context() as patch:
        stop_at(1, patch)
        with pytest.raises(Stop):
            run(cell, tmp_path, checkpoint_seconds=0.0)
    checkpoint = tmp_path / cell.spec.id / "checkpoint.pt"
    turned(checkpoint, pick)
    with pytest.raises(StoreError, match=r"checkpoint\.pt cannot be read"):
        load_checkpoint(checkpoint)
    events = done(cell, tmp_path)
    assert "checkpoint.pt is damaged" in next(e["message"] for e in events if e["event"] == "aside")
    assert [e["at"] for e in events if e.get("stage") == "train"] == [0, 1, 2]


def test_a_bit_that_turned_in_a_shared_prefix_is_noticed(tmp_path):
    first, second = (task(methods=(f"taet[beta={beta}]",), epochs=5) for beta in (0.1, 0.2))
    done(first, tmp_path)
    (prefix,) = (tmp_path / "prefixes").glob("*.pt")
    sound = prefix.read_bytes()
    turned(prefix, 0.5)
    events = done(second, tmp_path)
    assert [e["at"] for e in events if e.get("stage") == "train"] == [0, 1, 2, 3, 4, 5]
    assert torch.equal(
        *(
            load(data)["network"]["head.weight"]
            for load, data in ((load_checkpoint, prefix), (lambda b: torch.load(io.BytesIO(b)), sound))
        )
    )


def test_a_folder_is_looked_at_once_by_whoever_plans_and_its_weights_are_loaded_once(finished, monkeypatch):
    folder, _ = finished
    more = task(attacks=("clean", "fgsm", "lsa"))
    looks, loads, real_look, real_load = [], [], look, torch.load
    for module in (cell_module, plan_module):
        monkeypatch.setattr(module, "look", lambda path: looks.append(path) or real_look(path))
    monkeypatch.setattr(torch, "load", lambda *a, **k: loads.append(a) or real_load(*a, **k))
    todo = plan([more], folder.parent)
    estimate(todo, folder.parent, None, "cpu")
    assert len(looks) == 1
    done(todo[0].task, folder.parent)
    assert len(looks) == 2  # once more under the lock, where nobody can change it
    assert len(loads) == 1


# ---------------------------------------------------------------------------------------------------- lost weights


def test_lost_weights_are_trained_again_when_they_are_needed_and_only_then(finished):
    folder, cell = finished
    (folder / "checkpoint.pt").unlink()
    assert plan([cell], folder.parent) == []
    more = task(attacks=("clean", "fgsm", "lsa"))
    assert missing(more, look(folder)) == ["train", "long-tailed/lsa"]
    before = query.samples(folder)
    done(more, folder.parent)
    assert all((query.samples(folder)[key] == before[key]).all() for key in before)


def test_numbers_of_other_weights_never_join_a_cell(finished):
    folder, _ = finished
    (folder / "checkpoint.pt").unlink()
    store = CellFolder(folder.parent, folder.name)
    store.write(store.read() | {"weights": "0" * 16})  # as if they had been trained elsewhere
    before, drawn = digest(folder / "per_class.csv"), digest(folder / "epochs.csv")
    for _ in range(2):  # also with the checkpoint that the first attempt leaves
        event = run(task(attacks=("clean", "fgsm", "lsa")), folder.parent)[-1]
        assert event["event"] == "failed"
        assert "the weights of this cell are not those" in event["message"]
        assert digest(folder / "per_class.csv") == before
        assert digest(folder / "epochs.csv") == drawn


def test_a_training_stopped_while_it_replaces_lost_weights_is_not_taken_for_a_finished_one(tmp_path, monkeypatch):
    at = ("at[steps=1]",)  # plain training would go on from its stored prefix
    done(task(methods=at), tmp_path)
    more = task(methods=at, attacks=("clean", "fgsm", "lsa"))
    folder = tmp_path / more.spec.id
    (folder / "checkpoint.pt").unlink()
    with monkeypatch.context() as patch:
        stop_at(1, patch)
        with pytest.raises(Stop):
            run(more, folder.parent, checkpoint_seconds=0.0)
    assert (folder / "checkpoint.pt").exists()
    assert missing(more, look(folder)) == ["train", "long-tailed/lsa"]
    done(more, folder.parent)
    assert read_cell(folder)["stages"]["train"]["epochs"] == 2


# ---------------------------------------------------------------------------------------------------------- curves


def whole(folder, *labels):
    curves = query.curves(folder)
    columns = [f"{label}:{c}" for label in labels for c in range(10)]
    return set(columns) <= set(curves) and not curves[columns].isna().any(axis=None)


def test_curves_asked_for_in_the_middle_of_a_training_have_no_gap(tmp_path, monkeypatch):
    cell, tracked = task(), task(track=("clean",))
    with monkeypatch.context() as patch:
        stop_at(1, patch)
        with pytest.raises(Stop):
            run(cell, tmp_path, checkpoint_seconds=0.0)
    done(tracked, tmp_path)
    assert whole(tmp_path / cell.spec.id, "clean")


def test_curves_asked_for_later_do_not_replace_those_that_are_there(tmp_path):
    for track in (("clean",), ("fgsm",)):
        done(task(track=track), tmp_path)
    folder = tmp_path / task().spec.id
    assert read_cell(folder)["tracked"] == ["clean", "fgsm"]
    assert whole(folder, "clean", "fgsm")
    assert missing(task(track=("clean", "fgsm")), look(folder)) == []


def test_a_redrawing_stopped_with_other_curves_begins_anew(finished, monkeypatch):
    folder, _ = finished
    with monkeypatch.context() as patch:
        stop_at(1, patch)
        with pytest.raises(Stop):
            run(task(track=("clean",)), folder.parent, checkpoint_seconds=0.0)
    assert (folder / "curves.pt").exists()
    done(task(track=("fgsm",)), folder.parent)
    assert whole(folder, "fgsm")
    assert not (folder / "curves.pt").exists()


# -------------------------------------------------------------------------------------------------- shared prefixes


def test_a_prefix_belongs_to_a_version_a_kind_of_device_and_a_number_of_threads(tmp_path, monkeypatch):
    torch = prefix_module.torch
    spec = task(methods=("taet",), epochs=5).spec

    def name(device="cpu"):
        return make_prefix(spec, make_method(spec), tmp_path, "0", torch.device(device)).path.name

    names = [name(), name("cuda")]
    monkeypatch.setattr(prefix_module, "BENCHMARK_VERSION", config.BENCHMARK_VERSION + ".next")
    names.append(name())
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    names.append(name())
    assert len(set(names)) == 4


def test_rows_are_a_table_even_when_nothing_is_whole(tmp_path):
    cell = task()
    mark_failed(tmp_path, cell, "process", "killed")
    assert isinstance(Results(tmp_path).rows, pd.DataFrame)
    assert json.loads((tmp_path / cell.spec.id / "cell.json").read_text())["evaluations"] == {}


def test_each_stage_reports_its_own_peak(tmp_path, monkeypatch):
    calls = []
    for module in (trained, cell_module):
        monkeypatch.setattr(module, "reset_peak", lambda device: calls.append("reset"))
        monkeypatch.setattr(module, "peak_memory", lambda device: float(len(calls)))
    cell = task()
    done(cell, tmp_path)
    stages = read_cell(tmp_path / cell.spec.id)["stages"]
    assert [stages[k]["peak_memory_mib"] for k in ("train", "long-tailed/clean", "long-tailed/fgsm")] == [1.0, 2.0, 3.0]


def test_runs_of_another_arithmetic_are_never_taken_for_another_seed(tmp_path):
    for changes in ({}, {"deterministic": True}):
        done(task(**changes), tmp_path)
    rows = Results(tmp_path).rows
    assert set(rows["precision"]) == {"fp32", "fp32, deterministic"}
    assert not rows.drop(columns="cell").duplicated().any()


@pytest.mark.parametrize("lost", [[], ["per_class.csv"]])
def test_a_cell_killed_between_its_last_evaluation_and_its_end_is_finished_by_the_next_run(finished, lost):
    path, cell = finished
    whole = {name: digest(path / name) for name in ("per_class.csv", "per_sample.npz")}
    folder = CellFolder(path.parent, path.name)
    folder.write(moved(read_cell(path), "running", "long-tailed/fgsm"))
    for name in lost:
        (path / name).unlink()
    key = cell.want.evaluations[-1].key
    Partial(path).of(key, "1").save("0", {"done": np.ones(1)})  # what the kill left of the evaluation that is stored
    (work,) = plan([cell], path.parent)
    assert work.lacks == ["rows"]
    assert [s.state for s in overview(path.parent).standings] == ["interrupted"]
    done(cell, path.parent)
    assert plan([cell], path.parent) == []
    assert [s.state for s in overview(path.parent).standings] == ["done"]
    assert {name: digest(path / name) for name in whole} == whole
    assert not (path / "partial").exists()


def test_a_cell_that_another_process_is_at_is_not_taken_for_interrupted(finished, monkeypatch):
    path, cell = finished
    CellFolder(path.parent, path.name).write(moved(read_cell(path), "running", "long-tailed/aa"))
    held = lease.take(path)  # not through `leased`: as another process would
    assert plan([cell], path.parent) == []
    held.release()
    assert [work.lacks for work in plan([cell], path.parent)] == [["rows"]]


def test_partial_verdicts_of_an_evaluation_that_was_broken_off_outlive_another_one(finished):
    path, _ = finished
    partial = Partial(path).of("long-tailed/aa", "1")
    partial.save("0", {"done": np.ones(1)})
    done(task(attacks=("clean", "fgsm", "pgd-20")), path.parent)
    assert partial.load("0") is not None


def test_shared_states_that_nobody_used_for_a_week_are_removed(tmp_path):
    folder = tmp_path / "prefixes"
    folder.mkdir()
    for name, days in (("used.pt", 1), ("unused.pt", 8), (".half.pt.1.part", 8)):
        (folder / name).write_bytes(b"")
        os.utime(folder / name, (time.time() - 86400 * days,) * 2)
    prefix_module.sweep(folder)
    assert [path.name for path in folder.iterdir()] == ["used.pt"]
    (folder / "used.pt").unlink()
    prefix_module.sweep(folder)
    assert not folder.exists()
