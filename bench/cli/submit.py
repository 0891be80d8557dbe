"""`bench submit`: cells as one entry of a leaderboard."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options.common import UserPath, results_option


@click.command("submit")
@click.argument("cells", nargs=-1, required=True, metavar="CELL...")
@results_option
@click.option(
    "--to",
    "target",
    type=UserPath(path_type=Path, file_okay=False),
    default=Path("leaderboard"),
    show_default=True,
    help="The leaderboard's folder.",
)
@click.option("--test-split", type=click.Choice(["long-tailed", "balanced"]), default="long-tailed", show_default=True)
@click.option("--paper", default="", help="Authors, title, venue, in one line; the method's own if left out.")
@click.option("--url", default="", metavar="ADDRESS", help="Where the paper is.")
@click.option("--code", default="", metavar="ADDRESS", help="Where the method's code is; known for this project's own.")
@click.option("--extra-data", default="", help="Data beyond the training set, such as pretraining; none if left out.")
@click.option("--replace", is_flag=True, help="Overwrite the entry of this configuration.")
def command(
    cells: tuple[str, ...],
    results: Path,
    target: Path,
    test_split: str,
    paper: str,
    url: str,
    code: str,
    extra_data: str,
    replace: bool,
) -> None:
    """Write the entry of CELLs (beginnings or ends of ids): one configuration, a cell a seed.

    Every cell is verified first. The entry is one small JSON file for review: what was measured and how, the counts of
    every class, and the numbers that follow. One without code or without a hash of its weights is shown as claimed.
    """
    from bench.board.entry import written
    from bench.board.page import ENTRIES
    from bench.board.submit import Said, build, file_name
    from bench.errors import UsageError
    from bench.store.folders import atomic_write
    from bench.store.query import find

    folders = list(dict.fromkeys(find(results, cell) for cell in cells))
    entry = build(folders, test_split, Said(paper, url, code, extra_data))
    path, content = target / ENTRIES / file_name(entry), written(entry)
    if path.exists() and path.read_bytes() != content and not replace:
        raise UsageError(f"{path} holds another entry of this configuration; give --replace to overwrite it.")
    atomic_write(path, content)
    first = entry.numbers["aa"]
    click.echo(
        f"{path}: balanced AA {first['balanced']:.2f} [{first['low']:.2f}, {first['high']:.2f}], tail "
        f"{first['tail']:.2f}, worst class {first['worst-class']:.2f}"
    )
    if entry.claimed:
        click.echo(f"it will be shown as claimed, not measured: {entry.claimed}.")
    click.echo(f"render the page: bench leaderboard {target}")
