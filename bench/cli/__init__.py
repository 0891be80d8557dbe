"""The command line: one verb a file, imported only when it is called.

Every error a user can mend ends as one sentence on stderr and its exit code (2 usage, 1 failure). Only `--verbose`
shows a traceback. Nothing outside this package prints.
"""

from __future__ import annotations

import importlib
import keyword
import os
import pkgutil
import sys
from contextlib import suppress
from typing import Any, TextIO

import click

from bench.cli.shown.stream import guard
from bench.errors import BenchError, did_you_mean


class Verbs(click.Group):
    """A group whose commands are the modules of this package, `command` in each; folders hold what they share."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, sorted."""
        names = (m.name for m in pkgutil.iter_modules(__path__) if not m.ispkg)
        return sorted(name.rstrip("_").replace("_", "-") for name in names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of one verb, imported now."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = cmd_name.replace("-", "_") + ("_" if keyword.iskeyword(cmd_name) else "")
        command: click.Command = importlib.import_module(f"bench.cli.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with a suggestion for a mistyped verb."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            raise click.UsageError(f"no command '{args[0]}'. {did_you_mean(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--verbose", is_flag=True, help="Log what happens, and show tracebacks.")
@click.version_option(package_name="robust-longtail-bench", prog_name="bench")
@click.pass_context
def group(ctx: click.Context, verbose: bool) -> None:
    """Adversarial training on long-tailed data, measured under one protocol.

    `bench run` trains and attacks a grid of cells, `bench report` renders the tables, `bench check` compares a
    results folder with a stored one.
    """
    import logging

    ctx.obj = {"verbose": verbose}
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR, stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s"
    )


def main(args: list[str] | None = None) -> Any:
    """Entry point of the console script. Exits with 0, 1 (failure) or 2 (usage)."""
    words = sys.argv[1:] if args is None else args
    guard()
    if "--verbose" in words:  # it belongs to every verb, so it may stand behind one
        words = ["--verbose", *(word for word in words if word != "--verbose")]
    try:
        status = group.main(args=words, prog_name="bench", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        (_hint(error) if isinstance(error, click.NoSuchOption) else error).show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo(
            "bench: interrupted; what was finished is stored, and the same command goes on from there.", err=True
        )
        sys.exit(130)
    except BenchError as error:
        if "--verbose" in words:
            raise
        _said(f"bench: {error}")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        _unwritable(sys.stdout)
        sys.exit(1)
    except OSError as error:  # a file or folder that cannot be used: the user's to mend, wherever it was met
        if "--verbose" in words:
            raise
        place = f"{error.filename} cannot be used" if error.filename else "a file cannot be used"
        _said(f"bench: {place} ({error.strerror or error}); mend that, or give another.")
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def _hint(error: click.NoSuchOption) -> click.UsageError:
    """The error, or where a setting of the recipe stands, for one who wrote it as an option."""
    from bench.engine.settled import RECIPE_SETTINGS

    name = error.option_name.lstrip("-").replace("-", "_")
    if name not in RECIPE_SETTINGS:
        return error
    return click.UsageError(
        f"No such option '{error.option_name}': it is a setting, as in --recipe 'paper[{name}=...]'.", error.ctx
    )


def _said(sentence: str) -> None:
    """Say an error, as far as there is anywhere to say it; what a full device did not take is not tried again."""
    for stream, text in ((sys.stdout, ""), (sys.stderr, sentence + "\n")):
        try:
            stream.write(text)
            stream.flush()
        except (OSError, BenchError):
            _unwritable(stream)


def _unwritable(stream: TextIO) -> None:
    """Let what is left go nowhere, so that the interpreter does not fail on it at its end."""
    with suppress(OSError, ValueError):  # one that was closed from the beginning has no number
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
