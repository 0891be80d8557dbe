"""Version ranges, extras and the two commands of the README."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib

import pytest


@pytest.fixture(scope="module")
def metadata(project):
    """The table [project] of pyproject.toml."""
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements(metadata):
    """name -> version specifier of everything the project may need, extras included."""
    lists = [metadata["dependencies"], *metadata["optional-dependencies"].values()]
    split = [re.fullmatch(r"([A-Za-z0-9-]+)(.*)", text) for texts in lists for text in texts]
    return {match[1]: match[2] for match in split if match}


def test_every_range_has_both_ends(metadata):
    unbounded = [n for n, spec in requirements(metadata).items() if "<" not in spec and "==" not in spec]
    assert not unbounded
    assert not [n for n, spec in requirements(metadata).items() if ">=" not in spec and "==" not in spec]


def test_torch_and_python_bounds(metadata):
    assert requirements(metadata)["torch"].startswith(">=2.11,")
    assert metadata["requires-python"] == ">=3.11"


def test_the_lowest_versions_tried_are_those_promised(project, metadata):
    """constraints/lowest.txt pins each core dependency to the lower end of its range."""
    text = (project / "constraints" / "lowest.txt").read_text(encoding="utf-8")
    pins = dict(line.split("==") for line in text.splitlines() if line and not line.startswith("#"))
    core = {re.split(r"[><=]", text)[0] for text in metadata["dependencies"]}
    lowest = {name: spec.split(",")[0].removeprefix(">=") for name, spec in requirements(metadata).items()}
    assert set(pins) == core
    wrong = {n: (pin, lowest[n]) for n, pin in pins.items() if not f"{pin}.".startswith(f"{lowest[n]}.")}
    assert not wrong


@pytest.mark.parametrize("name", ["lowest.txt", "tested.txt"])
def test_constraints_hold_versions_and_no_addresses(project, name):
    lines = (project / "constraints" / name).read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    assert not [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+( ; .*)?", line)]


def commands(project):
    """The shell blocks of the README's start: one line each."""
    text = (project / "README.md").read_text(encoding="utf-8")
    return dict(re.findall(r"<!-- command: (\w+) -->\n```sh\n(.+)\n```", text))


def test_the_readme_starts_with_two_one_line_commands(project):
    found = commands(project)
    assert list(found) == ["run", "test"]
    for line in found.values():
        assert line.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert ".venv/bin/bench run" in found["run"]
    assert "pytest" in found["test"]


def test_ci_runs_the_test_command_of_the_readme(project):
    """It takes the line out of the README by the same mark, so the two cannot drift apart."""
    script = (project / ".ci" / "run").read_text(encoding="utf-8")
    assert "<!-- command: test -->" in script
    assert "README.md" in script
    assert "pip install -q -e .[test]" not in script.replace("'", "")


def test_the_citation_and_the_changelog_name_this_version(project, metadata):
    citation = (project / "CITATION.cff").read_text(encoding="utf-8")
    changes = (project / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == metadata["version"]
    assert re.search(r"^license: (.+)$", citation, re.MULTILINE)[1] == metadata["license"]
    assert re.search(r"^## (\S+)", changes, re.MULTILINE)[1] == metadata["version"]


#: what the Citation File Format 1.2.0 asks of a file, of what it refers to, and knows of an entity and of a person
CFF, REFERENCE = {"cff-version", "message", "title", "authors"}, {"type", "title", "authors"}
ENTITY = {"name", "alias", "website", "email", "orcid", "country", "city", "date-start", "date-end"}
PERSON = {"family-names", "given-names", "name-particle", "name-suffix", "alias", "affiliation", "email", "orcid"}


def test_the_citation_file_is_valid(project, metadata):
    import yaml  # the hub's client brings it

    told = yaml.safe_load((project / "CITATION.cff").read_text(encoding="utf-8"))
    assert set(told) >= CFF
    assert (told["cff-version"], told["type"]) == ("1.2.0", "software")
    assert told["title"] == metadata["name"]
    assert [author["name"] for author in told["authors"]] == [author["name"] for author in metadata["authors"]]
    for source in (told, *told["references"]):
        assert set(source) >= (CFF if source is told else REFERENCE)
        assert source["authors"]
        for author in source["authors"]:
            assert set(author) <= (ENTITY if "name" in author else PERSON), author
            assert all(isinstance(value, str) and value for value in author.values())
        assert {"name"} <= set(source.get("conference", {"name": ""})) <= ENTITY
    assert all(isinstance(word, str) for word in told["keywords"])


def test_the_command_has_a_second_name(metadata):
    assert metadata["scripts"]["longtail-bench"] == metadata["scripts"]["bench"]


@pytest.mark.parametrize(("words", "expected"), [("bench lead", "leaderboard"), ("bench submit --pa", "--paper")])
def test_the_shell_completes_verbs_and_options(words, expected):
    asked = {"_BENCH_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", "from bench.cli import main; main()"],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == f"plain,{expected}\n", done.stderr
