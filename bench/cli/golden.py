"""`bench golden`: the whole benchmark in small, run afresh and compared with what is stored."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import click

from bench.cli.options.common import UserPath, device_option


@click.group("golden", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """The CPU twin of the benchmark: `check` runs it afresh and compares, `update` rewrites it for review."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@command.command("check")
@click.option("--jobs", default="auto", metavar="N|auto")
@click.option("--results", type=UserPath(path_type=Path), help="Keep the fresh run here. Default: a temporary folder.")
@click.option("--exact", is_flag=True, help="Ask for equal counts (the kind of machine that wrote the golden store).")
@device_option
def check(jobs: str, results: Path | None, exact: bool, device: str) -> int:
    """Run the golden grid afresh and check every number against the stored one; exit code 1 when one left its range."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = results or Path(scratch)
        if status := _run(fresh, jobs, device):
            return status
        return _compare(fresh, exact=exact)


@command.command("update")
@click.option("--jobs", default="auto", metavar="N|auto")
@click.option("--target", type=UserPath(path_type=Path), help="Default: results/golden of this checkout.")
@device_option
def update(jobs: str, target: Path | None, device: str) -> int:
    """Run the golden grid, print what moved, and rewrite the stored numbers. Review the diff before you commit it."""
    from bench.judge.reference import shipped
    from bench.store.copies.publish import publish, replace, restore

    target = target or shipped("golden")
    restore(target)
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        if status := _run(fresh, jobs, device):
            return status
        if any(target.glob("*/per_class.csv")):
            _compare(fresh, exact=True, against=str(target))
        beside = target.with_name(target.name + ".new")
        shutil.rmtree(beside, ignore_errors=True)
        count = publish(fresh, beside).total()
        for extra in target.glob("*.md") if target.exists() else ():
            shutil.copy(extra, beside)
        replace(beside, target)
    click.echo(f"{count} cells written to {target}; look at the difference with `git diff --stat {target}`.")
    return 0


def _run(results: Path, jobs: str, device: str) -> int:
    from bench.cli import group

    words = ["run", "--preset", "golden", "--results", str(results), "--jobs", jobs, "--device", device, "--yes"]
    status = group.main(args=words, prog_name="bench", standalone_mode=False)
    return status if isinstance(status, int) else 0


def _compare(results: Path, *, exact: bool, against: str = "golden") -> int:
    from bench.cli import group

    words = ["check", "--results", str(results), "--against", against, *(["--exact"] if exact else [])]
    status = group.main(args=words, prog_name="bench", standalone_mode=False)
    return status if isinstance(status, int) else 0
