"""`bench ls`: what there is: methods, data sets, models, attacks, tables, figures, presets, and a folder's cells."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench.cli.options.common import results_option
from bench.cli.shown.cells import FILTERS, show
from bench.errors import UsageError, did_you_mean
from bench.registry import FOLDERS, registry

KINDS = (*FOLDERS, "presets")


def _with_filters(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(FILTERS):
        command = option(command)
    return command


@click.command("ls")
@click.argument("kind", required=False, metavar="|".join((*KINDS, "cells")))
@click.option("--json", "as_json", is_flag=True, help="One JSON list: names and descriptions, or cells.")
@click.option("--origin", is_flag=True, help="Say which file or package each comes from.")
@_with_filters
@results_option
def command(kind: str | None, as_json: bool, origin: bool, results: Path, **given: str | None) -> None:
    """List what there is of one KIND, each with a line about it; without a kind, the kinds and their sizes.

    `bench ls cells` lists the cells of a results folder, each with its status; the options choose among them.
    """
    if kind == "cells":
        show(results, given, as_json)
        return
    if any(given.values()):
        raise UsageError("--method, --dataset and the like choose among cells; write `bench ls cells`.")
    if kind is None:
        for each in KINDS:
            click.echo(f"{each:9} {len(_entries(each)):3}   bench ls {each}")
        return
    if kind not in KINDS:
        raise UsageError(f"unknown kind '{kind}'. {did_you_mean(kind, (*KINDS, 'cells'))}")
    entries = _entries(kind)
    if as_json:
        click.echo(json.dumps([{"name": n, "description": d, "origin": o} for n, d, o in entries], indent=1))
        return
    width = max((len(name) for name, _, _ in entries), default=0)
    for name, description, where in entries:
        click.echo(f"{name:{width}}  {description}" + (f"  ({where})" if origin else ""))


def _entries(kind: str) -> list[tuple[str, str, str]]:
    """(name, description, origin) of everything of a kind; imports no plug-in."""
    if kind == "presets":
        from bench import presets

        return [(name, presets.describe(name), f"bench/presets/{name}.toml") for name in presets.names()]
    if kind == "models":
        return [(n, f"{o.describe()}{_facts().get(n, '')}", o.file) for n, o in registry(kind).origins.items()]
    return [(name, where.describe(), where.file) for name, where in registry(kind).origins.items()]


def _facts() -> dict[str, str]:
    """Parameters and memory of the models, from the stored table (nothing is built)."""
    from bench.sizes import BATCH, read_facts

    found = {}
    for name, row in read_facts().items():
        counted = f"{row.tensors_mib:.0f} MiB of tensors"
        memory = counted if row.measured_mib is None else f"{row.measured_mib:.0f} MiB on {row.device}"
        found[name] = f"  [{row.parameters / 1e6:.2f} M parameters, {memory} in training at batch {BATCH}]"
    return found
