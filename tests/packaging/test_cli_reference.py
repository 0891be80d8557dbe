"""docs/cli.md tells of every verb and option there is, and of no other."""

from __future__ import annotations

import re

import click
import pytest

from bench.cli import group


def commands(parent: click.Group, path: tuple[str, ...] = ()):
    """(words, command) of every verb and sub-verb."""
    context = click.Context(parent)
    for name in parent.list_commands(context):
        command = parent.get_command(context, name)
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def options(command: click.Command) -> set[str]:
    """The long options of a command."""
    return {
        o
        for p in command.params
        if isinstance(p, click.Option)
        for o in (*p.opts, *p.secondary_opts)
        if o.startswith("--")
    }


@pytest.fixture(scope="module")
def sections(project):
    """verb -> the text of its section of the page."""
    text = (project / "docs" / "cli.md").read_text(encoding="utf-8")
    found = {}
    for heading, body in re.findall(r"^## (.+)\n([\s\S]*?)(?=^## |\Z)", text, flags=re.MULTILINE):
        found |= dict.fromkeys(re.findall(r"bench ([\w-]+)", heading), body)
    return found


def test_every_verb_has_a_section(sections):
    assert set(sections) == set(group.list_commands(click.Context(group)))


def test_every_option_is_told(sections):
    missing = [
        f"{' '.join(words)} {option}"
        for words, command in commands(group)
        for option in options(command)
        if f"`{option}`" not in sections.get(words[0], "")
    ]
    assert not missing


def test_no_option_is_told_that_does_not_exist(project, sections):
    known: dict[str, set[str]] = {}
    for words, command in commands(group):
        known[words[0]] = known.get(words[0], set()) | options(command)
    for verb, body in sections.items():
        shared = set().union(*(known[v] for v, other in sections.items() if other == body))
        told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", body))
        assert told - {"--dry-run"} <= shared, verb
