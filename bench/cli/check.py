"""`bench check`: a results folder against a stored one, the golden store, or the paper."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options.common import UserPath, results_option


@click.command("check")
@results_option
@click.option(
    "--against",
    default="golden",
    show_default=True,
    metavar="FILE|FOLDER|golden|paper",
    help="Reference: a results folder, a per_class.csv, the small grid that comes with bench, or the paper.",
)
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "junit", "markdown"]), default="text", show_default=True
)
@click.option(
    "--tolerance",
    type=float,
    default=1.0,
    show_default=True,
    metavar="POINTS",
    help="Absolute tolerance in percent points. A number fails beyond this and its statistical margin.",
)
@click.option("--level", type=float, default=0.95, show_default=True, help="Coverage of the statistical margin.")
@click.option("--exact", is_flag=True, help="Ask for equal counts instead (same cells on the same kind of machine).")
@click.option("--allow-missing", is_flag=True, help="A number that was not measured does not fail the check.")
@click.option("--junit", type=UserPath(path_type=Path, dir_okay=False), help="Write the verdicts as JUnit XML too.")
@click.option(
    "--summary",
    type=UserPath(path_type=Path, dir_okay=False),
    help="Append them as Markdown to a file, such as the summary of a CI's step.",
)
@click.option("--all", "everything", is_flag=True, help="Text and Markdown: show every number, not only failures.")
def command(
    results: Path,
    against: str,
    form: str,
    tolerance: float,
    level: float,
    exact: bool,
    allow_missing: bool,
    junit: Path | None,
    summary: Path | None,
    everything: bool,
) -> int:
    """Compare a results folder with a reference, a verdict a number; exit code 1 when any left its range.

    A cell that is damaged or stale is left out and named, and the check fails; of the reference it is refused.

    Only comparable numbers are compared: another benchmark version, source of images, recipe or test split is refused,
    and the line says which field differs.
    """
    from bench.cli.shown.verdicts import FORMATS
    from bench.errors import UsageError
    from bench.judge import reference
    from bench.judge.check import check_rows
    from bench.judge.paper import check_paper
    from bench.store.folders import atomic_write

    if exact and against == "paper":
        raise UsageError("--exact needs counts, and the paper prints none; leave it out or give a stored folder.")
    measured, ours, problems = reference.seen(results)
    if against == "paper":
        outcome = check_paper(
            measured, reference.paper_tables(), tolerance=tolerance / 100, level=level, allow_missing=allow_missing
        )
    else:
        rows, theirs = reference.read(reference.place(against))
        both = ours, theirs
        outcome = check_rows(
            measured,
            rows,
            audits=both,
            name=against,
            tolerance=tolerance / 100,
            level=level,
            exact=exact,
            allow_missing=allow_missing,
        )
    if junit is not None:
        atomic_write(junit, FORMATS["junit"](outcome, everything) + "\n")
    if summary is not None:
        summary.parent.mkdir(parents=True, exist_ok=True)
        with summary.open("a", encoding="utf-8") as file:
            file.write(FORMATS["markdown"](outcome, everything) + "\n")
    click.echo(FORMATS[form](outcome, everything))
    for problem in problems:
        click.echo(f"left out: {problem}", err=True)
    return 0 if outcome.passed and not problems else 1
