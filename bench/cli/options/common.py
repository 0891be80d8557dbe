"""Options that several verbs share, so that they read and mean the same everywhere."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from bench.config import split_list
from bench.errors import UsageError
from bench.paths import in_full


class UserPath(click.Path):
    """A path of the user: `~` is expanded where no shell did it, and what cannot be a path is a usage error."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click's."""
        return super().convert(in_full(value), param, ctx)


class Text(click.types.StringParamType):
    """A text that says something: a blank one is refused, since it would count as one that was not given."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click's. Raises UsageError."""
        if not str(value).strip():
            option = param.opts[0] if param else "an option"
            raise UsageError(f"{option} '{value}' names nothing; give a value, or leave it out.")
        return super().convert(value, param, ctx)


#: an option that takes a text
text_option = partial(click.option, type=Text())
results_option = click.option(
    "--results",
    type=UserPath(path_type=Path),
    default=Path("results/runs"),
    envvar="BENCH_RESULTS",
    show_default=True,
    help="Results folder [env: BENCH_RESULTS].",
)
data_root_option = click.option(
    "--data-root", type=UserPath(path_type=Path), envvar="BENCH_DATA", help="Data folder [env: BENCH_DATA]."
)
device_option = text_option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N")
quiet_option = click.option("--quiet", is_flag=True, help="Say only what went wrong.")
sink_option = click.option(
    "--sink",
    "sinks",
    multiple=True,
    metavar="NAME:TARGET",
    help="Also tell a tracking program (`bench ls sinks`): tensorboard:DIR, mlflow:DIR; as often as needed.",
)
json_option = click.option("--json", "machine", is_flag=True, help="Print the scores and how each cell ended as JSON.")


def comma_list(text: str, what: str) -> tuple[str, ...]:
    """The words of a comma-separated list. Raises UsageError when there is none."""
    words = tuple(split_list(text))
    if not words:
        raise UsageError(f"--{what.replace('_', '-')} '{text}' names nothing; give at least one.")
    return words
