"""One loader: what it takes for a cell, what it leaves out, and that it says so."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bench.cli import main
from bench.config import cell_from_plain
from bench.judge.reference import shipped
from bench.store import query
from bench.store.folders import CellFolder, read_cell, read_record
from bench.store.parts.bits import marked
from bench.store.parts.files import LARGEST
from bench.store.parts.record import Device, understood
from bench.store.results import Results
from bench.store.rows import build_rows, rows_text
from bench.store.schema import CELL, ROWS, SAMPLES


@pytest.fixture(scope="module")
def golden(project) -> list[Path]:
    cells = query.folders(project / "results" / "golden")
    return [folder for folder in cells if "inputs" not in read_cell(folder)][:3]


@pytest.fixture
def store(golden, tmp_path) -> Path:
    """Three cells as this version writes them: sealed, with marks."""
    root = tmp_path / "runs"
    for source in golden:
        shutil.copytree(source, root / source.name)
        cell, bits = read_cell(source), query.samples(source)
        folder = CellFolder(root, source.name)
        folder.write(folder.put(marked(cell, bits), ROWS, rows_text(understood(cell), bits)))
    return root


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in words])
    return int(caught.value.code or 0)


def edit(folder: Path, change) -> None:
    """A value of cell.json changed by hand."""
    cell = json.loads((folder / CELL).read_text())
    change(cell)
    (folder / CELL).write_text(json.dumps(cell))


def rebit(folder: Path, change) -> None:
    bits = query.samples(folder)
    np.savez_compressed(folder / SAMPLES, **bits | change(bits))


def turned(bits):
    """The verdicts of an attack upside down."""
    return {"long-tailed/fgsm": 1 - bits["long-tailed/fgsm"]}


def swapped(bits):
    one, other = "long-tailed/fgsm", "long-tailed/pgd-20"
    return {one: bits[other], other: bits[one]}


# --------------------------------------------------------------------------------------------- what is a cell


@pytest.mark.parametrize("name", ["golden", "measured"])
def test_shipped_stores_load_whole_and_their_rows_follow_from_their_bits(name):
    found = Results(shipped(name))
    assert found.problems == []
    assert len(found.cells) == len(query.folders(found.root))
    for cell in found.cells:
        bits, text = found.samples(cell.id), (found.folder(cell.id) / ROWS).read_text()
        assert text in (rows_text(cell, bits), rows_text(cell, bits, bare=True))
        assert cell.made == cell_from_plain(cell.document["spec"])


def test_the_text_of_a_table_is_that_of_its_frame(store):
    for folder in query.folders(store):
        cell, bits = read_record(folder), query.samples(folder)
        assert rows_text(cell, bits) == build_rows(cell, bits).to_csv(index=False, lineterminator="\n")


def test_a_sealed_store_loads_and_verifies(store, capsys):
    assert Results(store).problems == []
    assert run("verify", "--results", store) == 0
    assert "kept no seals" not in capsys.readouterr().out


CHANGED = {
    "copied": (lambda f: shutil.copytree(f, f.with_name(f.name.replace("-s0-", "-s1-"))), "a copy is not another cell"),
    "another seed": (lambda f: edit(f, lambda c: c["spec"].update(seed=7)), "not as it was written"),
    "seconds": (lambda f: edit(f, lambda c: c["stages"]["train"].update(seconds=1.0)), "not as it was written"),
    "wrong type": (lambda f: edit(f, lambda c: c["data"].update(train_counts="many")), "Expected `array`, got `str`"),
    "negative": (lambda f: edit(f, lambda c: c["data"]["train_counts"].__setitem__(0, -1)), "train_counts"),
    "a row": (lambda f: (f / ROWS).write_text((f / ROWS).read_text().replace(",64,", ",65,", 1)), "per_class.csv"),
    "cut": (lambda f: (f / ROWS).write_bytes((f / ROWS).read_bytes()[:-200]), "per_class.csv"),
    "no rows": (lambda f: (f / ROWS).unlink(), "holds 0 of 10 rows"),
    "deep": (lambda f: (f / CELL).write_text("[" * 200_000), "nested too deeply"),
    "no number": (lambda f: (f / CELL).write_text('{"schema": NaN}'), "NaN is no number"),
    "empty": (lambda f: (f / CELL).write_text(""), "cannot be read"),
    "bytes": (lambda f: (f / CELL).write_bytes(b"\xff\xfe"), "cannot be read"),
    "pipe": (lambda f: [(f / CELL).unlink(), os.mkfifo(f / CELL)], "no regular file"),
    "pipe of rows": (lambda f: [(f / ROWS).unlink(), os.mkfifo(f / ROWS)], "no regular file"),
    "device": (lambda f: [(f / CELL).unlink(), (f / CELL).symlink_to("/dev/zero")], "no regular file"),
    "huge": (lambda f: os.truncate(f / CELL, LARGEST + 1), "are read"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_what_is_no_cell_is_left_out_and_named_by_every_verb(store, case, capsys):
    change, words = CHANGED[case]
    folder, *others = query.folders(store)
    change(folder)
    found = Results(store)
    (problem,) = found.problems
    assert words in problem
    assert folder.name.partition("-s")[0] in problem
    left = {folder.name} if case != "copied" else set()
    assert set(found.rows["cell"]) == {folder.name, *(o.name for o in others)} - left
    assert run("verify", "--results", store) == 1
    assert folder.name.partition("-s")[0] in capsys.readouterr().out
    assert run("check", "--results", store) == 1
    assert problem in (said := capsys.readouterr().err)
    assert len(said.strip().splitlines()) == 1
    if "row" not in case and case != "cut":
        run("status", "--results", store)
        assert "Traceback" not in capsys.readouterr().out


def test_a_copied_cell_is_no_second_seed(store, capsys):
    first, second, _ = query.folders(store)
    names = [read_cell(f)["spec"]["method"] for f in (first, second)]
    words = ("compare", *names, "--attack", "fgsm", "--results", store, "--format", "json")
    assert run(*words) == 0
    before = capsys.readouterr()
    for folder in (first, second):
        shutil.copytree(folder, folder.with_name(folder.name.replace("-s0-", "-s1-")))
    assert run(*words) == 0
    after = capsys.readouterr()
    assert after.out == before.out
    assert after.err.count("left out: ") == 2
    assert "damaged" in (run("status", "--results", store), capsys.readouterr().out)[1]


# ---------------------------------------------------------------------------------------------------- bits


@pytest.mark.parametrize("change", [turned, swapped])
@pytest.mark.parametrize("marks", [True, False])
def test_bits_that_were_changed_are_used_by_nobody(store, golden, change, marks, capsys):
    first, second, _ = query.folders(store)
    if not marks:  # as an older version left it
        shutil.copy(golden[0] / CELL, first / CELL)
    rebit(first, change)
    names = [read_cell(f)["spec"]["method"] for f in (first, second)]
    run("compare", *names, "--attack", "fgsm", "--results", store)
    said = capsys.readouterr()
    assert "those that" in said.err
    assert first.name in said.err
    assert f"{names[0]} minus" not in said.out or marks is False


def test_arrays_that_lie_about_their_size_are_refused(tmp_path):
    head = "{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }"
    body = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + b"12345678"
    with zipfile.ZipFile(tmp_path / SAMPLES, "w") as archive:
        archive.writestr("a.npy", body)
    with pytest.raises(Exception, match="not what it holds"):
        query.samples(tmp_path)


@pytest.mark.parametrize(
    ("kind", "name", "label"),
    [("cuda", "NVIDIA H100", "CUDA (NVIDIA H100)"), ("cpu", "", "CPU"), ("", "x86_64", "x86_64"), ("", "", "")],
)
def test_a_device_is_called_by_what_is_known_of_it(kind, name, label):
    assert Device(kind=kind, name=name).label == label
