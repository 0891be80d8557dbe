"""`bench status`: what becomes of a results folder's cells now, also while others write to it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options.common import results_option
from bench.cli.shown.standing import detail, plain

if TYPE_CHECKING:
    from bench.store.status import Overview

#: lines of a state that are shown before the rest is only counted
MOST = 20


@click.command("status")
@results_option
@click.option("--all", "everything", is_flag=True, help="List every cell, also those that are done or to do.")
@click.option("--watch", is_flag=True, help="Show it again every few seconds until nothing runs any more.")
@click.option("--every", type=click.FloatRange(min=0.2), default=5.0, show_default=True, help="Seconds, with --watch.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: counts, time left, a row a cell.")
def command(results: Path, everything: bool, watch: bool, every: float, as_json: bool) -> int:
    """Which cells are planned, running (where, since when, how far, silent for how long), done or failed, and why.

    Reads files only, so it can be called on any host that sees the folder. The exit code is 1 when a cell failed.
    """
    from bench.store.status import overview

    while True:
        now = overview(results)
        if as_json:
            click.echo(json.dumps(_plain(now)))
        else:
            if watch:
                click.clear()
            _tell(now, everything)
        if not watch or not now.counts["running"]:
            return 1 if now.counts["failed"] + now.counts["damaged"] else 0
        time.sleep(every)


def _plain(now: Overview) -> dict[str, object]:
    return {"counts": dict(now.counts), "seconds_left": now.left, "cells": [plain(s) for s in now.standings]}


def _tell(now: Overview, everything: bool) -> None:
    from bench.cli.shown.format import duration
    from bench.store.status import STATES, chosen

    told = STATES if everything else STATES[:4]
    for state in told:
        lines = list(chosen(now.standings, (state,)))
        for standing in lines if everything else lines[:MOST]:
            click.echo(f"{state:11}  {standing.cell}{detail(standing)}")
        if len(lines) > MOST and not everything:
            click.echo(f"{state:11}  and {len(lines) - MOST} more; --all lists them")
    parts = [f"{now.counts[state]} {state}" for state in STATES if now.counts[state]]
    older = sum(standing.state == "done" and bool(standing.reason) for standing in now.standings)
    parts += [f"{older} of these by code that has changed since (`bench ls cells`)"] if older else []
    left = now.left
    more = "" if not left else f"; about {duration(left)} left"
    click.echo(f"{len(now.standings)} cells: {', '.join(parts) or 'none'}{more}.")
