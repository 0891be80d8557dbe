"""`bench leaderboard`: a folder of entries as a static page."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options.common import UserPath
from bench.cli.shown.format import counted


@click.command("leaderboard")
@click.argument("folder", type=UserPath(path_type=Path, file_okay=False))
@click.option("--check", is_flag=True, help="Derive every number again from the counts; write nothing.")
@click.option(
    "--robustbench",
    type=UserPath(path_type=Path, file_okay=False),
    metavar="TARGET",
    help="Also write every entry there under RobustBench's field names.",
)
def command(folder: Path, check: bool, robustbench: Path | None) -> int:
    """Write FOLDER/index.html from FOLDER/entries/*.json: one page that needs no network and no other file.

    Balanced accuracy under AutoAttack comes first. Numbers always follow from the counts; an entry whose stated numbers
    do not is refused here, and named by --check (exit code 1). A page that was not written so is never overwritten.
    """
    from bench.board.page import PAGE, html, load, must_be_ours, problems
    from bench.board.robustbench import model_info
    from bench.board.submit import file_name
    from bench.errors import StoreError
    from bench.store.folders import atomic_write

    if check:
        wrong, stale = problems(folder)
        found = [*wrong, stale] if stale else wrong
        for problem in found:
            click.echo(problem)
        click.echo(f"{counted(len(found), 'problem')} in {folder}." if found else f"every number of {folder} follows.")
        return 1 if found else 0
    entries = load(folder)
    must_be_ours(folder / PAGE)
    if wrong := problems(folder)[0]:
        raise StoreError(f"{wrong[0]} Mend the entry, or submit its cells again.")
    atomic_write(folder / PAGE, html(entries))
    for entry in entries if robustbench else ():
        atomic_write(Path(robustbench or "", file_name(entry)), model_info(entry))
    click.echo(f"{folder / PAGE}: {len(entries)} entr{'y' if len(entries) == 1 else 'ies'}.")
    return 0
