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
