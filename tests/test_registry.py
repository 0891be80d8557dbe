"""A plug-in of somebody else may be broken in any way: it is listed as such, and only who uses it is stopped."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from bench import registry as registries
from bench.cli import main
from bench.errors import BenchError
from bench.registry import Registry, registry

#: entry point -> (files of its package, what is said about it when it is listed, and when it is used)
BROKEN = {
    "gone.mod:Method": ({}, "No module named 'gone'", "No module named 'gone'"),
    "alone:Method": ({}, "No module named 'alone'", "No module named 'alone'"),
    "not a module": ({}, "BROKEN", "cannot be imported"),
    "parent.mod:Method": ({"parent/__init__.py": "1 / 0"}, "ZeroDivisionError: division by zero", "ZeroDivisionError"),
    "half.mod:Method": ({"half/__init__.py": "", "half/mod.py": "class"}, "SyntaxError", "SyntaxError"),
    "odd:Method": ({"odd.py": '"""To read."""\nraise OSError("two\\nlines")'}, "To read", "OSError: two lines"),
    "lacks:Method": ({"lacks.py": '"""Fine to read."""'}, "Fine", "has no Method"),
    "wants:Method": ({"wants.py": "import no_such_thing"}, "", "No module named 'no_such_thing'"),
}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Makes entry points of methods called `foreign` out of files."""
    monkeypatch.syspath_prepend(tmp_path)

    def add(target, files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        point = EntryPoint("foreign", target, "bench.methods")
        monkeypatch.setattr(registries, "entry_points", lambda group: [point] if group == point.group else [])

    before = set(sys.modules)
    registry.cache_clear()
    yield add
    registry.cache_clear()
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("target", BROKEN)
def test_a_broken_plugin_is_listed_and_stops_only_who_uses_it(install, target):
    files, listed, refused = BROKEN[target]
    install(target, files)
    methods = Registry("methods")
    assert "foreign" in methods.names()
    assert listed in methods.origins["foreign"].describe()
    assert methods.get("at").name == "at"
    with pytest.raises(BenchError, match="foreign") as error:
        methods.get("foreign")
    assert refused in str(error.value)
    assert "\n" not in str(error.value)


def test_the_command_line_lists_it_and_goes_on(install, capsys):
    install("gone.mod:Method", {})
    for words, status, said in (
        (["ls", "methods"], 0, "BROKEN: No module named 'gone'"),
        (["ls"], 0, "methods"),
        (["show", "method", "at"], 0, "formula"),
        (["show", "method", "foreign"], 1, "method 'foreign' (gone.mod:Method) cannot be imported: No module named"),
        (["run", "--methods", "at", "--datasets", "digitslt", "--irs", "10", "--dry-run"], 0, "1 cells"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(words)
        out = capsys.readouterr()
        assert ended.value.code == status, words
        assert said in out.out + out.err


def test_a_foreign_plugin_that_works_is_like_our_own(install):
    install("fine:Mine", {"fine.py": '"""Of somebody else."""\nclass Mine:\n    name = "foreign"\n'})
    methods = Registry("methods")
    assert methods.origins["foreign"].describe() == "Of somebody else."
    assert methods.get("foreign").__name__ == "Mine"


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("methods", "awp", "unknown method 'awp', which is an enhancer; write it behind a method, METHOD+awp."),
        ("attacks", "taet", "unknown attack 'taet', which is a method."),
        ("methods", "nosuch", "unknown method 'nosuch'. "),
    ],
)
def test_a_name_of_another_kind_is_told(kind, name, said):
    with pytest.raises(BenchError) as raised:
        registry(kind).get(name)
    assert str(raised.value).startswith(said)
