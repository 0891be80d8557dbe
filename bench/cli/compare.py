"""`bench compare`: two methods, one method in two settings, or two stores, on the same test images."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options.common import UserPath, comma_list, results_option
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.judge.pairs.lines import Line
    from bench.judge.pairs.wanted import Wanted
    from bench.store.results import Results


@click.command("compare")
@click.argument("methods", nargs=-1, metavar="A B")
@click.option(
    "--stores",
    nargs=2,
    type=UserPath(path_type=Path),
    metavar="FOLDER FOLDER",
    help="Compare the cells that two results folders share, instead of two methods.",
)
@click.option(
    "--across",
    metavar="NAME=A,B",
    help="Compare one method in two settings of the protocol: precision=bf16,fp32, recipe=official,paper.",
)
@click.option("--attack", "attacks", metavar="NAME[,NAME]", help="Attacks to compare; all by default.")
@click.option("--dataset", metavar="NAME", help="Only this data set.")
@click.option("--ir", metavar="RATIO|natural", help="Only this imbalance ratio.")
@click.option("--test-split", default="", type=click.Choice(["", "long-tailed", "balanced"]), help="Only this split.")
@click.option(
    "--gap",
    type=float,
    metavar="POINTS",
    help="Gap for which to say how many images and seeds it needs; default: the one found.",
)
@click.option(
    "--metric",
    default="balanced",
    show_default=True,
    metavar="NAME",
    help="What is compared: balanced, standard, head, tail, tail-80, worst-class (the lowest recall of a class), or "
    "prior-R, the accuracy were the classes as frequent as at imbalance ratio R.",
)
@click.option("--level", type=float, default=0.95, show_default=True, help="Coverage of the intervals; 1 - alpha.")
@click.option("--classes", is_flag=True, help="Show McNemar's test in every class.")
@click.option("--format", "form", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@results_option
def command(
    methods: tuple[str, ...],
    stores: tuple[Path, Path] | None,
    across: str | None,
    attacks: str | None,
    dataset: str | None,
    ir: str | None,
    test_split: str,
    gap: float | None,
    metric: str,
    level: float,
    classes: bool,
    form: str,
    as_json: bool,
    results: Path,
) -> None:
    """Is A better than B? One sentence a pair, then every line: A minus B on the same images.

    A and B are methods as in `bench run`: taet, at-bsl, taet[beta=0.05]; with --across, A alone. The sentence is about
    AutoAttack and no attack; other attacks stand below it.
    """
    from bench.cli.shown import compared
    from bench.judge.metrics import check_metric
    from bench.judge.pairs.wanted import Wanted
    from bench.judge.selected import called
    from bench.store.provenance.inputs import changed

    under = () if attacks is None else tuple(comma_list(attacks, "attack"))
    for option, text in (("dataset", dataset), ("ir", ir)):
        if text is not None and not text.strip():
            raise UsageError(f"--{option} '{text}' names nothing; give one, or leave it out for all.")
    if gap is not None and not 1e-6 <= abs(gap) <= 100:
        raise UsageError(
            f"--gap {gap:g} cannot be looked for; give a difference other than 0, of 0.000001 to 100 points."
        )
    check_metric(metric)
    names, read, verb = _sides(methods, stores, across, results)
    lines = verb(Wanted(under, dataset or "", ir or "", test_split, metric, level))
    for problem in (problem for store in read for problem in store.problems):
        click.echo(f"left out: {problem}", err=True)
    cells = [cell for store in read for cell in store.cells]
    asked = [cell for cell in cells if not methods or any(called(cell.made, method) for method in methods)]
    for words in sorted({words for cell in asked for words in changed(cell)}):
        click.echo(f"note: some cells were made before changes to the code of {words}.", err=True)
    told = compared.sentences(lines, names, level)
    # one seed pooled would only repeat its own line
    facts = [
        compared.facts(line, level, None if gap is None else gap / 100)
        for line in lines
        if line.seed is not None or len(line.seeds) > 1
    ]
    if as_json or form == "json":
        about = {"a": names[0], "b": names[1], "metric": metric, "level": level}
        click.echo(json.dumps({**about, "sentences": told, "comparisons": facts}, indent=1))
    else:
        click.echo(compared.text(facts, told, names, metric, level, markdown=form == "markdown", classes=classes))


def _sides(
    methods: tuple[str, ...], stores: tuple[Path, Path] | None, across: str | None, results: Path
) -> tuple[tuple[str, str], list[Results], Callable[[Wanted], list[Line]]]:
    """The two things that are compared by name, the stores they are in, and their comparison. Raises UsageError."""
    from bench.judge.compare import compare_across, compare_methods, compare_stores
    from bench.store.results import Results

    if stores and (methods or across):
        raise UsageError("give methods or --stores FOLDER FOLDER, not both.")
    if stores:
        first, second = map(Results, stores)
        return (str(stores[0]), str(stores[1])), [first, second], partial(compare_stores, first, second)
    if across and len(methods) != 1:
        raise UsageError(
            f"--across compares one method with itself, {len(methods)} given; write for instance "
            "`bench compare taet --across precision=bf16,fp32`."
        )
    if not across and len(methods) != 2:
        raise UsageError(
            f"two methods are compared, {len(methods)} given; write for instance "
            "`bench compare taet at-bsl --attack aa`."
        )
    read = Results(results)
    if not across:
        return (methods[0], methods[1]), [read], partial(compare_methods, read, methods[0], methods[1])
    coordinate, _, values = across.partition("=")
    a, _, b = (f"{methods[0]} with {coordinate}={value}" for value in values.partition(","))
    return (a, b), [read], partial(compare_across, read, methods[0], across)
