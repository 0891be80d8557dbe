"""A store damaged at random, small: many more, and every verb, with `benchmarks/mutations.py`."""

from __future__ import annotations

import shutil
import sys
from collections import Counter

import pytest

from bench.seeding import numpy_stream
from bench.store.results import Results

COUNT = 120
#: of so many mutations one is shown to every verb that is quick
EVERY = 8
SLOW = ("report", "findings", "publish")


@pytest.fixture
def mutations(project, monkeypatch):
    """The script, as a module."""
    monkeypatch.syspath_prepend(str(project / "benchmarks"))
    import mutations

    yield mutations
    for name in ("mutations", "report"):
        sys.modules.pop(name, None)


def test_damage_is_named_and_changes_no_number(mutations, tmp_path):
    sound = tmp_path / "sound"
    sound.mkdir()
    mutations.grow(sound, 3)
    seen = mutations.Seen(sound)
    methods = sorted({cell.made.method for cell in Results(sound).cells})[:2]
    assert len(methods) == 2
    kinds, faults = Counter[str](), []
    for number in range(COUNT):
        rng = numpy_stream(1, "mutation", number)
        root = tmp_path / "damaged"
        shutil.copytree(sound, root)
        kind = mutations.MUTATIONS[number % len(mutations.MUTATIONS)](root, rng)
        kinds[kind.partition(" ")[0]] += 1
        faults += [(number, kind, what) for what in [seen.silent(root)] if what]
        if number % EVERY == 0:
            for name, words in mutations.verbs(root, methods, tmp_path / "out").items():
                if name not in SLOW and (wrong := mutations.fault(words)):
                    faults.append((number, kind, f"{name}: {wrong}"))
        shutil.rmtree(root)
    assert not faults
    assert len(kinds) >= 12


def test_the_sound_store_has_none_of_it(mutations, tmp_path):
    mutations.grow(tmp_path, 2)
    assert mutations.Seen(tmp_path).silent(tmp_path) == ""
    assert Results(tmp_path).problems == []
