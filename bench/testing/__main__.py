"""`python -m bench.testing FILE.json`: run a file of golden cases; exit 0 only if every case matches."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from bench.errors import UsageError
from bench.testing.compare import report
from bench.testing.golden import run_file


def main(arguments: Sequence[str]) -> int:
    """Run the file named on the command line; 0 when every case matches, 1 when not, 2 on a bad call or file."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        click.echo("usage: python -m bench.testing FILE.json", err=True)
        return 2
    try:
        outcomes = run_file(Path(arguments[0]))
    except UsageError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    click.echo("\n".join(report(outcomes)))
    return 0 if all(outcome.matches for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
