"""From a cell to its images: counts, nesting, class order, hashes, limits, test splits."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from bench.api import Arrays
from bench.cli import group
from bench.config import CellSpec
from bench.engine.images.subset import check, choose, load_data
from bench.errors import DataError, UsageError

CIFAR_LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 5000))
CIFAR_TEST = np.random.default_rng(1).permutation(np.repeat(np.arange(10), 1000))
TAET_TEST = {
    10: (1000, 774, 599, 464, 359, 278, 215, 166, 129, 100),
    20: (1000, 716, 513, 368, 264, 189, 135, 97, 69, 50),
    50: (1000, 647, 419, 271, 175, 113, 73, 47, 30, 20),
    100: (1000, 599, 359, 215, 129, 77, 46, 27, 16, 10),
}


def spec(ir=10.0, **changes):
    return dataclasses.replace(CellSpec("ce", "digitslt", ir, "small-cnn", 0), **changes)


def sizes(parts):
    return tuple(len(part) for part in parts)


@pytest.mark.parametrize("ir", TAET_TEST)
def test_cifar10_test_splits_have_the_published_counts(ir):
    subset = choose(spec(float(ir)), CIFAR_LABELS, CIFAR_TEST, 10)
    assert sizes(subset.splits["long-tailed"]) == TAET_TEST[ir]
    assert sizes(subset.splits["balanced"]) == (1000,) * 10
    for c, chosen in enumerate(subset.train):
        assert set(CIFAR_LABELS[chosen]) == {c}
        assert len(np.unique(chosen)) == len(chosen)


@pytest.mark.parametrize("selection", ["seeded", "official-builder", "robustlt:102"])
def test_a_higher_ratio_is_a_subset_of_a_lower_one(selection):
    low, high = (choose(spec(ir, selection=selection), CIFAR_LABELS, CIFAR_TEST, 10) for ir in (10.0, 37.5))
    for a, b in zip(low.train, high.train, strict=True):
        assert set(b) <= set(a)
    for a, b in zip(low.splits["long-tailed"], high.splits["long-tailed"], strict=True):
        assert set(b) <= set(a)


def test_the_subset_does_not_depend_on_the_cells_seed_or_method():
    first = load_data(spec())
    for changes in ({"seed": 5}, {"method": "taet"}, {"model": "resnet18"}):
        other = load_data(spec(**changes))
        assert (other.subset_hash, other.data_hash) == (first.subset_hash, first.data_hash)
    assert load_data(spec(selection="seeded:1")).subset_hash != first.subset_hash
    assert load_data(spec(ir=20.0)).subset_hash != first.subset_hash


def test_cell_data_is_consistent():
    data = load_data(spec())
    assert data.image == (1, 8, 8)
    assert data.num_classes == 10
    assert data.train_images.dtype == torch.uint8
    assert data.train_labels.dtype == torch.int64
    assert torch.bincount(data.train_labels).tolist() == list(data.train_counts)
    assert data.train_counts == (110, 85, 65, 51, 39, 30, 23, 18, 14, 11)
    for split, index in data.splits.items():
        assert torch.bincount(data.test_labels[index]).tolist() == list(data.test_counts[split])
        assert torch.all(index[1:] > index[:-1])
    assert len(data.splits["balanced"]) == len(data.test_images) == 640
    assert len(data.data_hash) == len(data.subset_hash) == 16
    data.train_images[0] = 0  # owns its memory, and may be written
    assert load_data(spec()).data_hash == data.data_hash


def test_class_order_moves_names_labels_and_images_together():
    natural, reverse = load_data(spec()), load_data(spec(class_order="reversed"))
    assert reverse.class_names == natural.class_names[::-1]
    assert reverse.native_labels == tuple(range(9, -1, -1))
    assert reverse.train_counts == natural.train_counts
    assert torch.equal(reverse.test_labels, 9 - natural.test_labels)
    # class 9 is the head now: it keeps all its images, among them those it had as the tail
    as_tail = set(natural.train_index[natural.train_labels == 9].tolist())
    as_head = set(reverse.train_index[reverse.train_labels == 0].tolist())
    assert as_tail < as_head
    assert reverse.data_hash != natural.data_hash


@pytest.mark.parametrize(("limit", "train", "test"), [(20, 20, 20), (1000, 110, 64), (1, 1, 1)])
def test_limit_keeps_the_shape_of_the_tail(limit, train, test):
    data = load_data(spec(limit=limit))
    assert data.train_counts[0] == train
    assert data.test_counts["long-tailed"][0] == test
    assert set(data.test_counts["balanced"]) == {test}
    assert min(data.train_counts) >= 1
    if limit == 20:
        assert data.train_counts[-1] == 2
    whole = load_data(spec())
    assert set(data.train_index.tolist()) <= set(whole.train_index.tolist())


def test_natural_imbalance_is_ranked_by_size():
    train, test = np.repeat([0, 1, 2], [5, 40, 20]), np.repeat([0, 1, 2], [2, 9, 4])
    subset = choose(spec(None), train, test, 3)
    assert subset.native_labels == (1, 2, 0)
    assert sizes(subset.train) == (40, 20, 5)
    assert sizes(subset.splits["long-tailed"]) == (9, 4, 2)
    assert sizes(subset.splits["balanced"]) == (2, 2, 2)
    assert sizes(choose(spec(None, limit=20), train, test, 3).train) == (20, 10, 2)
    assert sizes(choose(spec(5.0), train, test, 3).train) == (5, 2, 1)
    with pytest.raises(UsageError, match="needs an imbalance ratio"):
        choose(spec(None, class_order="reversed"), train, test, 3)
    with pytest.raises(UsageError, match="at most 5"):
        choose(spec(50.0), train, test, 3)


def test_a_small_test_class_keeps_one_image():
    test = np.repeat(np.arange(10), 50)
    assert sizes(choose(spec(100.0), CIFAR_LABELS, test, 10).splits["long-tailed"])[-1] == 1


@pytest.mark.parametrize("suffix", ["npz", "csv"])
def test_export_is_read_back_as_the_same_subset(tmp_path, suffix):
    target = tmp_path / "out" / f"chosen.{suffix}"
    words = ["data", "export", "digitslt", "--ir", "20", "--class-order", "seed:3", "--selection", "seeded:4"]
    done = CliRunner().invoke(group, [*words, "--to", str(target)])
    assert done.exit_code == 0, done.output
    first = load_data(spec(ir=20.0, class_order="seed:3", selection="seeded:4"))
    assert first.subset_hash in done.output
    again = load_data(spec(ir=20.0, class_order="seed:3", selection=f"file:{target}"))
    assert again.subset_hash == first.subset_hash
    assert [f.name for f in target.parent.iterdir()] == [target.name]
    natural = load_data(spec(ir=None, selection=f"file:{target}"))
    assert sorted(natural.train_counts) == sorted(first.train_counts)
    with pytest.raises(DataError, match=r"chooses \[.*imbalance ratio 50 means"):
        load_data(spec(ir=50.0, class_order="seed:3", selection=f"file:{target}"))


def test_data_show_prints_counts_source_and_hashes():
    done = CliRunner().invoke(group, ["data", "show", "digitslt", "--ir", "50"])
    data = load_data(spec(ir=50.0))
    assert done.exit_code == 0, done.output
    for text in (data.source, data.data_hash, data.subset_hash):
        assert text in done.output
    tail = [line.split() for line in done.output.splitlines() if line.split()[:1] == ["9"]]
    assert tail == [["9", "9", "2", "1", "64", "9"]]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["show", "digitslt", "--ir", "1"], "above 1"),
        (["show", "digitslt", "--ir", "ten"], "'ten' is not a number above 1"),
        (["show", "digits"], "Did you mean 'digitslt'"),
        (["show", "digitslt", "--ir", "500"], "at most 110"),
        (["export", "digitslt", "--to", "x.txt"], "x.txt"),
    ],
)
def test_data_usage_errors(words, says):
    done = CliRunner().invoke(group, ["data", *words])
    assert isinstance(done.exception, UsageError)
    assert says in str(done.exception)


def test_data_root_is_argument_then_environment_then_cache(tmp_path, monkeypatch):
    from bench.datasets._files import data_root

    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "env"))
    assert data_root(tmp_path) == tmp_path
    assert data_root(None) == tmp_path / "env"
    monkeypatch.delenv("BENCH_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_root(None) == tmp_path / "cache" / "bench"


def test_check_names_the_empty_class():
    images, labels = np.zeros((4, 8, 8, 1), np.uint8), np.array([0, 0, 2, 2])
    with pytest.raises(DataError, match=r"class 1 \('one'\) has no images"):
        check(Arrays(images, labels, images, labels, ("zero", "one", "two"), "x"), "mine")


def test_golden_counts_are_reached_from_real_labels():
    """The 100-class counts of the paper's formula, from labels as CIFAR-100 has them."""
    from pathlib import Path

    golden = json.loads((Path(__file__).parents[1] / "datasets" / "longtail.json").read_text())["counts"]
    train, test = np.repeat(np.arange(100), 500), np.repeat(np.arange(100), 100)
    for ir in (10, 100):
        subset = choose(spec(float(ir)), train, test, 100)
        assert list(sizes(subset.train)) == golden[f"cifar100_ir{ir}"]["train"]
        assert list(sizes(subset.splits["long-tailed"])) == golden[f"cifar100_ir{ir}"]["test"]
