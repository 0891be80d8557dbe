import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from bench.cli import group
from bench.errors import StoreError
from bench.judge.verify import verify
from bench.store.folders import CellFolder
from bench.store.schema import CELL, CHECKPOINT, CURVES, EPOCHS, FEATURES, ROWS, SAMPLES


def problems(root, data=None):
    return [p.message for p in verify(root, data).problems]


def rebit(folder, change):
    with np.load(folder / SAMPLES) as archive:
        stored = dict(archive)
    change(stored)
    np.savez(folder / SAMPLES, **stored)


def recell(maker, folder, change):
    cell = maker.read(folder)
    change(cell)
    maker.write(folder, cell)


def test_a_sound_store_fits(maker):
    maker.cell("taet")
    maker.cell("at-bsl", 1)
    report = verify(maker.root)
    assert report.problems == ()
    assert (report.cells, report.numbers) == (2, 2 * 2 * 5 * 4)


# each: a name, what is done to a sound cell, and words of the one or more complaints
def _set(frame, column, value, **where):
    at = np.logical_and.reduce([frame[k] == v for k, v in where.items()])
    frame.loc[at, column] = value


def _more(frame, attack):
    return pd.concat([frame, frame[frame["attack"] == "aa"].assign(attack=attack)])


ROWS_CHANGED = {
    "correct": (lambda f: _set(f, "correct", 1, test_split="balanced", attack="aa", class_index=0),
                "balanced/aa, class 0 (zero): correct is 1, the bits count"),
    "n": (lambda f: _set(f, "n", 39, test_split="balanced", attack="fgsm", class_index=2),
          "class 2 (two): n is 39, the bits hold 40"),
    "worst": (lambda f: _set(f, "correct", 0, test_split="long-tailed", attack="worst", class_index=0),
              "long-tailed/worst, class 0: correct is 0, recomputed"),
    "train_count": (lambda f: _set(f, "train_count", 7, class_index=3), "train_count is 7, recomputed 10"),
    "method": (lambda f: _set(f, "method", "mart", class_index=0), "method is 'mart', recomputed 'taet'"),
    "source": (lambda f: _set(f, "source", "cifar10", class_index=0), "source is 'cifar10', recomputed 'digits'"),
    "data_hash": (lambda f: _set(f, "data_hash", "f" * 16, class_index=0), "data_hash is"),
    "seed": (lambda f: _set(f, "seed", 3, class_index=0), "seed is 3, recomputed 0"),
    "benchmark": (lambda f: _set(f, "benchmark", "0", class_index=0), "benchmark is '0', recomputed '1'"),
    "flags": (lambda f: _set(f, "flags", "gone", attack="aa"), "flags is 'gone'"),
    "lost row": (lambda f: f.iloc[1:], "per_class.csv is damaged: it lacks whole rows"),
    "lost worst case": (lambda f: f.iloc[:-1], "lacks balanced/worst, class 3"),
    "unknown attack": (lambda f: _more(f, "mim"), "rows of long-tailed/mim, per_sample"),
}  # fmt: skip


@pytest.mark.parametrize("case", ROWS_CHANGED)
def test_a_changed_row_is_named(maker, case):
    change, words = ROWS_CHANGED[case]
    folder = maker.cell("taet")
    maker.edit(folder, change)
    assert any(words in message for message in problems(maker.root)), problems(maker.root)


def _flip(bits, key):
    bits[key][0] ^= 1


def _swap(cell):
    cell["spec"]["recipe"]["lr"] = 0.2


def _seed(cell):
    cell["seeds"] = {"init": 5}


BITS_CHANGED = {
    "a flipped bit": (lambda b: _flip(b, "balanced/aa"), "correct is"),
    "a two": (lambda b: b.update({"balanced/aa": b["balanced/aa"] + 2}), "balanced/aa is not one bit"),
    "shorter": (lambda b: b.update({"balanced/aa": b["balanced/aa"][1:]}), "not one bit for each of 160"),
    "gone": (lambda b: b.pop("balanced/aa"), "no bits of balanced/aa"),
    "no labels": (lambda b: b.pop("balanced/label"), "no indices or labels of the balanced"),
    "an image twice": (lambda b: b["balanced/index"].__setitem__(1, b["balanced/index"][0]), "not one distinct index"),
    "another label": (lambda b: b["balanced/label"].__setitem__(0, 1), "images a class: [39, 41, 40, 40]"),
    "a label too many": (lambda b: b["balanced/label"].__setitem__(0, 9), "reach 9, there are 4 classes"),
    "unknown bits": (lambda b: b.update({"balanced/mim": b["balanced/aa"]}), "balanced/mim, cell.json knows no"),
}


@pytest.mark.parametrize("case", BITS_CHANGED)
def test_a_changed_bit_is_named(maker, case):
    change, words = BITS_CHANGED[case]
    folder = maker.cell("taet")
    rebit(folder, change)
    assert any(words in message for message in problems(maker.root)), problems(maker.root)


CELL_CHANGED = {
    "specification": (_swap, "its specification hashes to"),
    "stream": (_seed, "stream 'init' has seed 5"),
    "status": (lambda c: c.update(status="finished"), "Invalid enum value 'finished'"),
    "version": (lambda c: c.update(benchmark="0"), "written by benchmark version 0"),
    "counts": (lambda c: c["data"]["test_counts"]["balanced"].__setitem__(0, 41), "[41, 40, 40, 40] in cell.json"),
    "no data": (lambda c: c.pop("data"), "nothing about its data"),
    "unknown field": (lambda c: c["spec"].update(colour="red"), "colour"),
}


@pytest.mark.parametrize("case", CELL_CHANGED)
def test_a_changed_cell_is_named(maker, case):
    change, words = CELL_CHANGED[case]
    folder = maker.cell("taet")
    recell(maker, folder, change)
    assert any(words in message for message in problems(maker.root)), problems(maker.root)


def test_damaged_files_are_named_and_the_others_still_read(maker):
    first, second, third = maker.cell("taet"), maker.cell("at-bsl"), maker.cell("mart")
    (first / CELL).write_text("{")
    (second / SAMPLES).write_bytes(b"PK not a zip")
    report = verify(maker.root)
    assert {p.cell for p in report.problems} == {first.name, second.name}
    assert report.cells == 3
    assert report.numbers == 40
    (third / ROWS).unlink()
    assert any("per_class.csv is missing" in p.message for p in verify(maker.root).problems)


def _epochs(folder, text=None):
    lines = [",".join(EPOCHS), *(f"{i},train,0.1,1.0,2.0,100,9.5" for i in range(3))]
    (folder / CURVES).write_text("\n".join(lines) + "\n" if text is None else text)


def _archive(path):
    np.savez(path.with_suffix(".npz"), weights=np.arange(1000.0))
    path.with_suffix(".npz").rename(path)


def _cut(path, keep=0.6):
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])


def _turn_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


#: what happens to a file, by the file, and how it comes back
DAMAGE = {
    "counts cut short": (ROWS, _cut, "run the cell again"),
    "counts of others": (ROWS, lambda path: path.write_text("x,y\n1,2\n"), "run the cell again"),
    "no counts": (ROWS, lambda path: path.unlink(), "run the cell again"),
    "no bits": (SAMPLES, lambda path: path.unlink(), "run the cell again"),
    "bits cut short": (SAMPLES, _cut, "run the cell again"),
    "curves of others": (CURVES, lambda path: path.write_text("x,y\n"), "restore it"),
    "empty curves": (CURVES, lambda path: path.write_text(""), "restore it"),
    "curves cut short": (CURVES, _cut, "restore it"),
    "curves cut in the last field": (CURVES, lambda path: _cut(path, 0.98), "restore it"),
    "an epoch lost": (CURVES, lambda path: path.write_text(path.read_text().rpartition("2,train")[0]), "restore it"),
    "weights cut short": (CHECKPOINT, _cut, "trains them again"),
    "a bit of the weights": (CHECKPOINT, _turn_a_bit, "trains them again"),
    "features cut short": (FEATURES, _cut, "--features"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_file_is_one_line_with_its_mend(maker, case):
    name, hurt, mend = DAMAGE[case]
    folder = maker.cell("taet")
    recell(maker, folder, lambda cell: cell["stages"].update(train={"epochs": 3}))
    _epochs(folder)
    _archive(folder / CHECKPOINT)
    _archive(folder / FEATURES)
    assert verify(maker.root).problems == ()
    hurt(folder / name)
    (problem,) = verify(maker.root).problems
    assert (problem.cell, problem.file) == (folder.name, name)
    assert problem.message.startswith(f"{name} is ")
    assert mend in problem.message


def test_a_cell_that_somebody_works_in_is_left_alone(maker):
    folder = maker.cell("taet")
    (folder / SAMPLES).write_bytes(b"")
    with CellFolder(folder.parent, folder.name).locked():
        report = verify(maker.root)
    assert (report.busy, report.cells, report.problems) == ((folder.name,), 0, ())
    assert len(verify(maker.root).problems) == 1


@pytest.mark.parametrize(("kind", "words"), [("empty", "holds no cell"), ("file", "is a file, not a results folder")])
def test_what_is_no_store_does_not_fit(tmp_path, kind, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=words):
        verify(tmp_path / kind)


def test_a_renamed_folder_is_named(maker):
    folder = maker.cell("taet")
    folder.rename(folder.with_name("taet-copy"))
    assert any("the folder is called taet-copy" in message for message in problems(maker.root))


def test_an_attack_that_helps_is_named_unless_flagged(maker):
    folder = maker.cell("taet", attacks={"clean": 0.5, "fgsm": 0.8})
    assert any("balanced/fgsm leaves" in message for message in problems(maker.root))

    def flag(cell):
        for facts in cell["evaluations"].values():
            facts["flags"] = ["order"]

    recell(maker, folder, flag)
    maker.edit(folder, lambda f: _set(f, "flags", "order", attack="fgsm"))
    maker.edit(folder, lambda f: _set(f, "flags", "order", attack="clean"))
    assert problems(maker.root) == []


def test_cells_of_one_data_set_must_agree_on_its_hash(maker):
    maker.cell("at-bsl")
    folder = maker.cell("taet")
    recell(maker, folder, lambda cell: cell["data"].update(data_hash="0" * 16))
    maker.edit(folder, lambda f: f.__setitem__("data_hash", "0" * 16))
    assert any("data hash 0000000000000000 differs from" in message for message in problems(maker.root))


def test_failed_and_planned_cells_are_no_problem(maker):
    folder = maker.cell("taet")
    for name in (ROWS, SAMPLES):
        (folder / name).unlink()

    def change(cell):
        cell.update(status="failed", evaluations={}, stages={})

    recell(maker, folder, change)
    assert problems(maker.root) == []


def test_data_read_again(maker):
    folder = maker.cell("taet")
    cell = maker.read(folder)
    with np.load(folder / SAMPLES) as archive:
        index = {split: archive[f"{split}/index"] for split in ("long-tailed", "balanced")}
    sound = {**cell["data"], "index": index}
    assert problems(maker.root, lambda spec: sound) == []
    moved = {**sound, "data_hash": "1" * 16, "index": index | {"balanced": index["balanced"] + 1}}
    messages = problems(maker.root, lambda spec: moved)
    assert any("reading the data again gives 1111111111111111" in m for m in messages)
    assert any("the balanced test images are not those" in m for m in messages)


UNSEALED = (
    "1 cell of a version that kept no seals: a value of cell.json, or bits and rows together, could have been changed "
    "there so that it still fits.\n"
)


def test_the_command(maker):
    folder = maker.cell("taet")
    runner = CliRunner()
    sound = runner.invoke(group, ["verify", "--results", str(maker.root)], standalone_mode=False)
    assert (sound.return_value, sound.output) == (0, UNSEALED + "1 cell, 40 rows recomputed: everything fits.\n")
    maker.edit(folder, lambda f: _set(f, "correct", 1, test_split="balanced", attack="aa", class_index=0))
    words = runner.invoke(group, ["verify", "--results", str(maker.root)], standalone_mode=False).output
    assert "1 problem.\n" in words
    assert "run the cell again; if that finds nothing to do" in words
    broken = runner.invoke(group, ["verify", "--results", str(maker.root), "--format", "json"], standalone_mode=False)
    assert broken.return_value == 1
    assert json.loads(broken.output)["problems"][0]["cell"] == folder.name
    missing = runner.invoke(group, ["verify", "--results", str(maker.root / "no")], standalone_mode=False)
    assert isinstance(missing.exception, StoreError)
