"""Cells travel whole, verified, and never over what is there already."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import group
from bench.errors import StoreError
from bench.store.copies import exchange
from bench.store.folders import CellFolder
from bench.store.parts import tunings
from bench.store.parts.tunings import Study, Trial, Tuning


def bench(*words):
    """(exit code, what was said) of a verb."""
    done = CliRunner().invoke(group, [str(w) for w in words], standalone_mode=False)
    assert done.exception is None, done.exception
    return done.return_value, done.output


@pytest.fixture(scope="module")
def store(tmp_path_factory, project) -> Path:
    """Three cells of the golden store."""
    root = tmp_path_factory.mktemp("store")
    for folder in sorted(f for f in (project / "results" / "golden").iterdir() if (f / "cell.json").exists())[:3]:
        shutil.copytree(folder, root / folder.name)
    return root


def content(root: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def altered(source: Path, target: Path, change) -> Path:
    """An archive whose members went through `change(name, body) -> [(name, body)]`."""
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for member in old:
            for name, body in change(member.name, old.extractfile(member).read()):
                info = tarfile.TarInfo(name)
                info.size = len(body)
                new.addfile(info, io.BytesIO(body))
    return target


def test_there_and_back_every_byte_is_the_same(store, tmp_path):
    assert bench("export", tmp_path / "a.tar", "--results", store)[0] == 0
    code, said = bench("import", tmp_path / "a.tar", "--results", tmp_path / "there")
    assert (code, said) == (0, f"3 cells imported into {tmp_path / 'there'}.\n")
    assert content(tmp_path / "there") == content(store)
    code, said = bench("import", tmp_path / "a.tar", "--results", tmp_path / "there")
    assert (code, "0 cells imported" in said, "3 here already" in said) == (0, True, True)
    assert bench("export", tmp_path / "b.tar", "--results", tmp_path / "there")[0] == 0
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_a_cell_with_other_counts_is_refused_and_stays(store, tmp_path):
    exchange.pack(sorted(store.iterdir()), tmp_path / "a.tar", weights=False)
    there = shutil.copytree(store, tmp_path / "there")
    changed = sorted(there.iterdir())[1]
    rows = changed / "per_class.csv"
    rows.write_text(rows.read_text() + "more\n")
    shutil.rmtree(sorted(there.iterdir())[0])
    code, said = bench("import", tmp_path / "a.tar", "--results", there)
    assert code == 1
    assert f"refused {changed.name}: other counts are here already (per_class.csv differ)" in said
    assert rows.read_text().endswith("more\n")
    assert sorted(f.name for f in there.iterdir()) == sorted(f.name for f in store.iterdir())


def test_a_cell_that_somebody_works_on_is_left_to_them(store, tmp_path):
    exchange.pack(sorted(store.iterdir()), tmp_path / "a.tar", weights=False)
    busy = sorted(store.iterdir())[0].name
    with CellFolder(tmp_path / "there", busy).locked():
        done = exchange.unpack(tmp_path / "a.tar", tmp_path / "there")
    assert list(done.refused) == [busy]
    assert len(done.new) == 2


def test_what_is_packed_again_sparse_or_larger_than_the_archive_is_not_read(store, tmp_path):
    exchange.pack(sorted(store.iterdir())[:1], tmp_path / "a.tar", weights=False)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress((tmp_path / "a.tar").read_bytes()))
    with pytest.raises(StoreError, match="cannot be read"):
        exchange.unpack(tmp_path / "a.tar.gz", tmp_path / "there")
    cell = sorted(store.iterdir())[0].name
    for kind in (tarfile.GNUTYPE_SPARSE, tarfile.REGTYPE):
        with tarfile.open(tmp_path / "a.tar") as old, tarfile.open(tmp_path / "b.tar", "w") as new:
            new.addfile(old.getmember("manifest.json"), old.extractfile("manifest.json"))
            large = tarfile.TarInfo(f"{cell}/per_class.csv")
            large.type, large.size = kind, 2**40
            new.addfile(large)
        with pytest.raises(StoreError, match=r"does not name|more bytes than there are|cannot be read"):
            exchange.unpack(tmp_path / "b.tar", tmp_path / "there")
    assert not (tmp_path / "there").exists()


FLIPPED = "has another hash"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda n, b: [(n, b[:-1] + bytes([b[-1] ^ 1]) if n.endswith("npz") else b)], FLIPPED),
        (lambda n, b: [(n, b), *([("../../out", b"x")] if n.endswith("cell.json") else [])], "does not name"),
        (lambda n, b: [(n, b), *([(n, b)] if n.endswith("cell.json") else [])], "stands twice"),
        (lambda n, b: [(n, b.replace(b"per_class.csv", b"../../../x.c") if n == "manifest.json" else b)], "no cell"),
        (lambda n, b: [] if n.endswith("cell.json") else [(n, b)], "cut short"),
        (lambda n, b: [] if n == "manifest.json" else [(n, b)], "does not begin with"),
        (lambda n, b: [(n, b"[]" if n == "manifest.json" else b)], "cannot be understood"),
        (lambda n, b: [(n, b"[" * 100000 if n == "manifest.json" else b)], "cannot be understood"),
        (lambda n, b: [(n, b.replace(b'"version":1', b'"version":9') if n == "manifest.json" else b)], "upgrade"),
    ],
)
def test_an_archive_that_was_damaged_or_made_up_is_one_sentence(store, tmp_path, change, sentence):
    exchange.pack(sorted(store.iterdir()), tmp_path / "a.tar", weights=False)
    bad = altered(tmp_path / "a.tar", tmp_path / "b.tar", change)
    with pytest.raises(StoreError, match=sentence):
        exchange.unpack(bad, tmp_path / "in" / "there")
    assert sorted(p.name for p in tmp_path.iterdir()) in (["a.tar", "b.tar"], ["a.tar", "b.tar", "in"])
    whole = content(store)
    for name, body in content(tmp_path / "in" / "there").items() if (tmp_path / "in").exists() else ():
        assert whole[name] == body


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_an_archive_that_is_cut_is_one_sentence(store, tmp_path, share):
    exchange.pack(sorted(store.iterdir()), tmp_path / "a.tar", weights=False)
    body = (tmp_path / "a.tar").read_bytes()
    used = len(body.rstrip(b"\0"))
    (tmp_path / "b.tar").write_bytes(body[: int(used * share)])
    with pytest.raises(StoreError):
        exchange.unpack(tmp_path / "b.tar", tmp_path / "there")


def test_links_and_devices_of_an_archive_are_not_followed(store, tmp_path):
    exchange.pack(sorted(store.iterdir())[:1], tmp_path / "a.tar", weights=False)
    cell = sorted(store.iterdir())[0].name
    with tarfile.open(tmp_path / "a.tar") as old, tarfile.open(tmp_path / "b.tar", "w") as new:
        new.addfile(old.getmember("manifest.json"), old.extractfile("manifest.json"))
        link = tarfile.TarInfo(f"{cell}/per_class.csv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        new.addfile(link)
    with pytest.raises(StoreError, match="does not name"):
        exchange.unpack(tmp_path / "b.tar", tmp_path / "there")


def test_nothing_is_overwritten_by_an_export(store, tmp_path):
    (tmp_path / "a.tar").write_text("mine")
    with pytest.raises(StoreError, match="is there already"):
        exchange.pack(sorted(store.iterdir()), tmp_path / "a.tar", weights=False)
    assert (tmp_path / "a.tar").read_text() == "mine"


def test_the_manifest_names_every_file_with_its_hash(store, tmp_path):
    exchange.pack(sorted(store.iterdir()), tmp_path / "a.tar", weights=False)
    with tarfile.open(tmp_path / "a.tar") as archive:
        manifest = json.load(archive.extractfile("manifest.json"))
    assert {f"{c}/{f}" for c, files in manifest["cells"].items() for f in files} == set(content(store))


def test_an_export_that_cannot_finish_leaves_nothing(store, tmp_path, monkeypatch):
    written = exchange._add

    def full(archive, name, content):
        if name != "manifest.json":
            raise OSError(28, "No space left on device")
        written(archive, name, content)

    monkeypatch.setattr(exchange, "_add", full)
    with pytest.raises(StoreError, match="No space left"):
        exchange.pack(sorted(store.iterdir()), tmp_path / "a.tar", weights=False)
    assert list(tmp_path.iterdir()) == []


def packed(store: Path, tmp_path: Path) -> tuple[Path, Path, str]:
    """(an archive of the first cell, another folder with it, its name)."""
    folder = sorted(store.iterdir())[0]
    exchange.pack([folder], tmp_path / "a.tar", weights=False)
    shutil.copytree(folder, tmp_path / "there" / folder.name)
    return tmp_path / "a.tar", tmp_path / "there", folder.name


def rewritten(folder: Path, change) -> None:
    """Change the cell.json of a folder, which then has no seal."""
    cell = json.loads((folder / "cell.json").read_text())
    change(cell)
    cell.pop("seal", None)
    (folder / "cell.json").write_text(json.dumps(cell))


@pytest.mark.parametrize("lacks", [["per_sample.npz"], ["per_class.csv"], ["per_sample.npz", "per_class.csv"]])
def test_a_cell_that_only_lacks_files_is_completed(store, tmp_path, lacks):
    archive, there, cell = packed(store, tmp_path)
    for name in lacks:
        (there / cell / name).unlink()
    assert bench("import", archive, "--results", there)[0] == 0
    assert content(there / cell) == content(store / cell)


def test_a_cell_that_has_no_evaluation_here_is_taken_as_a_whole(store, tmp_path):
    archive, there, cell = packed(store, tmp_path)
    for name in ("per_sample.npz", "per_class.csv"):
        (there / cell / name).unlink()
    (there / cell / "checkpoint.pt").write_text("of another training")
    rewritten(there / cell, lambda told: told.update(status="failed", evaluations={}, flags=[], weights="", files={}))
    code, said = bench("import", archive, "--results", there)
    assert (code, "1 cell imported" in said) == (0, True)
    assert content(there / cell) == content(store / cell)
    assert (there / "stale" / cell / "checkpoint.pt").read_text() == "of another training"
    assert bench("verify", "--results", there)[0] == 0


def test_evaluations_that_are_not_here_yet_are_added_and_none_is_taken(store, tmp_path):
    archive, there, cell = packed(store, tmp_path)
    key = next(key for key in json.loads((there / cell / "cell.json").read_text())["evaluations"] if "pgd" in key)
    rewritten(there / cell, lambda told: told["evaluations"].pop(key))
    table = there / cell / "per_class.csv"
    rows = table.read_text().splitlines(keepends=True)
    split, attack = key.split("/")
    table.write_text("".join(row for row in rows if f",{split},{attack}," not in row))
    exchange.pack([there / cell], tmp_path / "less.tar", weights=False)
    assert bench("import", archive, "--results", there)[0] == 0
    assert content(there / cell) == content(store / cell)
    code, said = bench("import", tmp_path / "less.tar", "--results", there)
    assert (code, "1 here already" in said) == (0, True)
    assert content(there / cell) == content(store / cell)


def test_other_bits_are_refused_with_what_differs(store, tmp_path):
    _, there, cell = packed(store, tmp_path)
    key, archive = "long-tailed/clean", tmp_path / "b.tar"
    rewritten(there / cell, lambda told: told["evaluations"][key].update(bits="1" * 16))
    exchange.pack([there / cell], archive, weights=False)
    rewritten(there / cell, lambda told: told["evaluations"][key].update(bits="0" * 16))
    before = content(there)
    code, said = bench("import", archive, "--results", there)
    assert (code, f"refused {cell}: other counts are here already ({key} differ)" in said) == (1, True)
    (there / cell / "cell.json").write_text("{")
    code, said = bench("import", archive, "--results", there)
    assert (code, f"refused {cell}: " in said, "cannot be" in said) == (1, True, True)
    assert content(there).keys() == before.keys()


@pytest.mark.parametrize("name", ["MyCE", "Ma méthode", "my method_2.0+Swa", "x" * 100])
def test_an_id_of_a_method_of_any_name_is_read_back(store, tmp_path, name):
    cell = f"{name}-digitslt-ir10-s0-0123456789"
    shutil.copytree(sorted(store.iterdir())[0], tmp_path / "here" / cell)
    exchange.pack([tmp_path / "here" / cell], tmp_path / "a.tar", weights=False)
    assert exchange.unpack(tmp_path / "a.tar", tmp_path / "there").new == [cell]
    assert content(tmp_path / "there") == content(tmp_path / "here")


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", "a\\b", "a\nb", "tunings", ""])
def test_a_name_that_could_lead_elsewhere_is_none(store, tmp_path, name):
    exchange.pack(sorted(store.iterdir())[:1], tmp_path / "a.tar", weights=False)
    cell = sorted(store.iterdir())[0].name
    quoted = json.dumps(name)[1:-1].encode()
    bad = altered(tmp_path / "a.tar", tmp_path / "b.tar", lambda n, b: [(n, b.replace(cell.encode(), quoted))])
    with pytest.raises(StoreError, match="no cell of this program"):
        exchange.unpack(bad, tmp_path / "there")
    assert not (tmp_path / "there").exists()


STUDY = Study("plain", {"dataset": "digitslt"}, 0, 0.1, "clean", ["lr log 0.01 1"])


def known(root: Path, *values: float) -> Path:
    """A results folder in which a tuning has trials of these values."""
    trials = [Trial(f"cell-{v}", f"plain[lr={v}]", {"lr": v}, "done", v, [v]) for v in values]
    tunings.keep(root, Tuning(STUDY, trials))
    return root


def tried(root: Path) -> list[float]:
    return [trial.value for trial in tunings.load(root, STUDY).trials]


def test_tunings_travel_and_go_on_where_their_trials_begin_alike(store, tmp_path):
    here = known(shutil.copytree(store, tmp_path / "here"), 0.1, 0.2)
    assert bench("export", tmp_path / "a.tar", "--results", here)[0] == 0
    empty, less, more, other = (tmp_path / name for name in ("empty", "less", "more", "other"))
    known(less, 0.1), known(more, 0.1, 0.2, 0.3), known(other, 0.2)
    for root, said_of in ((empty, "1 tuning."), (less, "1 tuning."), (more, "3 cells imported into")):
        code, said = bench("import", tmp_path / "a.tar", "--results", root)
        assert (code, said_of in said) == (0, True)
    assert (tried(empty), tried(less), tried(more)) == ([0.1, 0.2], [0.1, 0.2], [0.1, 0.2, 0.3])
    code, said = bench("import", tmp_path / "a.tar", "--results", other)
    assert (code, f"refused tunings/{STUDY.name}.json: other trials are here already" in said) == (1, True)
    assert tried(other) == [0.2]
    assert bench("export", tmp_path / "b.tar", "--results", empty)[0] == 0
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_of_chosen_cells_only_their_tunings_travel(store, tmp_path):
    here = known(shutil.copytree(store, tmp_path / "here"), 0.1)
    cell = sorted(store.iterdir())[0].name
    assert bench("export", tmp_path / "a.tar", cell, "--results", here)[0] == 0
    exchange.unpack(tmp_path / "a.tar", tmp_path / "there")
    assert not (tmp_path / "there" / "tunings").exists()
    tunings.keep(here, Tuning(STUDY, [Trial(cell, "plain[lr=1]", {"lr": 1}, "done", 0.5, [0.5])]))
    assert bench("export", tmp_path / "b.tar", cell, "--results", here)[0] == 0
    assert exchange.unpack(tmp_path / "b.tar", tmp_path / "there").tunings == [f"{STUDY.name}.json"]
    bad = altered(tmp_path / "b.tar", tmp_path / "c.tar", lambda n, b: [(n, b)] if "tunings" not in n else [])
    with pytest.raises(StoreError, match="it lacks tunings"):
        exchange.unpack(bad, tmp_path / "there")
