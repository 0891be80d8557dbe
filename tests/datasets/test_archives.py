"""Array archives: read as they are, refused in one sentence, never renamed."""

import io
import zipfile

import numpy as np
import pytest

from bench.api import Arrays, Dataset, DatasetFacts
from bench.cli import main
from bench.config import CellSpec
from bench.engine.images.subset import check, load_data
from bench.engine.life.inputs import Inputs
from bench.errors import DataError, UsageError
from bench.plugins import dataset_facts
from bench.plugins import make_dataset as dataset
from bench.registry import registry

RNG = np.random.default_rng(0)


def arrays(n=30, test=15, side=8, channels=3, classes=3, **changes):
    made = {
        "train_images": RNG.integers(0, 256, (n, side, side, channels), dtype=np.uint8),
        "train_labels": (np.arange(n) % classes).astype(np.uint8),
        "test_images": RNG.integers(0, 256, (test, side, side, channels), dtype=np.uint8),
        "test_labels": (np.arange(test) % classes).astype(np.uint8),
    }
    return {k: v for k, v in (made | changes).items() if v is not None}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archive_by_path_and_by_name(tmp_path, save):
    content = arrays(
        class_names=np.array(["a", "b", "c"]), source="made up", val_images=np.zeros((2, 8, 8, 3), np.uint8)
    )
    save(tmp_path / "own.npz", **content)
    for found in (dataset(f"archive:{tmp_path / 'own.npz'}", None), dataset("archive:own", tmp_path)):
        read = found.load()
        check(read, "own")
        assert read.source == "made up"
        assert read.class_names == ("a", "b", "c")
        for key in ("train_images", "train_labels", "test_images", "test_labels"):
            assert np.array_equal(getattr(read, key), content[key])
        facts = found.facts()
        assert (facts.classes, facts.image, facts.train_max, facts.test_max) == (3, (3, 8, 8), 10, 5)
        assert facts.native_ir is None  # the law may be applied, or not: it is the user's choice


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"extra_labels": np.arange(3)}, "one integer for each of the 4 extra images"),
        ({"extra_labels": np.zeros(4)}, "extra_labels is float64"),
        ({"extra_images": np.zeros((4, 8, 8, 2), np.uint8)}, "extra_images is uint8 of shape"),
    ],
)
def test_extra_images_that_cannot_be_are_refused_in_a_sentence(tmp_path, changes, said):
    np.savez(
        tmp_path / "own.npz", **arrays(), **({"extra_images": RNG.integers(0, 9, (4, 8, 8, 3), np.uint8)} | changes)
    )
    with pytest.raises(DataError, match=said):
        dataset("archive:own", tmp_path).extra()


def test_extra_images_without_labels_are_unknown(tmp_path):
    np.savez(tmp_path / "own.npz", **arrays(), extra_images=np.ones((4, 8, 8), np.uint8))
    np.savez(tmp_path / "none.npz", **arrays())
    found = dataset("archive:own", tmp_path)
    assert found.extra().labels.tolist() == [-1] * 4
    assert found.extra().images.shape == (4, 8, 8, 1)
    assert found.facts().extra == 4
    assert dataset("archive:none", tmp_path).extra() is None
    assert dataset("archive:none", tmp_path).facts().extra == 0


def test_images_stored_plainly_are_mapped_not_read(tmp_path):
    np.savez(tmp_path / "plain.npz", **arrays())
    assert isinstance(dataset("archive:plain", tmp_path).load().train_images, np.memmap)


def test_column_labels_grey_images_and_floats(tmp_path):
    grey = RNG.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    changed = arrays(
        train_images=grey,
        train_labels=(np.arange(30) % 3)[:, None],
        test_images=(RNG.integers(0, 256, (15, 8, 8, 1)) / 255).astype(np.float32),
    )
    np.savez(tmp_path / "grey.npz", **changed)
    read = dataset("archive:grey", tmp_path).load()
    check(read, "grey")
    assert read.train_images.shape == (30, 8, 8, 1)
    assert np.array_equal(read.test_images, np.rint(changed["test_images"] * 255).astype(np.uint8))
    assert read.source == "archive grey.npz"
    assert read.class_names == ("0", "1", "2")


def floats(value):
    images = np.zeros((30, 8, 8, 3), np.float32)
    images[3, 2, 1, 0] = value
    return images


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"test_labels": None}, "has no test_labels"),
        ({"train_images": floats(np.nan)}, "NaN or infinite"),
        ({"train_images": floats(np.inf)}, "NaN or infinite"),
        ({"train_images": floats(1.5)}, "from 0 to 1.5"),
        ({"train_images": floats(-0.5)}, "from -0.5 to 0"),
        ({"train_images": floats(0.3333)}, "multiples of 1/255"),
        ({"train_images": np.zeros((30, 8, 8, 3), np.int32)}, "train_images is int32"),
        ({"train_images": np.zeros((30, 8, 8, 4), np.uint8)}, r"shape \(30, 8, 8, 4\)"),
        ({"train_images": np.zeros((30, 64), np.uint8)}, r"shape \(30, 64\)"),
        ({"test_images": np.zeros((15, 9, 9, 3), np.uint8)}, "make them equal"),
        ({"train_labels": np.zeros((30, 3), np.uint8)}, "one integer an image"),
        ({"train_labels": np.zeros(30)}, "one integer an image"),
        ({"train_labels": (np.arange(30) % 3).astype("m8[s]")}, "train_labels is timedelta64"),
        ({"train_images": floats(1.000001)}, "from 0 to 1.00000"),
        ({"train_labels": np.arange(29) % 3}, "30 integers are needed"),
        ({"train_labels": np.arange(30) % 2}, "class 2 .*train split.*no images|no images"),
        ({"train_labels": np.arange(30) % 3 - 1}, "train_labels goes from -1 to 1 for 30 images; number the classes"),
        ({"train_labels": np.arange(30) % 3 + 2**40}, "from 1099511627776 to 1099511627778 for 30 images"),
        ({"test_labels": (np.arange(15) % 3).astype(np.uint64) + np.uint64(2**63)}, "from 9223372036854775808"),
        ({"train_images": np.zeros((0, 8, 8, 3), np.uint8), "train_labels": np.zeros(0, int)}, "train_labels is empty"),
        ({"class_names": np.array(["a", "b"])}, "2 classes need labels from 0 to 1"),
        ({"train_images": np.array([{}, None], dtype=object)}, "not a plain array"),
    ],
)
def test_wrong_content_is_one_sentence(tmp_path, changes, says):
    np.savez(tmp_path / "bad.npz", **arrays(**changes))
    with pytest.raises(DataError, match=says) as caught:
        check(dataset("archive:bad", tmp_path).load(), "archive:bad")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "bad.npz").exists()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("harm", ["cut", "flipped"])
def test_damaged_archives_are_named_and_left_where_they_are(tmp_path, save, harm):
    path = tmp_path / "hurt.npz"
    save(path, **arrays())
    content = bytearray(path.read_bytes())
    middle = 400  # inside the first images
    path.write_bytes(
        content[: len(content) // 2]
        if harm == "cut"
        else bytes(content[:middle] + b"\x00\x01\x02\x03" + content[middle + 4 :])
    )
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"hurt\.npz is damaged .*write it again"):
        dataset("archive:hurt", tmp_path).load()
    assert [f.name for f in tmp_path.iterdir()] == ["hurt.npz"]
    assert path.read_bytes() == before


def test_a_member_that_ends_before_its_last_value_is_not_read_on_into_the_next(tmp_path):
    with zipfile.ZipFile(tmp_path / "short.npz", "w") as archive:
        for name, value in arrays().items():
            member = io.BytesIO()
            np.save(member, value)
            archive.writestr(f"{name}.npy", member.getvalue()[: -50 if name == "train_images" else None])
    with pytest.raises(DataError, match=r"is damaged \(train_images: it ends before its last value\)"):
        dataset("archive:short", tmp_path).load()


def test_a_member_that_stands_twice_is_refused(tmp_path):
    np.savez(tmp_path / "twice.npz", **arrays())
    with zipfile.ZipFile(tmp_path / "twice.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("test_labels.npy", b"x")
    with pytest.raises(DataError, match=r"holds test_labels\.npy twice"):
        dataset("archive:twice", tmp_path).facts()


def test_members_without_their_ending_are_no_arrays(tmp_path):
    with zipfile.ZipFile(tmp_path / "bare.npz", "w") as archive:
        for name in arrays():
            archive.writestr(name, b"x")
    with pytest.raises(DataError, match=r"has no train_images, .* \(it has no array\)"):
        dataset("archive:bare", tmp_path).facts()


def test_what_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.npz does not exist; place it there"):
        dataset("archive:nothing", tmp_path).facts()
    with pytest.raises(UsageError, match="archive:NAME or archive:PATH"):
        dataset("archive", tmp_path).load()


@pytest.mark.parametrize(
    "changes",
    [
        {"train_images": np.zeros((30, 64), np.uint8)},
        {"train_labels": np.arange(30) % 3 - 1},
        {"train_labels": np.arange(30) % 3 + 2**40},
        {"train_images": np.array(3)},
        {"train_images": np.zeros((0, 8, 8, 3), np.uint8), "train_labels": np.zeros(0, int)},
    ],
    ids=["flat", "negative", "2^40", "scalar", "empty"],
)
def test_every_verb_that_reads_data_refuses_it_before_it_counts(tmp_path, changes):
    np.savez(tmp_path / "bad.npz", **arrays(**changes))
    with pytest.raises(DataError):
        dataset("archive:bad", tmp_path).facts()


VERBS = (
    ["data", "show", "{}", "--ir", "2"],
    ["show", "dataset", "{}"],
    ["run", "--methods", "ce", "--datasets", "{}", "--irs", "2", "--dry-run"],
    ["tune", "ce", "--dataset", "{}", "--ir", "2"],
)


@pytest.mark.parametrize("words", VERBS, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("field", "value", "said"), [(8, 9, "compression method is not supported"), (6, 1, "encrypted")]
)
def test_an_archive_that_cannot_be_unpacked_is_one_sentence_of_every_verb(
    tmp_path, monkeypatch, capsys, words, field, value, said
):
    np.savez_compressed(tmp_path / "locked.npz", **arrays())
    content = bytearray((tmp_path / "locked.npz").read_bytes())
    for mark, at in ((b"PK\3\4", field), (b"PK\1\2", field + 2)):  # each member's header, and its line in the list
        for start in [i for i in range(len(content)) if content[i : i + 4] == mark]:
            content[start + at] = value
    (tmp_path / "locked.npz").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main([word.format("archive:locked.npz") for word in words])
    assert caught.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("bench: data set 'archive:locked.npz' cannot be read (")
    assert said in error
    assert error.count("\n") == 1


class Broken(Dataset):
    """Raises what no data set should."""

    name = "broken"
    at = ""

    def raised(self, where):
        if where == self.at:
            raise KeyError("pixels")

    def facts(self):
        self.raised("facts")
        return DatasetFacts(3, (3, 8, 8), 10, 5)

    def load(self):
        self.raised("load")
        made = arrays(train_images=None) if self.at == "check" else arrays()
        return Arrays(*map(made.get, ("train_images", "train_labels", "test_images", "test_labels")), "abc", "")

    def extra(self):
        self.raised("extra")

    def files(self):
        self.raised("files")
        yield from ()


@pytest.fixture
def broken(monkeypatch):
    """Its specification; what `at` names is what fails."""
    registry("datasets").add("broken", Broken)
    monkeypatch.setattr("bench.engine.images.subset.needs", lambda _: {"extra"})
    yield CellSpec("ce", "broken", 2.0, "small-cnn", 0)
    registry("datasets").discard("broken")


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("facts", "KeyError: 'pixels'"),
        ("load", "KeyError: 'pixels'"),
        ("extra", "KeyError: 'pixels'"),
        ("check", "AttributeError: 'NoneType'"),
    ],
)
def test_whatever_a_data_set_raises_is_one_sentence(broken, monkeypatch, at, said):
    monkeypatch.setattr(Broken, "at", at)
    with pytest.raises(DataError, match="data set 'broken' cannot be read") as caught:
        dataset_facts("broken", None) if at == "facts" else load_data(broken)
    assert said in str(caught.value)


def test_a_data_set_that_cannot_name_its_files_has_no_mark_of_them(broken, monkeypatch):
    monkeypatch.setattr(Broken, "at", "files")
    assert "data" not in Inputs(None).now(broken)


def test_class_names_are_text_on_one_line(tmp_path):
    names = np.array([b"cat", "d\u00f6g".encode(), b"\xff"])
    np.savez(tmp_path / "bytes.npz", **arrays(class_names=names))
    assert dataset("archive:bytes", tmp_path).load().class_names == ("cat", "d\u00f6g", "\\xff")
    np.savez(tmp_path / "lines.npz", **arrays(class_names=np.array(["a\nb", " c\r\n d ", "cat"])))
    assert dataset("archive:lines", tmp_path).load().class_names == ("a b", "c d", "cat")
