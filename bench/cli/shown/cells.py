"""`bench ls cells`: the cells of a results folder, chosen by what they are and how they stand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options.common import comma_list
from bench.cli.shown.format import counted
from bench.cli.shown.standing import detail, plain
from bench.errors import UsageError, did_you_mean
from bench.store.asked import ASKED, fits, read

if TYPE_CHECKING:
    from bench.store.status import Standing

#: what is not plain in a choice
HOW = {
    "method": "of these methods; `at` stands for all its settings, `at[steps=5]+ema` for these",
    "dataset": "of these data sets; `archive` stands for every archive",
    "ir": "of these imbalance ratios: numbers, or `natural`",
    "attack": "that hold counts of all these attacks, on any test split",
    "test_split": "evaluated on one of these",
    "reduced": "shorter than their recipe by these: `epochs=3 of 100`, `limit=50`; `none` for whole runs",
    "precision": "trained with one of these: `bf16`, `compiled`, `deterministic`, ...",
    "init": "from given weights of these marks; `none` for cells without",
}
#: what cells are chosen by: every coordinate that a grid is asked for with, and how they stand
FILTERS = (
    *(
        click.option(
            f"--{name.replace('_', '-')}", metavar="A,B", help=f"`cells`: {HOW.get(name, 'with one of these')}."
        )
        for name in ASKED
    ),
    click.option("--status", metavar="A,B", help="`cells`: running, interrupted, failed, damaged, to-do or done."),
)


def show(results: Path, given: Mapping[str, str | None], as_json: bool) -> None:
    """Print the cells that fit everything that is `given`, one a line. Raises UsageError, StoreError."""
    from bench.store.status import STATES, overview

    words = {name: comma_list(text, name) for name, text in given.items() if text is not None}
    asked = {name: [read(name, word) for word in some] for name, some in words.items()}
    states = {state.replace(" ", "-"): state for state in STATES}
    for state in asked.get("status", ()):
        if state not in states:
            raise UsageError(f"unknown status '{state}'. {did_you_mean(state, states)}")
    found = [s for s in overview(results).standings if all(_fits(s, name, words) for name, words in asked.items())]
    if as_json:
        click.echo(json.dumps([plain(standing) for standing in found], indent=1))
        return
    for standing in found:
        click.echo(f"{standing.state:11}  {standing.cell}  {_told(standing)}{detail(standing)}")
    click.echo(f"{counted(len(found), 'cell')}.", err=True)


def _fits(standing: Standing, name: str, words: Sequence[str]) -> bool:
    if name == "status":
        return standing.state.replace(" ", "-") in words
    if name == "attack":
        return all(any(fits(place, name, (word,)) for place in standing.places) for word in words)
    return any(fits(place, name, words) for place in standing.places)


def _told(standing: Standing) -> str:
    place = next(iter(standing.places), None)
    return "" if place is None else f"{place.model} {place.recipe} {place.label}"
