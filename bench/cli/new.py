"""`bench new`: a working, tested plug-in to start from."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options.common import UserPath

WORDS = "method|enhancer|dataset|attack|model|table"


@click.command("new")
@click.argument("kind", metavar=WORDS)
@click.argument("name")
@click.option(
    "--into",
    "folder",
    type=UserPath(path_type=Path),
    default=Path(),
    show_default="the current folder",
    help="Folder of your package, or a checkout of this project.",
)
@click.option("--package", default="", metavar="NAME", help="The package to write into, where the folder has several.")
def command(kind: str, name: str, folder: Path, package: str) -> None:
    """Write a working plug-in called NAME, with its test and its entry point; change it step by step.

    In a checkout of this project it is one file in the folder of its kind. Anywhere else it goes into the package of
    the folder, which is made, with its pyproject.toml, where there is none. Nothing is overwritten.
    """
    from bench.scaffold.plugin import plan, write

    made = plan(kind, name, folder, package)
    for path in write(made):
        click.echo(f"wrote {path}" if path in made.fresh else f"entry point in {path}")
    if made.package is None:
        click.echo(f"check it: python -m bench.testing contract {made.target}")
        return
    click.echo(f"install it beside bench: pip install -e {folder}")
    click.echo(f"check it:                pytest {folder / 'tests'}   or   python -m bench.testing contract {name}")
