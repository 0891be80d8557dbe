"""`bench golden`: the whole benchmark in small, run afresh and compared with what is stored."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Container
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
@click.option("--results", type=UserPath(path_type=Path), help="A new folder that keeps the fresh run. Default: none.")
@click.option("--exact", is_flag=True, help="Ask for equal counts (the kind of machine that wrote the golden store).")
@device_option
def check(jobs: str, results: Path | None, exact: bool, device: str) -> int:
    """Run the golden grid afresh and check every number against the stored one; exit code 1 when one left its range."""
    from bench.errors import UsageError

    if results is not None and results.is_dir() and any(results.iterdir()):
        raise UsageError(f"{results} is not empty, and the check runs afresh; remove it, or give a new folder.")
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
    """Run the golden grid, print what moved, and rewrite the stored numbers. Review the diff before you commit it.

    The folder is rewritten as a whole, so one that holds anything else is refused.
    """
    from bench.judge.reference import shipped
    from bench.store.copies.publish import publish
    from bench.store.copies.whole import beside, replace, restore

    ours = shipped("golden").resolve()
    target = (target or ours).resolve()
    restore(target)
    _must_be_a_store(target, _cells(ours) if target == ours else _grid())
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        if status := _run(fresh, jobs, device):
            return status
        if any(target.glob("*/per_class.csv")):
            _compare(fresh, exact=True, against=str(target))
        with beside(target) as place:
            count = publish(fresh, place).counts.total()
            for extra in target.glob("*.md") if target.exists() else ():
                shutil.copy(extra, place)
            replace(place, target)
    click.echo(f"{count} cells written to {target}; look at the difference with `git diff --stat {target}`.")
    return 0


def _must_be_a_store(target: Path, cells: Container[str]) -> None:
    """Raises StoreError where a folder holds anything but these cells as they are published, and texts."""
    from bench.errors import StoreError
    from bench.store.copies.whole import foreign

    if target.exists() and not target.is_dir():
        raise StoreError(f"{target} is a file; give a folder.")
    if found := foreign(target, cells):
        raise StoreError(
            f"{target} holds {found[0]}, which is no part of the golden grid and would be lost; move it away, or give "
            "another folder."
        )


def _cells(root: Path) -> set[str]:
    """Cells of a folder, of whatever grid."""
    from bench.store.query import folders

    return {folder.name for folder in folders(root)} if root.exists() else set()


def _grid() -> set[str]:
    """Cells of the golden grid."""
    from bench import presets
    from bench.engine.grid import expand

    return {task.spec.id for grid in presets.grids("golden") for task in expand(grid)}


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
