"""`bench new`: what it writes is the example package, what it refuses is one sentence, and it overwrites nothing."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bench.cli import main
from bench.scaffold.plugin import KINDS, plan

#: what the package under examples/ is made of
EXAMPLE = {
    "method": "label-smoothing",
    "enhancer": "rare-first",
    "dataset": "gratings",
    "attack": "best-step",
    "model": "two-convs",
    "table": "tails",
}
DYNAMIC = '[project]\nname = "mine"\ndynamic = ["entry-points"]\n'
ODD = '[project]\nname = "mine"\n\n[project.entry-points]\n"bench.methods" = { one = "mine.one:One" }\n'


@pytest.fixture
def new(capsys: pytest.CaptureFixture[str]):
    """Calls the verb: (exit code, stdout, stderr)."""

    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["new", *map(str, words)])
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return call


def content(folder: Path) -> dict[str, str]:
    """Path -> text of everything in a folder, without caches and what only a reader needs."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix in (".py", ".toml"))
    return {str(path.relative_to(folder)): path.read_text() for path in found}


def test_the_example_package_is_what_it_writes(project, tmp_path, new):
    for kind, name in EXAMPLE.items():
        code, _, err = new(kind, name, "--into", tmp_path / "it", "--package", "thirdparty")
        assert (code, err) == (0, "")
    assert set(EXAMPLE) == set(KINDS)
    assert content(tmp_path / "it") == content(project / "examples" / "thirdparty")


def test_a_folder_that_is_empty_becomes_a_package_of_its_name(tmp_path, new):
    code, out, _ = new("dataset", "my-set", "--into", tmp_path / "my-plugins")
    assert code == 0
    said = tomllib.loads((tmp_path / "my-plugins" / "pyproject.toml").read_text())["project"]
    assert said["name"] == "my-plugins"
    assert said["entry-points"] == {"bench.datasets": {"my-set": "my_plugins.my_set:MySet"}}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "my-plugins",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"[1-9]\d* passed", done.stdout)
    assert "python -m bench.testing contract my-set" in out


def test_a_checkout_of_the_project_gets_one_file(project, tmp_path, new):
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "api.py").touch()
    for kind, (_, home) in KINDS.items():
        assert (project / home).is_dir()
        assert new(kind, "mine", "--into", tmp_path)[0] == 0
        assert (tmp_path / home / "mine.py").is_file()
    assert len(content(tmp_path)) == len(KINDS) + 1


def test_a_package_that_is_there_keeps_its_words(tmp_path, new):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text('"""Ours."""\n')
    text = '# ours\n[project]\nname = "mine"  # kept\n\n[project.entry-points."bench.methods"]\none = "mine.one:One"\n'
    (tmp_path / "pyproject.toml").write_text(text)
    assert new("method", "two", "--into", tmp_path)[0] == 0
    assert new("model", "three", "--into", tmp_path)[0] == 0
    longer = (tmp_path / "pyproject.toml").read_text()
    assert longer.startswith('# ours\n[project]\nname = "mine"  # kept\n')
    assert tomllib.loads(longer)["project"]["entry-points"] == {
        "bench.methods": {"one": "mine.one:One", "two": "mine.two:Two"},
        "bench.models": {"three": "mine.three:Three"},
    }
    assert (tmp_path / "mine" / "__init__.py").read_text() == '"""Ours."""\n'


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("methd", "mine"), "unknown kind of plug-in 'methd'. Did you mean 'method'?"),
        (("method", "My_Loss"), "'My_Loss' cannot name a method; use at most 30 lower-case letters"),
        (("method", "class"), "'class' cannot name a method"),
        (("method", "../up"), "'../up' cannot name a method"),
        (("method", "x" * 31), "cannot name a method"),
        (("method", "at"), "a method called 'at' exists already"),
        (("table", "overview"), "a table called 'overview' exists already"),
        (("method", "mine", "--package", "my-package"), "'my-package' cannot name a new package"),
        (("method", "mine", "--package", "torch"), "'torch' cannot name a new package"),
    ],
)
def test_what_cannot_be_made_is_one_sentence(tmp_path, new, words, sentence):
    code, out, err = new(*words, "--into", tmp_path / "it")
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert not (tmp_path / "it").exists()


#: what is no table where one is meant, and what no reader of TOML takes
WRONG = (
    "project = 3\n",
    "project = [1]\n",
    '[project]\nname = "mine"\nentry-points = 3\n',
    '[project.entry-points]\n"bench.methods" = "mine"\n',
    '[project]\nname = "mine"\ndynamic = "entry-points"\nentry-points = []\n',
    f"x = {'[' * 3000}\n",
    f"x = {'9' * 5000}\n",
)


@pytest.mark.parametrize("text", [ODD, DYNAMIC, "not toml", "[tool.x]\ny = 1\n", *WRONG])
def test_a_file_that_cannot_be_extended_is_left_alone(tmp_path, new, text):
    (tmp_path / "pyproject.toml").write_text(text)
    code, _, err = new("method", "two", "--into", tmp_path, "--package", "mine")
    assert code == 2
    assert "pyproject.toml" in err
    assert err.count("\n") == 1
    assert content(tmp_path) == {"pyproject.toml": text}


def test_what_a_project_says_wrongly_elsewhere_is_its_own(tmp_path, new):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"\ndynamic = 3\n')
    assert new("method", "two", "--into", tmp_path, "--package", "mine")[0] == 0


@pytest.mark.parametrize("name", ["__main__", "sys", "torch", "1st"])
def test_a_folder_whose_name_no_package_can_have_asks_for_one(tmp_path, new, name):
    code, _, err = new("method", "two", "--into", tmp_path / name)
    assert (code, err.count("\n")) == (2, 1)
    assert "cannot name a new package" in err
    assert not (tmp_path / name).exists()


def test_nothing_is_overwritten(tmp_path, new):
    assert new("method", "two", "--into", tmp_path, "--package", "mine")[0] == 0
    before = content(tmp_path)
    for kind in ("method", "attack"):
        code, _, err = new(kind, "two", "--into", tmp_path)
        assert code == 2
        assert "already" in err
    assert content(tmp_path) == before


def test_several_packages_ask_for_a_name(tmp_path, new):
    for name in ("one", "two"):
        (tmp_path / "src" / name).mkdir(parents=True)
        (tmp_path / "src" / name / "__init__.py").touch()
    assert "give --package with one of one, two" in new("method", "mine", "--into", tmp_path)[2]
    made = plan("method", "mine", tmp_path, "two")
    assert made.package is not None
    assert made.package.name == "two"
