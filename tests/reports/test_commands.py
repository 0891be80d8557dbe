"""Commands ask for what is missing and for nothing else, of the store that was read."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.cli import group
from bench.config import split_list
from bench.reports.model import Table
from bench.reports.report import make

BEFORE = ("clean", "pgd-20")


def overview(root: Path) -> Table:
    return make(root, tables=["overview"], figures=[]).tables[0]


def words(command: str) -> dict[str, str]:
    parts = shlex.split(command)
    assert parts[:2] == ["bench", "run"]
    return dict(zip(parts[2::2], parts[3::2], strict=True))


def asked(commands: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """(method, ratio, attack, seed) of everything that commands would measure."""
    for command in commands:
        given = words(command)
        axes = (given[f"--{name}"] for name in ("methods", "irs", "attacks", "seeds"))
        yield from product(*map(split_list, axes))


@pytest.fixture
def uneven(tmp_path: Path, make_cell: Any) -> Path:
    """Three seeds at one ratio and one at the other; `aa` of one method at both, of one seed only."""
    for method, (ir, seeds) in product(("at", "taet"), ((10.0, 3), (100.0, 1))):
        for seed in range(seeds):
            more = ("aa",) if method == "at" and seed == 0 else ()
            make_cell(tmp_path, method, ir=ir, seed=seed, attacks=(*BEFORE, *more))
    make_cell(tmp_path, "harl", seed=1, attacks=("clean",))
    return tmp_path


def test_nothing_is_asked_that_is_not_missing_beside_measured_numbers(uneven: Path) -> None:
    got = list(asked(overview(uneven).commands))
    assert sorted(got) == [
        ("harl", "10", "aa", "1"),  # its own seed, although its neighbours have the attack of another
        ("harl", "10", "pgd-20", "1"),
        ("taet", "10", "aa", "0"),  # the seed of the number it would stand beside
        ("taet", "100", "aa", "0"),
    ]


def test_a_cell_and_its_figure_name_their_seeds(uneven: Path) -> None:
    commands = {c.command for c in overview(uneven).cells}
    assert {words(c)["--seeds"] for c in commands if "--irs 100 " in c} == {"0"}
    figure = make(uneven, tables=[], figures=["fig1"]).figures[0]
    assert figure.commands
    assert all("--seeds 0,1,2" in c for c in figure.commands if "harl" not in c)


def with_norms(root: Path) -> None:
    """The facts that say which attacks the worst case is taken over."""
    for path in root.glob("*/cell.json"):
        cell = json.loads(path.read_text())
        for key, facts in cell["evaluations"].items():
            label = key.partition("/")[2]
            norm = {"clean": "none", "cw-l2": "l2"}.get(label, "linf")
            facts |= {"norm": norm, "eps": None if norm == "none" else cell["spec"]["threat"]["eps"]}
        cell["evaluations"].pop("long-tailed/worst", None)
        path.write_text(json.dumps(cell))


def test_the_worst_case_is_asked_for_by_the_attacks_it_is_taken_over(tmp_path: Path, make_cell: Any) -> None:
    make_cell(tmp_path, "taet", attacks=("clean", "pgd-20", "cw-l2", "worst"))
    make_cell(tmp_path, "at", attacks=("clean",))
    with_norms(tmp_path)
    table = overview(tmp_path)
    commands = " && ".join([*table.commands, *(c.command for c in table.cells)]).split(" && ")
    assert "worst" not in {words(c)["--attacks"] for c in commands}
    column = [c.label for c in table.columns].index("Worst case")
    parts = {row.labels[0]: words(row.cells[column].command)["--attacks"] for row in table.rows}
    assert parts == {"TAET": "clean,pgd-20", "AT": "pgd-20"}


@pytest.mark.parametrize(("dataset", "data_root"), [("archive:mine", "DIR"), ("cifar10lt", None)])
def test_the_folder_and_the_data_are_named(tmp_path: Path, make_cell: Any, dataset: str, data_root: str | None) -> None:
    make_cell(tmp_path, "taet", dataset=dataset, source="somewhere")
    given = words(overview(tmp_path).cells[0].command)
    assert given["--results"] == str(tmp_path)
    assert given.get("--data-root") == data_root


def test_the_default_folder_is_not_named(tmp_path: Path, make_cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_cell(Path("results/runs"), "taet")
    assert "--results" not in words(overview(Path("results/runs")).cells[0].command)


def test_the_commands_are_understood(tmp_path: Path, make_digits: Any, make_cell: Any) -> None:
    make_digits(tmp_path, methods=("at", "taet"), seeds=1, attacks=BEFORE)
    make_digits(tmp_path, methods=("ce",), seeds=1, attacks=("clean",))
    commands = overview(tmp_path).commands
    assert commands
    for command in commands:
        done = CliRunner().invoke(group, [*shlex.split(command)[1:], "--dry-run"])
        assert done.exit_code == 0, done.output
