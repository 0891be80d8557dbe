"""`bench publish`: what is small is copied, what is there is not silently replaced."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from bench.cli import main
from bench.engine.cell import run_cell
from bench.engine.grid import Axes, expand
from bench.engine.life.settings import Settings
from bench.judge.verify import verify
from bench.store.copies import publish as store
from bench.store.folders import CellFolder
from bench.store.parts import tunings
from bench.store.parts.tunings import Study, Trial, Tuning
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
        ("file/out", "runs", "cannot be leased: Not a directory; choose a writable folder"),
        ("/proc/out", "runs", "cannot be leased"),
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


def content(root):
    """Every file below a folder."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def changed(root, change):
    """Change the one cell.json of a store, which then has no seal."""
    (path,) = root.glob("*/cell.json")
    cell = json.loads(path.read_text())
    change(cell)
    cell.pop("seal", None)
    path.write_text(json.dumps(cell))
    return path.parent


@pytest.fixture
def failed(runs, tmp_path):
    """A store in which the cell failed before anything was evaluated."""
    folder = changed(
        shutil.copytree(runs, tmp_path / "failed"),
        lambda cell: cell.update(status="failed", evaluations={}, stages={}, flags=[], tracked=[], files={}),
    )
    for file in folder.iterdir():
        if file.name != "cell.json":
            file.unlink()
    return folder.parent


def test_a_failed_cell_does_not_take_the_place_of_a_finished_one(runs, failed, tmp_path, capsys):
    out = tmp_path / "out"
    publish(out, "--results", runs)
    before = content(out)
    assert publish(out, "--results", failed) == 1
    error = capsys.readouterr().err
    assert f"{out} holds results of {next(runs.glob('*/cell.json')).parent.name} that these lack" in error
    assert "(long-tailed/clean, status done); give --replace" in error
    assert content(out) == before
    assert publish(out, "--results", failed, "--replace") == 0
    assert [path.rpartition("/")[2] for path in content(out)] == ["cell.json"]
    assert verify(out).problems == ()
    assert publish(out, "--results", runs) == 0, "what finished since takes its place"
    assert content(out) == before


def test_what_a_cell_has_more_is_added_and_never_taken(runs, tmp_path, capsys):
    more, out = shutil.copytree(runs, tmp_path / "more"), tmp_path / "out"
    publish(out, "--results", runs)
    axes = dataclasses.replace(AXES, attacks=("clean", "fgsm"))
    run_cell(expand(axes)[0], Settings(results=more), lambda _: None)
    assert publish(out, "--results", more) == 0
    assert Results(out).rows.equals(Results(more).rows)
    assert set(Results(out).rows["attack"]) == {"clean", "fgsm", "worst"}
    capsys.readouterr()
    assert publish(out, "--results", runs) == 1
    assert "(long-tailed/fgsm)" in capsys.readouterr().err
    assert Results(out).rows.equals(Results(more).rows)


AUDIT = {"whole": False, "gap": False, "continues": "aa", "balanced": 0.5, "audit": [0.4, 0.6], "sampling": [0.3, 0.7]}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda e: e.update({"long-tailed/aa-audited": {"audit": AUDIT}}), "long-tailed/aa-audited"),
        (lambda e: e["long-tailed/clean"].update(bits="0" * 16), "long-tailed/clean"),
    ],
)
def test_an_audit_without_rows_and_other_bits_of_the_same_counts_are_kept(runs, tmp_path, capsys, change, what):
    publish(tmp_path / "out", "--results", runs)
    folder = changed(tmp_path / "out", lambda cell: change(cell["evaluations"]))
    before = content(folder)
    assert publish(tmp_path / "out", "--results", runs) == 1
    assert f"{folder.name} that these lack or have otherwise ({what})" in capsys.readouterr().err
    assert content(folder) == before


def test_a_cell_that_cannot_be_read_there_is_only_replaced_when_asked(runs, tmp_path, capsys):
    publish(tmp_path / "out", "--results", runs)
    (path,) = (tmp_path / "out").glob("*/cell.json")
    path.write_text("{")
    assert publish(tmp_path / "out", "--results", runs) == 1
    assert "(what cannot be read)" in capsys.readouterr().err
    assert publish(tmp_path / "out", "--results", runs, "--replace") == 0
    assert verify(tmp_path / "out").problems == ()


def test_a_cell_that_somebody_works_on_there_is_left_to_them(runs, tmp_path, capsys):
    out, (name,) = tmp_path / "out", [path.parent.name for path in runs.glob("*/cell.json")]
    publish(out, "--results", runs)
    before = content(out)
    with CellFolder(out, name).locked():
        assert publish(out, "--results", runs) == 1
    said = capsys.readouterr()
    assert f"left out: {out / name} is being worked on" in said.err
    assert content(out) == before


STUDY = Study("plain", {"dataset": "digitslt"}, 0, 0.1, "clean", ["lr log 0.01 1"])
TRIALS = [Trial(f"cell-{i}", f"plain[lr=0.{i}]", {"lr": i / 10}, "done", i / 10, [i / 10]) for i in (1, 2, 3)]


def test_trials_of_a_tuning_are_added_and_never_taken(runs, tmp_path, capsys):
    stores = {n: shutil.copytree(runs, tmp_path / f"t{n}") for n in (1, 3)}
    for n, root in stores.items():
        tunings.keep(root, Tuning(STUDY, TRIALS[:n]))
    out = tmp_path / "out"
    assert publish(out, "--results", stores[1]) == 0
    assert publish(out, "--results", stores[3]) == 0
    assert tunings.load(out, STUDY).trials == TRIALS
    capsys.readouterr()
    assert publish(out, "--results", stores[1]) == 1
    assert f"tunings/{STUDY.name}.json that these lack or have otherwise (3 trials)" in capsys.readouterr().err
    assert tunings.load(out, STUDY).trials == TRIALS
    assert publish(out, "--results", stores[1], "--replace") == 0
    assert tunings.load(out, STUDY).trials == TRIALS[:1]


def test_bits_of_older_cells_are_compared_where_no_mark_is_kept(runs, tmp_path, capsys):
    here, out = shutil.copytree(runs, tmp_path / "here"), tmp_path / "out"
    changed(here, lambda cell: (cell["evaluations"]["long-tailed/clean"].pop("bits"), cell.pop("files")))
    publish(out, "--results", here)
    (path,) = out.glob("*/per_sample.npz")
    arrays = dict(np.load(path))
    arrays["long-tailed/index"] = arrays["long-tailed/index"][::-1]  # the same counts, of other images
    np.savez_compressed(path, **arrays)
    assert publish(out, "--results", here) == 1
    assert "(long-tailed/clean)" in capsys.readouterr().err
