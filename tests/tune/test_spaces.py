"""Where methods and enhancers that come with bench are searched: `bench/tune/spaces.toml` beside their settings."""

from __future__ import annotations

import dataclasses
import tomllib
from importlib.resources import files

import pytest

from bench.config import make
from bench.engine.grid import Axes
from bench.errors import UsageError
from bench.registry import registry
from bench.tune.search import Search
from bench.tune.space import LOG, declared, fields_of, room

KINDS = ("methods", "enhancers")
ALL = [(kind, name) for kind in KINDS for name in registry(kind).names()]
#: methods that go on from the cell of another, which is trained on the held-out images too
SECOND = ("crt", "lws", "rw-fine")


def rooms(kind: str, name: str):
    """(field, dimension) of every setting that is searched without a word."""
    made = fields_of(registry(kind).get(name).Hparams, {}, (), rooms=declared(kind, name))
    return [(field, found) for field in made if field.declared != "" and (found := room(field)) is not None]


def test_the_file_names_all_that_come_with_bench_and_nothing_else():
    table = tomllib.loads(files("bench.tune").joinpath("spaces.toml").read_text(encoding="utf-8"))
    assert set(table) == set(KINDS)
    for kind in KINDS:
        own = [n for n, origin in registry(kind).origins.items() if origin.attribute is None]
        assert sorted(table[kind]) == own
        for name, texts in table[kind].items():
            settings = {f.name for f in dataclasses.fields(registry(kind).get(name).Hparams)}
            assert {text.partition("=")[0] for text in texts} <= settings, name
            assert len(declared(kind, name)) == len(texts), name


@pytest.mark.parametrize(("kind", "name"), ALL, ids=str)
def test_every_room_lies_in_the_range_of_its_setting_and_holds_the_default(kind, name):
    cls = registry(kind).get(name).Hparams
    for field, found in rooms(kind, name):
        for value in found.choices or (found.low, found.high):
            whole = int(value) if found.whole else value
            make(cls, {field.name: whole}, name)
        assert found.default in found.choices or found.low <= found.default <= found.high, found.text
        if field.declared:
            assert found.text == f"{field.name}={field.declared}"
            assert found.log == field.declared.endswith(LOG)


@pytest.mark.parametrize("name", [name for kind, name in ALL if kind == "methods"])
def test_every_method_is_tuned_without_a_word(name):
    """In its own rooms, or where it has none in the recipe's; with an enhancer in that one's too."""
    names = [f.name for f in dataclasses.fields(registry("methods").get(name).Hparams)]
    own = [setting for setting in names if setting in (declared("methods", name) or {})]
    axes = Axes((name,), ("digitslt",), ("10",), attacks=("clean",))
    for written, wanted in ((name, own or ["lr", "weight_decay"]), (f"{name}+ema", [*own, "ema.tau"])):
        if name in SECOND:
            with pytest.raises(UsageError, match="is trained on all images"):
                Search(written, axes, validation=0.1, objective="clean")
        else:
            made = Search(written, axes, validation=0.1, objective="clean")
            assert [dimension.name for dimension in made.space] == wanted
