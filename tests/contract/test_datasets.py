"""What every registered data set must do, found through the registry."""

import dataclasses

import pytest

from bench.engine.images.subset import check
from bench.errors import DataError, UsageError
from bench.plugins import make_dataset as dataset
from bench.registry import registry

NAMES = registry("datasets").names()
#: those that need an argument, with one; of the last two there is no file
ARGUMENTS = {"medmnist": "medmnist:bloodmnist", "archive": "archive:none", "folder": "folder:none"}
NEED_A_FILE = ("archive", "folder")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    monkeypatch.setenv("BENCH_OFFLINE", "1")


@pytest.mark.parametrize("name", NAMES)
def test_described_in_one_line(name):
    assert len(registry("datasets").origin(name).describe()) > 20


@pytest.mark.parametrize("name", NAMES)
def test_an_argument_is_wanted_or_refused(name):
    wants = registry("datasets").get(name).argument_name
    with pytest.raises(UsageError, match="lacks its argument" if wants else "takes no argument"):
        dataset(name if wants else f"{name}:x", None)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in NEED_A_FILE])
def test_facts_are_known_without_files(name, tmp_path):
    facts = dataset(ARGUMENTS.get(name, name), tmp_path).facts()
    assert facts.classes >= 2
    assert facts.image[0] in (1, 3)
    assert 0 < facts.eps < 1
    assert facts.train_max >= 0
    assert facts.native_ir is None or facts.native_ir > 1
    assert facts.default_model in registry("models").names()
    assert dataclasses.is_dataclass(facts)


def outcome(action):
    """(result, "") or (None, the sentence of the error)."""
    try:
        return action(), ""
    except (DataError, UsageError) as error:
        return None, str(error)


@pytest.mark.parametrize("name", NAMES)
def test_load_gives_sound_arrays_or_one_sentence(name, tmp_path):
    source = dataset(ARGUMENTS.get(name, name), tmp_path)
    arrays, complaint = outcome(source.load)
    if arrays is None:
        assert "\n" not in complaint
        assert complaint.endswith(".")
        assert any(word in complaint for word in ("bench fetch", "place it", "write "))
        return
    check(arrays, name)
    assert arrays.source
    facts = source.facts()
    assert facts.classes == len(arrays.class_names)
    assert facts.image == (arrays.train_images.shape[3], *arrays.train_images.shape[1:3])


@pytest.mark.parametrize("name", NAMES)
def test_fetch_offline_gives_a_path_or_names_what_to_do(name, tmp_path):
    path, complaint = outcome(dataset(ARGUMENTS.get(name, name), tmp_path).fetch)
    assert path.exists() if path else "by hand" in complaint or "nothing to download" in complaint
    assert list(tmp_path.iterdir()) == []
