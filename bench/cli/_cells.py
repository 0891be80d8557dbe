"""`bench ls cells`: the cells of a results folder, chosen by what they are and how they stand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli._format import counted
from bench.cli._options import comma_list
from bench.cli.status import detail, plain
from bench.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from bench.store.status import Standing

#: what cells are chosen by
FILTERS = (
    click.option("--method", metavar="A,B", help="`cells`: of these methods; with enhancers as `at+ema`."),
    click.option("--dataset", metavar="A,B", help="`cells`: of these data sets; `archive` stands for every archive."),
    click.option("--ir", metavar="10,natural", help="`cells`: of these imbalance ratios."),
    click.option("--model", metavar="A,B", help="`cells`: of these networks."),
    click.option("--seed", metavar="0,1", help="`cells`: of these seeds."),
    click.option("--recipe", metavar="paper|official", help="`cells`: of these recipes."),
    click.option("--attack", metavar="A,B", help="`cells`: that hold counts of all these attacks, on any test split."),
    click.option("--status", metavar="A,B", help="`cells`: running, interrupted, failed, damaged, to-do or done."),
)


def show(results: Path, given: Mapping[str, str | None], as_json: bool) -> None:
    """Print the cells that fit everything that is `given`, one a line. Raises UsageError, StoreError."""
    from bench.store.status import STATES, overview

    asked = {name: comma_list(text, name) for name, text in given.items() if text is not None}
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
    spec = standing.spec
    if name == "attack":
        return set(words) <= {key.partition("/")[2] for key in standing.evaluations}
    if name == "dataset":
        return spec.dataset in words or spec.dataset.partition(":")[0] in words
    if name == "ir":
        return any(spec.ir is None if word == "natural" else _number(word) == spec.ir for word in words)
    value = {
        "method": spec.method + spec.enhanced, "model": spec.model, "seed": str(spec.seed), "recipe": spec.recipe.name,
        "status": standing.state.replace(" ", "-"),
    }[name]  # fmt: skip
    return value in words


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--ir '{text}' is no imbalance ratio; write for instance 10,50 or natural.") from None


def _told(standing: Standing) -> str:
    spec = standing.spec
    variant = f" [{spec.variant}]" if spec.variant else ""
    return f"{spec.model} {spec.recipe.name}{variant}{f' {spec.enhanced}' if spec.enhanced else ''}".strip()
