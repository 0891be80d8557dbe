"""Options that several verbs share, so that they read and mean the same everywhere."""

from __future__ import annotations

from pathlib import Path

import click

from bench.config import split_list
from bench.errors import UsageError

results_option = click.option(
    "--results", type=click.Path(path_type=Path), default=Path("results/runs"), envvar="BENCH_RESULTS",
    show_default=True, help="Results folder [env: BENCH_RESULTS].",
)  # fmt: skip
data_root_option = click.option(
    "--data-root", type=click.Path(path_type=Path), envvar="BENCH_DATA", help="Data folder [env: BENCH_DATA]."
)
device_option = click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N")
quiet_option = click.option("--quiet", is_flag=True, help="Say only what went wrong.")
json_option = click.option("--json", "machine", is_flag=True, help="Print the scores and how each cell ended as JSON.")


def comma_list(text: str, what: str) -> tuple[str, ...]:
    """The words of a comma-separated list. Raises UsageError when there is none."""
    words = tuple(split_list(text))
    if not words:
        raise UsageError(f"--{what.replace('_', '-')} '{text}' names nothing; give at least one.")
    return words
