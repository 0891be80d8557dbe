"""`bench publish`: what is small is copied, what is there is not silently replaced."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from bench.cli import main
from bench.engine.cell import run_cell
from bench.engine.grid import Axes, expand
from bench.engine.life.settings import Settings
from bench.store.copies import publish as store
from bench.store.folders import CellFolder
from bench.store.results import Results

AXES = Axes(methods=("ce",), datasets=("digitslt",), irs=("10",), epochs=1, limit=6, attacks=("clean",))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    run_cell(expand(AXES)[0], Settings(results=root), lambda _: None)
    return root


def publish(*words):
    with pytest.raises(SystemExit) as ended:
        main(["publish", *map(str, words)])
    return ended.value.code


def test_a_published_store_has_the_rows_and_no_weights(runs, tmp_path, capsys):
    assert publish(tmp_path / "out", "--results", runs) == 0
    assert "1 finished cell copied to" in capsys.readouterr().out
    assert Results(tmp_path / "out").rows.equals(Results(runs).rows)
    assert list(runs.rglob("checkpoint.pt"))
    assert not list((tmp_path / "out").rglob("*.pt"))
    assert publish(tmp_path / "out", "--results", runs) == 0


def test_other_counts_are_only_replaced_when_asked(runs, tmp_path, capsys):
    publish(tmp_path, "--results", runs)
    stored = next(tmp_path.rglob("per_class.csv"))
    mine = stored.read_text().replace(",clean,", ",other,")
    stored.write_text(mine)
    assert publish(tmp_path, "--results", runs) == 1
    error = capsys.readouterr().err
    assert stored.parent.name in error
    assert "--replace" in error
    assert stored.read_text() == mine
    assert publish(tmp_path, "--results", runs, "--replace") == 0
    assert stored.read_text() != mine


def test_what_would_leave_older_cells_out_is_refused(runs, tmp_path, capsys):
    out, newer = tmp_path / "out", tmp_path / "newer"
    publish(out, "--results", runs)
    (path,) = out.glob("*/cell.json")
    made = json.loads(path.read_text())
    made["inputs"]["dataset"] = "0" * 16  # made by another code of its data set, and before
    del made["seal"]  # of the cell that it was
    made["history"] = [{**step, "at": "2026-01-01T00:00:00+00:00"} for step in made["history"]]
    path.write_text(json.dumps(made))
    run_cell(expand(dataclasses.replace(AXES, seeds=(1,)))[0], Settings(results=newer), lambda _: None)
    capsys.readouterr()
    assert publish(out, "--results", newer) == 1
    error = capsys.readouterr().err
    assert f"{path.parent.name} of {out} would be left out as stale; give another folder" in error
    assert [cell.id for cell in Results(out).cells] == [path.parent.name]
    assert publish(out, "--results", newer, "--replace") == 0
    assert [cell.seed for cell in (one.made for one in Results(out).cells)] == [1]


@pytest.mark.parametrize(
    ("target", "source", "words"),
    [
        ("runs", "runs", "is the results folder itself"),
        ("out", "nowhere", "does not exist"),
        ("out", "empty", "holds no cell"),
        ("out", "file", "is a file, not a results folder"),
        ("file/out", "runs", "cannot write"),
        ("/proc/out", "runs", "cannot write"),
    ],
)
def test_a_wrong_folder_is_one_sentence(runs, tmp_path, capsys, target, source, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    folders = {"runs": runs}
    assert publish(folders.get(target, tmp_path / target), "--results", folders.get(source, tmp_path / source)) != 0
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line


def copied(runs, tmp_path, **changes):
    """A second store with the cell, and a changed cell.json."""
    shutil.copytree(runs, tmp_path / "runs")
    cell = next((tmp_path / "runs").glob("*/cell.json"))
    cell.write_text(json.dumps(json.loads(cell.read_text()) | changes))
    return cell.parent


def test_a_failed_cell_goes_with_what_it_had_finished(runs, tmp_path, capsys):
    copied(runs, tmp_path, status="failed")
    assert publish(tmp_path / "out", "--results", tmp_path / "runs") == 0
    assert "0 finished cells copied" in (said := capsys.readouterr().out)
    assert "1 failed, copied with the reason" in said
    assert Results(tmp_path / "out").problems == []
    assert Results(tmp_path / "out").rows.equals(Results(runs).rows)


def test_a_cell_under_way_is_left_out_and_nothing_is_no_success(runs, tmp_path, capsys):
    folder = copied(runs, tmp_path, status="running")
    assert publish(tmp_path / "out", "--results", tmp_path / "runs") == 1
    assert "1 under way, left out" in (said := capsys.readouterr()).out
    assert "holds nothing that can be published" in said.err
    folder = copied(runs, tmp_path / "held")
    with CellFolder(folder.parent, folder.name).locked():
        assert publish(tmp_path / "out", "--results", folder.parent) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["per_class.csv", "per_sample.npz", "epochs.csv", "cell.json"])
def test_a_damaged_cell_is_named_and_left_out_of_the_sound_ones(runs, tmp_path, capsys, name):
    folder = copied(runs, tmp_path)
    sound = expand(dataclasses.replace(AXES, seeds=(1,)))[0]
    run_cell(sound, Settings(results=tmp_path / "runs"), lambda _: None)
    (folder / name).write_bytes((folder / name).read_bytes()[:-20])
    assert publish(tmp_path / "out", "--results", tmp_path / "runs") == 1
    said = capsys.readouterr()
    assert f"left out {folder.name}: " in said.err
    assert name in said.err
    assert "1 finished cell copied" in said.out
    assert "1 not sound, left out" in said.out
    assert [p.name for p in (tmp_path / "out").iterdir()] == [sound.spec.id]


def test_weights_are_not_copied_so_their_damage_does_not_matter(runs, tmp_path):
    folder = copied(runs, tmp_path)
    (folder / "checkpoint.pt").write_bytes(b"PK")
    assert publish(tmp_path / "out", "--results", tmp_path / "runs") == 0


def test_no_half_file_is_left_when_writing_stops(runs, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.store.folders.os.replace", stop)
    with pytest.raises(KeyboardInterrupt):
        store.publish(runs, tmp_path / "out")
    assert [p for p in (tmp_path / "out").rglob("*") if p.is_file()] == []


def test_the_golden_store_is_replaced_as_a_whole(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "bench.cli.golden._run", lambda fresh, *_: shutil.copytree(runs, fresh, dirs_exist_ok=True) and 0
    )
    target = tmp_path / "golden"
    (tmp_path / "golden.old").mkdir()  # a killed update left it here
    (tmp_path / "golden.old" / "README.md").write_text("kept")
    with pytest.raises(SystemExit) as ended:
        main(["golden", "update", "--target", str(target)])
    assert not ended.value.code
    assert Results(target).rows.equals(Results(runs).rows)
    assert (target / "README.md").read_text() == "kept"
    assert [p.name for p in tmp_path.iterdir()] == ["golden"]


@pytest.mark.parametrize("killed_at", [1, 2, 3])
def test_a_store_is_never_lost_between_the_old_and_the_new(tmp_path, monkeypatch, killed_at):
    target, fresh = tmp_path / "golden", tmp_path / "golden.new"
    for folder, text in ((target, "old"), (fresh, "new")):
        folder.mkdir()
        (folder / "number").write_text(text)
    calls = []

    def killed(act):
        def stop(*words, **more):
            calls.append(act)
            if len(calls) == killed_at + 1:  # the first removes what an earlier call left aside
                raise KeyboardInterrupt
            return act(*words, **more)

        return stop

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.rename", killed(Path.rename))
        patch.setattr("bench.store.copies.publish.shutil.rmtree", killed(shutil.rmtree))
        with pytest.raises(KeyboardInterrupt):
            store.replace(fresh, target)
    store.restore(target)
    assert (target / "number").read_text() == ("new" if killed_at == 3 else "old")
    if fresh.exists():
        store.replace(fresh, target)
    assert (target / "number").read_text() == "new"
