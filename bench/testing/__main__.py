"""`python -m bench.testing FILE.json`: run a file of golden cases; exit 0 only if every case matches.

`python -m bench.testing contract NAME|module:Class ...`: run the contract of plug-ins; exit 0 if every check holds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from bench.errors import BenchError
from bench.testing.compare import report
from bench.testing.contract import find
from bench.testing.contract import report as contract_report
from bench.testing.golden import run_file

USAGE = "usage: python -m bench.testing FILE.json | contract NAME|module:Class ..."


def main(arguments: Sequence[str]) -> int:
    """Run what the command line names; 0 when every case matches or check holds, 1 when not, 2 on a bad call."""
    contract = arguments[:1] == ["contract"]
    names = arguments[contract:]
    if not names or (len(names) > 1 and not contract) or any(name.startswith("-") for name in names):
        click.echo(USAGE, err=True)
        return 2
    try:
        return _contract(names) if contract else _golden(names[0])
    except BenchError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code


def _golden(file: str) -> int:
    outcomes = run_file(Path(file))
    click.echo("\n".join(report(outcomes)))
    return 0 if all(outcome.matches for outcome in outcomes) else 1


def _contract(names: Sequence[str]) -> int:
    """A line a check, as it is made."""
    broken = total = 0
    for target in [find(name) for name in names]:
        for line, holds in contract_report(target):
            click.echo(line)
            total, broken = total + 1, broken + (not holds)
    click.echo(f"{total - broken} of {total} checks hold.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
