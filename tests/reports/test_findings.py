"""The findings page: every number from the store, every open question with a command that works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import group
from bench.config import CellSpec, Recipe
from bench.judge.metrics import summarise
from bench.judge.reference import shipped
from bench.reports.findings import QUESTIONS, findings
from bench.store import query

from .conftest import write_cell


def section(page: str, title: str) -> str:
    return page.split(f"## {title}\n")[1].split("\n## ")[0]


def numbers(page: str, title: str, first: str) -> list[str]:
    """The cells of the table line that begins with these words."""
    line = next(line for line in section(page, title).splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_an_empty_store_answers_every_question_with_a_command_that_exists(tmp_path: Path) -> None:
    page = findings(tmp_path)
    for title, _ in QUESTIONS[:-1]:
        assert "not measured yet" in section(page, title).lower()
    commands = set(re.findall(r"`bench (run [^`]*)`", page))
    assert len(commands) >= 5
    for command in commands:
        words = [*command.split(), "--dry-run", "--results", str(tmp_path), "--data-root", str(tmp_path)]
        done = CliRunner().invoke(group, words)
        assert done.exit_code == 0, f"{command}: {done.output}"


@pytest.fixture
def page(tmp_path: Path) -> tuple[str, Path]:
    for method in ("at", "at-bsl", "trades", "taet", "harl"):
        write_cell(tmp_path, method, splits=("long-tailed", "balanced"))
    return findings(tmp_path), tmp_path


def test_numbers_are_those_of_the_rows(page: tuple[str, Path]) -> None:
    text, root = page
    lines = summarise(query.rows(root))
    lines = lines[lines["test_split"].eq("long-tailed")].set_index(["method", "attack"])["balanced"]
    for method in ("at", "taet"):
        row = numbers(text, "What do the CW columns measure, and is aa-10 above aa?", f"cifar10lt | 10 | {method}")
        assert row[3:7] == [f"{100 * lines[method, a]:.2f}" for a in ("clean", "cw-l2", "cw-linf", "aa")]


def test_costs_are_those_of_the_stages(page: tuple[str, Path]) -> None:
    row = numbers(page[0], "What did it cost?", "cifar10lt | 10 | taet")
    assert row[3:5] == ["100", "19"]  # (1000 + 900) passes in 100 s
    assert row[-1] == "512"


def test_a_ranking_that_turns_is_told(tmp_path: Path) -> None:
    for level, method in ((0.9, "at"), (0.6, "taet"), (0.3, "trades")):
        write_cell(tmp_path, method, splits=("long-tailed", "balanced"), level=level, attacks=("clean",))
    text = section(findings(tmp_path), "Does the ranking change between the long-tailed and the balanced test split?")
    assert "+1.00 over 3 methods" in text
    assert "Long-tailed: at, taet, trades. Balanced: at, taet, trades." in text


def test_a_failed_cell_is_named_with_its_reason(tmp_path: Path) -> None:
    write_cell(tmp_path, "at")
    name = write_cell(tmp_path, "mart", status="failed")
    assert f"{name} (the loss became NaN in epoch 3)" in section(findings(tmp_path), "What cannot be said")


def test_the_page_in_the_documentation_is_the_stored_numbers(project: Path) -> None:
    assert (project / "docs" / "findings.md").read_text() == findings(shipped("measured"))


def test_recipes_and_parts_are_compared_seed_by_seed(tmp_path: Path) -> None:
    official = CellSpec("taet", "cifar10lt", 10.0, "resnet18", 0, Recipe(name="official"))
    for seed in (0, 1):
        write_cell(tmp_path, "taet", seed=seed, level=0.8)
        write_cell(tmp_path, "taet", seed=seed, level=0.6, spec=official)
        write_cell(tmp_path, "taet", seed=seed, level=0.4, variant="beta=0")
    write_cell(tmp_path, "taet", seed=2, level=0.1)  # without a partner, so in no difference
    page, lines = findings(tmp_path), summarise(query.rows(tmp_path))
    mean = lines[lines["attack"].eq("aa") & lines["seed"].lt(2)].groupby(["recipe", "variant", "seed"])["balanced"]
    found = 100 * mean.first().unstack("seed")
    for title, value, first in (
        ("What does the official recipe change?", ("official", ""), "cifar10lt | 10 | taet | aa | official"),
        ("HARL against TAET: what do the cross-entropy epochs give?", ("paper", "beta=0"),
         "cifar10lt | 10 | taet | aa | beta=0"),
    ):  # fmt: skip
        gap = found.loc[value] - found.loc["paper", ""]
        assert numbers(page, title, first)[5:] == [
            f"{found.loc['paper', ''].mean():.2f}", f"{found.loc[value].mean():.2f}", f"{gap.mean():+.2f}",
            f"{gap.min():+.2f} to {gap.max():+.2f}", "2",
        ]  # fmt: skip
