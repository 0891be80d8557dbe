"""Hostile command lines end as documented; `benchmarks/fuzz.py` tries as many as there is time for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.seeding import stream_seed


@pytest.fixture
def script(project: Path, monkeypatch: pytest.MonkeyPatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(project / "benchmarks"))
    import fuzz

    return fuzz


def test_hostile_command_lines_end_with_a_documented_code_and_write_nowhere_else(
    script, project: Path, tmp_path: Path
) -> None:
    tried = list(script.fuzz(tmp_path / "box", project, seed=stream_seed(0, "fuzz"), seconds=15.0, count=150))
    assert len(tried) >= 3  # as many as a busy machine has time for
    assert [(words, wrong) for words, wrong in tried if wrong] == []


def test_a_finding_is_found(script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    fence = script.Fence(inside)
    ends = {
        "raise": lambda _: 1 / 0,
        "code": lambda _: exit(7),
        "stray": lambda _: outside.mkdir(),
        "write": lambda _: outside.write_text("x"),
        "hang": lambda _: [None for _ in iter(lambda: 0, 1) if _],
        "sound": lambda _: exit(2),
    }
    found = {}
    for name, end in ends.items():
        monkeypatch.setattr(script, "main", end)
        found[name] = script.attempt([name], fence, limit=0.5)
    assert "ZeroDivisionError" in found["raise"]
    assert found["code"] == "exit code 7"
    assert "os.mkdir" in found["stray"]
    assert str(outside) in found["write"]
    assert "not done after 0.5 s" in found["hang"]
    assert found["sound"] == ""
    assert not outside.exists()


def test_every_verb_is_tried(script) -> None:
    import click

    from bench.cli import group

    tried = {name.partition(" ")[0] for name in script.commands()}
    left = set(group.list_commands(click.Context(group))) - tried
    assert left == {"doctor", "golden", "tune"}  # they measure or train
