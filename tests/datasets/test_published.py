"""CIFAR pickles, MedMNIST files, digits and image folders, each written here in its published format."""

import hashlib
import importlib.util
import pickle

import numpy as np
import pytest
import torchvision
from PIL import Image

from bench.config import CellSpec
from bench.engine.images.subset import check, load_data
from bench.errors import DataError, UsageError
from bench.plugins import make_dataset as dataset
from bench.seeding import isolated

RNG = np.random.default_rng(0)


def md5(path):
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """A data folder with CIFAR-10 in its own format (two training batches of 20), and torchvision expecting it."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = {}

    def batch(name, n):
        pixels[name] = RNG.integers(0, 256, (n, 3072), dtype=np.uint8)
        content = {"batch_label": name, "labels": [i % 10 for i in range(n)], "data": pixels[name], "filenames": []}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
        return [name, md5(folder / name)]

    train = [batch("data_batch_1", 20), batch("data_batch_2", 20)]
    test = [batch("test_batch", 10)]
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}, protocol=2))
    known = torchvision.datasets.CIFAR10
    monkeypatch.setattr(known, "train_list", train)
    monkeypatch.setattr(known, "test_list", test)
    monkeypatch.setattr(known, "meta", known.meta | {"md5": md5(folder / "batches.meta")})
    return tmp_path, folder, pixels


def test_cifar_pickles(cifar):
    root, _, pixels = cifar
    read = dataset("cifar10lt", root).load()
    check(read, "cifar10lt")
    assert read.source == "cifar10"
    assert read.class_names[:2] == ("airplane", "automobile")
    assert read.train_labels.tolist() == [i % 10 for i in range(20)] * 2
    # published layout: 1024 red, then 1024 green, then 1024 blue, row by row
    assert np.array_equal(read.train_images[20], pixels["data_batch_2"][0].reshape(3, 32, 32).transpose(1, 2, 0))
    data = load_data(CellSpec("ce", "cifar10lt", 2.0, "resnet18", 0), root)
    assert data.train_counts == (4, 3, 3, 3, 2, 2, 2, 2, 2, 2)
    assert data.source == "cifar10"


def test_cifar_damaged_and_missing(cifar):
    root, folder, _ = cifar
    (folder / "data_batch_2").write_bytes(b"\x00" + (folder / "data_batch_2").read_bytes()[1:])
    with pytest.raises(DataError, match=r"data_batch_2 is damaged \(wrong MD5\).*bench fetch cifar10lt"):
        dataset("cifar10lt", root).load()
    (folder / "data_batch_2").unlink()
    with pytest.raises(DataError, match="data_batch_2 does not exist; run `bench fetch cifar10lt`"):
        dataset("cifar10lt", root).load()


def medmnist_file(path, counts, test_counts, channels=3, side=28):
    def split(per_class):
        labels = np.repeat(np.arange(len(per_class)), per_class).astype(np.uint8)[:, None]
        shape = (len(labels), side, side) if channels == 1 else (len(labels), side, side, channels)
        return RNG.integers(0, 256, shape, dtype=np.uint8), labels

    content = {}
    for name, per_class in (("train", counts), ("val", test_counts), ("test", test_counts)):
        content[f"{name}_images"], content[f"{name}_labels"] = split(per_class)
    np.savez_compressed(path, **content)


DERMA = (228, 359, 769, 80, 779, 4693, 99)


def test_dermamnist_is_ranked_by_its_own_counts(tmp_path):
    medmnist_file(tmp_path / "dermamnist.npz", DERMA, (6, 10, 22, 3, 22, 134, 4), side=4)
    assert dataset("dermamnist", tmp_path).facts().native_ir == pytest.approx(58.66, abs=0.005)
    data = load_data(CellSpec("ce", "dermamnist", None, "resnet18", 0), tmp_path)
    assert data.train_counts == tuple(sorted(DERMA, reverse=True))
    assert data.native_labels == (5, 4, 2, 1, 0, 6, 3)
    assert data.class_names[0] == "melanocytic nevi"
    assert data.test_counts == {"long-tailed": (134, 22, 22, 10, 6, 4, 3), "balanced": (3,) * 7}
    assert data.source.startswith("dermamnist (not the published file: MD5 ")


def test_dermamnist_counts_are_verified(tmp_path):
    medmnist_file(tmp_path / "dermamnist.npz", (228, 359, 769, 80, 779, 4692, 99), (6, 10, 22, 3, 22, 134, 4), side=4)
    with pytest.raises(DataError, match=r"4692.*DermaMNIST has .*4693.*ratio 58\.66"):
        dataset("dermamnist", tmp_path).load()


def test_medmnist_grey_set_by_the_law(tmp_path):
    medmnist_file(tmp_path / "organamnist.npz", [20] * 11, [5] * 11, channels=1)
    data = load_data(CellSpec("ce", "medmnist:organamnist", 10.0, "resnet18", 0), tmp_path)
    assert data.image == (1, 28, 28)
    assert data.train_counts[0] == 20
    assert data.train_counts[-1] == 2
    facts = dataset("medmnist:organamnist", tmp_path).facts()
    assert (facts.classes, facts.image, facts.train_max, facts.test_max) == (11, (1, 28, 28), 20, 5)


def test_medmnist_says_when_the_file_is_the_published_one(tmp_path, monkeypatch):
    from bench.datasets import _medmnist

    medmnist_file(tmp_path / "bloodmnist.npz", [3] * 8, [2] * 8)
    table = _medmnist.catalogue()
    known = table | {"bloodmnist": table["bloodmnist"] | {"MD5": md5(tmp_path / "bloodmnist.npz")}}
    monkeypatch.setattr(_medmnist, "catalogue", lambda: known)
    assert dataset("medmnist:bloodmnist", tmp_path).load().source == "bloodmnist"


@pytest.mark.parametrize("name", ["chestmnist", "organmnist3d", "mnist", "bloodmnist_65"])
def test_medmnist_sets_that_do_not_fit(name):
    with pytest.raises(UsageError, match=r"2D single-label set.*bloodmnist"):
        dataset(f"medmnist:{name}", None).facts()


def test_medmnist_is_not_imported(tmp_path, monkeypatch):
    import sys

    assert importlib.util.find_spec("medmnist")
    monkeypatch.delitem(sys.modules, "medmnist", raising=False)
    dataset("medmnist:bloodmnist", tmp_path).facts()
    assert "medmnist" not in sys.modules


def test_digits_are_scikit_learns(tmp_path):
    with isolated(0, "test"):  # scikit-learn's import draws from `random`
        from sklearn.datasets import load_digits

        original = load_digits()
    source = dataset("digitslt", tmp_path)
    read = source.load()
    check(read, "digitslt")
    assert np.bincount(read.train_labels).tolist() == [110] * 10
    assert np.bincount(read.test_labels).tolist() == [64] * 10
    first_three = np.flatnonzero(original.target == 3)
    assert np.array_equal(read.train_images[330, ..., 0], np.rint(original.images[first_three[0]] * 255 / 16))
    assert np.array_equal(np.rint(read.test_images[-1, ..., 0] / 255 * 16), original.images[original.target == 9][-1])
    pictures = {image.tobytes() for image in read.train_images}
    assert not any(image.tobytes() in pictures for image in read.test_images)
    assert source.fetch().is_file()


def picture(path, side=8, mode="RGB", value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (side, side, 3) if mode == "RGB" else (side, side)
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)


def test_folder_with_a_stated_split(tmp_path):
    for c, n in (("cat", 10), ("ant", 7)):
        for i in range(n):
            picture(tmp_path / c / f"{i:02}.png", value=10 * i)
    read = dataset(f"folder:{tmp_path}", None).load()
    assert read.class_names == ("ant", "cat")
    assert np.bincount(read.train_labels).tolist() == [6, 8]
    assert read.test_images[:, 0, 0, 0].tolist() == [40, 40, 90]  # the 5th of each class, and the 10th of cat
    assert read.source == f"folder {tmp_path.name}"
    facts = dataset(f"folder:{tmp_path}", None).facts()
    assert (facts.classes, facts.image, facts.train_max, facts.test_max) == (2, (3, 8, 8), 6, 1)


def test_folder_with_train_and_test_grey(tmp_path):
    for split in ("train", "test"):
        for c in "ab":
            picture(tmp_path / split / c / "1.png", mode="L", value=ord(c))
    read = dataset(f"folder:{tmp_path}", None).load()
    assert read.train_images.shape == (2, 8, 8, 1)
    assert read.test_images[:, 0, 0, 0].tolist() == [ord("a"), ord("b")]


def test_folder_of_several_sizes_needs_one(tmp_path):
    for split in ("train", "test"):
        picture(tmp_path / split / "a" / "1.png", side=8, value=9)
        picture(tmp_path / split / "b" / "1.png", side=12, value=7)
    with pytest.raises(DataError, match=r"is \(12, 12\), .* is \(8, 8\).*folder:PATH@32"):
        dataset(f"folder:{tmp_path}", None).load()
    read = dataset(f"folder:{tmp_path}@4", None).load()
    assert read.train_images.shape == (2, 4, 4, 3)
    assert read.source.endswith("scaled to 4x4")


def test_folder_faults(tmp_path):
    with pytest.raises(UsageError, match="folder that exists"):
        dataset(f"folder:{tmp_path / 'no'}", None).load()
    picture(tmp_path / "train" / "a" / "1.png")
    picture(tmp_path / "test" / "b" / "1.png")
    with pytest.raises(DataError, match="make them equal"):
        dataset(f"folder:{tmp_path}", None).load()
    broken = tmp_path / "x" / "a" / "1.png"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1\.png cannot be read"):
        dataset(f"folder:{tmp_path / 'x'}", None).load()
    (tmp_path / "empty" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match="has no image"):
        dataset(f"folder:{tmp_path / 'empty'}", None).load()
