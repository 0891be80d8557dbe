"""`bench verify`: read a results folder again and recompute every hash and derived number."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bench.cli.options.common import data_root_option, results_option
from bench.cli.shown.format import counted
from bench.config import CellSpec

CHANGED = (
    "What does not fit was changed after it was written, or its writing was interrupted: run the cell again; if that "
    "finds nothing to do, restore the file, or move the cell's folder away first."
)


@click.command("verify")
@results_option
@click.option("--data", "read_data", is_flag=True, help="Read the images again too, and recompute their hashes.")
@data_root_option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(results: Path, read_data: bool, data_root: Path | None, form: str) -> int:
    """Name everything in a results folder that does not fit together; exit code 1 when there is anything."""
    from bench.judge.verify import verify

    report = verify(results, _reader(data_root) if read_data else None)
    if form == "json":
        click.echo(
            json.dumps(
                {
                    "results": str(results),
                    "cells": report.cells,
                    "rows": report.numbers,
                    "problems": [{"cell": p.cell, "file": p.file, "message": p.message} for p in report.problems],
                    "under_way": list(report.busy),
                    "unsealed": report.unsealed,
                },
                indent=1,
            )
        )
    else:
        for problem in report.problems:
            click.echo(f"{problem.cell}: {problem.message}")
        count, busy = len(report.problems), len(report.busy)
        if busy:
            click.echo(f"{counted(busy, 'cell')} under way, left alone: {', '.join(report.busy)}.")
        if report.unsealed:
            click.echo(
                f"{counted(report.unsealed, 'cell')} of a version that kept no seals: a value of cell.json, or "
                "bits and rows together, could have been changed there so that it still fits."
            )
        click.echo(
            f"{counted(report.cells, 'cell')}, {counted(report.numbers, 'row')} recomputed: "
            + (f"{counted(count, 'problem')}." if count else "everything fits.")
        )
        if not all(problem.file for problem in report.problems):
            click.echo(CHANGED)
    return 1 if report.problems else 0


def _reader(data_root: Path | None) -> Any:
    """A function that reads a cell's data again, each data set and choice once."""
    from bench.engine.images.subset import load_data  # imports torch, hence only on request

    known: dict[tuple[Any, ...], Mapping[str, Any]] = {}

    def read(spec: CellSpec) -> Mapping[str, Any]:
        key = (spec.dataset, spec.ir, spec.selection, spec.class_order, spec.limit)
        if key not in known:
            data = load_data(spec, data_root)
            known[key] = {
                "data_hash": data.data_hash,
                "subset_hash": data.subset_hash,
                "train_counts": list(data.train_counts),
                "test_counts": {split: list(counts) for split, counts in data.test_counts.items()},
                "index": {split: index.numpy() for split, index in data.splits.items()},
            }
        return known[key]

    return read
