"""`bench data export --format`: files in the forms of other programs, each read back as the same choice of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.cli import main
from bench.config import CellSpec
from bench.engine.images.subset import load_data, read
from bench.longtail import counts, read_indices

IR = 10.0


def export(target: Path, form: str, *more: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["data", "export", "digitslt", "--format", form, "--to", str(target), *more])
    return int(caught.value.code or 0)


def digits(selection: str):
    return load_data(CellSpec("ce", "digitslt", IR, "small-cnn", 0, selection=selection))


def drawn(shuffle) -> list[np.ndarray]:
    """Each class's ascending indices shuffled in place, classes ascending, cut by the law: their builders' rule."""
    labels = np.asarray(read("digitslt").train_labels)
    members = [np.flatnonzero(labels == c) for c in range(10)]
    for part in members:
        shuffle(part)
    law = counts(min(map(len, members)), IR, 10)
    return [part[:n] for part, n in zip(members, law, strict=True)]


def test_a_file_for_robustlt_is_what_its_loader_would_write(tmp_path):
    assert export(tmp_path / "a.npz", "robustlt", "--ir", "10", "--selection", "robustlt:102") == 0
    classes = drawn(np.random.default_rng(102).shuffle)
    with np.load(tmp_path / "a.npz") as found:
        assert set(found) == {"train_indices", "val_indices"}
        held = [int(len(part) * 0.2) for part in classes]
        parts = [part[: len(part) - n] for part, n in zip(classes, held, strict=True)]
        rest = [part[len(part) - n :] for part, n in zip(classes, held, strict=True)]
        assert np.array_equal(found["train_indices"], np.concatenate(parts))
        assert np.array_equal(found["val_indices"], np.concatenate(rest))
        assert found["train_indices"].dtype == np.int64


def test_a_file_of_the_builder_is_what_its_data_set_holds(tmp_path):
    assert export(tmp_path / "a.npz", "at-bsl", "--ir", "10", "--selection", "official-builder") == 0
    classes = drawn(np.random.RandomState(0).shuffle)
    with np.load(tmp_path / "a.npz") as found:
        assert np.array_equal(found["indices"], np.concatenate(classes))
        assert found["img_num_list"].tolist() == [len(part) for part in classes]
        assert np.array_equal(found["targets"], np.asarray(read("digitslt").train_labels)[found["indices"]])


@pytest.mark.parametrize("form", ["bench", "robustlt", "at-bsl"])
@pytest.mark.parametrize("selection", ["seeded:3", "robustlt:102", "official-builder"])
def test_every_form_is_read_back_as_the_same_images_in_the_same_order(tmp_path, form, selection):
    assert export(tmp_path / "a.npz", form, "--ir", "10", "--selection", selection) == 0
    there, back = digits(selection), digits(f"file:{tmp_path / 'a.npz'}")
    assert back.data_hash == there.data_hash
    assert back.train_index.tolist() == there.train_index.tolist()
    assert back.train_counts == there.train_counts


def test_their_test_split_is_not_in_their_files(tmp_path):
    assert export(tmp_path / "a.npz", "robustlt", "--ir", "10") == 0
    assert read_indices(tmp_path / "a.npz", "test") is None


@pytest.mark.parametrize(
    ("form", "name", "more", "said"),
    [
        ("robustlt", "a.npz", [], "RobustLT computes a class's images from the ratio"),
        ("at-bsl", "a.npz", ["--ir", "10", "--class-order", "reversed"], "export with --ir NUMBER"),
        ("at-bsl", "a.npz", ["--ir", "10", "--limit", "20"], "no --limit"),
        ("robustlt", "a.csv", ["--ir", "10"], "--format robustlt is an .npz"),
        ("robust-lt", "a.npz", ["--ir", "10"], "--format 'robust-lt' is not known. Did you mean 'robustlt'?"),
    ],
)
def test_a_choice_that_they_cannot_mean_is_one_sentence(tmp_path, capsys, form, name, more, said):
    assert export(tmp_path / name, form, *more) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / name).exists()
