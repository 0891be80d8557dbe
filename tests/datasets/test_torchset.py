"""Any pair of torch data sets: read exactly, or refused by name; and a whole run from one."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.cli import main
from bench.errors import BenchError
from bench.plugins import make_dataset
from bench.store.results import Results

MODULE = '''
import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

PIXELS = (np.arange(12 * 8 * 8) * 7 % 256).astype(np.uint8).reshape(12, 8, 8)
LABELS = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2])


class Plain(Dataset):
    classes = ["zero", "one", "two"]

    def __init__(self, give):
        self.give = give

    def __len__(self):
        return len(LABELS)

    def __getitem__(self, i):
        return self.give(i)


def pair(give):
    return Plain(give), Plain(give)


def floats():
    tensors = torch.from_numpy(PIXELS)[:, None] / 255
    return TensorDataset(tensors, torch.from_numpy(LABELS)), TensorDataset(tensors, torch.from_numpy(LABELS))


def bytes_():
    return pair(lambda i: (torch.from_numpy(PIXELS[i])[None], int(LABELS[i])))


def pictures():
    return pair(lambda i: (Image.fromarray(PIXELS[i]), int(LABELS[i])))


def arrays():
    return pair(lambda i: (PIXELS[i], LABELS[i]))


class Label:
    names = ["zero", "one", "two"]


class Hub(Plain):
    """As a data set of Hugging Face shows itself."""

    classes = None
    features = {"img": object(), "label": Label()}


def hub():
    give = lambda i: {"img": Image.fromarray(PIXELS[i]), "label": int(LABELS[i])}
    return Hub(give), Hub(give)


def noisy():
    return pair(lambda i: (torch.randint(0, 256, (1, 8, 8)).to(torch.uint8), 0))


def normalised():
    return pair(lambda i: (torch.from_numpy(PIXELS[i])[None] / 128 - 1, int(LABELS[i])))


def sizes():
    return pair(lambda i: (np.zeros((8 + i, 8), np.uint8), 0))


def soft():
    return pair(lambda i: (PIXELS[i], np.array([0.2, 0.8])))


def alone():
    return Plain(lambda i: None)


def odd():
    return pair(lambda i: PIXELS[i])


def brain():
    return pair(lambda i: (torch.zeros(1, 8, 8, dtype=torch.bfloat16, requires_grad=True), int(LABELS[i])))


def sparse():
    return pair(lambda i: (torch.zeros(8, 8).to_sparse(), 0))


def deep():
    return pair(lambda i: (PIXELS[i][None, :, :, None], 0))


def far():
    return pair(lambda i: (PIXELS[i], 10**9))


def named(*classes):
    made = pair(lambda i: (PIXELS[i], int(LABELS[i])))
    for one, names in zip(made, classes):
        one.classes = names
    return made


def few():
    return named(["a", "b"], ["a", "b"])


def others():
    return named(["a", "b", "c"], ["a", "c", "b"])


def indexed():
    return named({"one": 1, "zero": 0, "two": 2}, np.array(["zero", "one", "two"]))


def late():
    return pair(lambda i: (PIXELS[i] if i < 11 else torch.randint(0, 256, (8, 8)).numpy().astype(np.uint8), 0))


def swapped():
    return pair(lambda i: (int(LABELS[i]), PIXELS[i]))


def broken():
    return pair(lambda i: 1 / 0)


def raises():
    raise OSError("no such file")


def endless():
    return iter([1]), iter([2])
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "torchset_pairs.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield importlib.import_module("bench.datasets.torchset")
    sys.modules.pop("torchset_pairs", None)
    importlib.import_module("bench.datasets.torchset")._KNOWN.clear()


@pytest.mark.parametrize("factory", ["floats", "bytes_", "pictures", "arrays", "hub"])
def test_every_form_gives_the_same_pixels(here, factory):
    made = make_dataset(f"torchset:torchset_pairs:{factory}", None)
    got, facts = made.load(), made.facts()
    pixels = (np.arange(12 * 8 * 8) * 7 % 256).astype(np.uint8).reshape(12, 8, 8, 1)
    assert np.array_equal(got.train_images, pixels)
    assert got.train_images.dtype == np.uint8
    assert np.array_equal(got.test_labels, [0] * 6 + [1] * 3 + [2] * 3)
    assert got.class_names == (("0", "1", "2") if factory == "floats" else ("zero", "one", "two"))
    assert (facts.classes, facts.image, facts.own_train, facts.train_max) == (3, (1, 8, 8), (6, 3, 3), 3)
    assert facts.default_model == "small-cnn"
    assert [path.name for path in made.files()] == ["torchset_pairs.py"]


@pytest.mark.parametrize(
    ("argument", "pattern"),
    [
        ("torchset_pairs:noisy", "training item 0 changes from one reading to the next; write it without augmentation"),
        ("torchset_pairs:normalised", "float pixels from -1 to"),
        ("torchset_pairs:sizes", r"training item 1 is \(9, 8, 1\), item 0 \(8, 8, 1\)"),
        ("torchset_pairs:soft", "has the label array"),
        ("torchset_pairs:alone", "returned Plain; write `return training, test`"),
        ("torchset_pairs:odd", r"training item 0 is no \(image, label\)"),
        ("torchset_pairs:sparse", "training item 0 holds no plain values .TypeError"),
        ("torchset_pairs:deep", r"training item 0 has an image of shape \(1, 8, 8, 1\)"),
        ("torchset_pairs:far", "the training set of .* has the label 1000000000 among 12 images"),
        ("torchset_pairs:few", "has 2 names of classes and labels up to 2; name each class"),
        ("torchset_pairs:others", r"other classes in its test set \(a, c, b\) than in its training set \(a, b, c\)"),
        ("torchset_pairs:late", "training item 11 changes from one reading to the next"),
        ("torchset_pairs:swapped", r"training item 0 has the label array\(.{,40}\.\.\.; write"),
        ("torchset_pairs:broken", "training item 0 cannot be read .ZeroDivisionError"),
        ("torchset_pairs:raises", "failed .OSError: no such file"),
        ("torchset_pairs:endless", "without a length"),
        ("torchset_pairs:absent", "cannot be imported"),
        ("nowhere_at_all:f", "cannot be imported"),
        ("torchset_pairs", "write torchset:package.module:factory"),
        ("a b:c", "write torchset:package.module:factory"),
    ],
)
def test_what_has_no_exact_form_is_refused_by_name(here, argument, pattern):
    with pytest.raises(BenchError, match=pattern) as said:
        make_dataset(f"torchset:{argument}", None).load()
    assert "\n" not in str(said.value)


def test_files_that_the_function_reads_are_part_of_the_data(here, tmp_path):
    np.savez(tmp_path / "pixels.npz", x=np.zeros((12, 8, 8), np.uint8))
    module = tmp_path / "torchset_pairs.py"
    module.write_text(
        MODULE
        + """
def stored():
    open("log.txt", "w").close()
    return pair(lambda i: (np.load("pixels.npz")["x"][i], int(LABELS[i])))
"""
    )
    made = make_dataset("torchset:torchset_pairs:stored", None)
    assert [path.name for path in made.files()] == ["torchset_pairs.py", "pixels.npz"]


def test_classes_may_be_a_table_of_labels_or_an_array(here):
    assert make_dataset("torchset:torchset_pairs:indexed", None).load().class_names == ("zero", "one", "two")


def test_short_floats_that_ask_for_gradients_are_pixels(here):
    assert (make_dataset("torchset:torchset_pairs:brain", None).load().train_images == 0).all()


def test_a_run_from_a_torch_data_set(here, tmp_path, capsys):
    """In this process and in one of its own, which starts where the command does: the same bytes."""
    words = ["run", "--methods", "ce", "--datasets", "torchset:torchset_pairs:hub", "--irs", "natural", "--seeds", "0",
             "--epochs", "1", "--attacks", "clean", "--device", "cpu"]  # fmt: skip
    for jobs in ("0", "1"):
        with pytest.raises(SystemExit) as ended:
            main([*words, "--jobs", jobs, "--results", str(tmp_path / jobs)])
        assert ended.value.code == 0, capsys.readouterr().err
    a, b = (next((tmp_path / jobs).glob("ce-*/per_class.csv")).read_bytes() for jobs in "01")
    assert a == b
    rows = Results(tmp_path / "0").rows
    assert set(rows["source"]) == {"torchset torchset_pairs:hub"}
    assert set(rows["class_name"]) == {"zero", "one", "two"}
