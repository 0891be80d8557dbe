"""The score table at the end of a run, in 80 columns: balanced accuracy, half its interval, marks; what is next."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bench.reports.extracts.scores import Block, Line, Score

#: what a line may take; a terminal has at least these
WIDTH = 80
#: letters of one score, `100.0 ±10.0` with a gap, before its marks; and those of the seeds
SCORE, SEEDS = 13, 5


def show(results: Path, ids: Collection[str], *, machine: bool = False, quiet: bool = False, **more: Any) -> None:
    """Print the scores of these cells of a store and what to type next, or all of it as JSON with `more`.

    Nothing is printed but JSON where no cell has a number, nor when it is to be `quiet`.
    """
    if quiet and not machine:
        return
    from bench.reports.extracts import scores
    from bench.reports.source import Source

    made = scores.blocks(Source(results), ids) if ids else ()
    commands = following(results, made[0].lines if made else ())
    if machine:
        told = {"results": str(results), "grid": sorted(ids), **more, "scores": scores.plain(made), "next": commands}
        click.echo(json.dumps(told, indent=1))
        return
    if not made:
        return
    click.echo("\n".join(["", *table(made), ""]))
    click.echo("Next: " + "\n      ".join(commands))


def table(made: Sequence[Block]) -> list[str]:
    """The lines of the table and of its notes; marked are flags, and numbers below which others are not comparable."""
    from bench.reports.extracts.scores import footnotes

    lines = ["Balanced accuracy in %, ± the farther end of its 95 % interval over test images"]
    for block in made:
        lines += ["", *_wrapped(block.heading), *_block(block)]
    notes = [f"{mark}: {text}" for mark, text in footnotes(made)]
    if any(line.reduced for block in made for line in block.lines):
        notes.append("reduced runs: shorter than their recipe, so not to be quoted")
    hidden = sorted({attack for block in made for attack in block.more})
    if hidden:
        notes.append(f"not shown: {', '.join(hidden)}")
    return [*lines, "", *(part for note in notes for part in _wrapped(note, "  "))] if notes else lines


def _block(block: Block) -> list[str]:
    from bench.reports.extracts.scores import attack_label

    marks = max((len(_marks(score)) for line in block.lines for score in line.scores.values()), default=0)
    name = max(WIDTH - SEEDS - len(block.attacks) * (SCORE + marks), 12)
    head = "method".ljust(name) + "seeds".rjust(SEEDS)
    lines = [head + "".join(attack_label(a).rjust(SCORE) + " " * marks for a in block.attacks).rstrip()]
    for line in block.lines:
        *first, last = textwrap.wrap(line.label, name - 1, break_on_hyphens=False)
        scores = [line.scores.get(attack) for attack in block.attacks]
        numbers = "".join(_number(score).rjust(SCORE) + _marks(score).ljust(marks) for score in scores)
        lines += [*first, last.ljust(name) + str(len(line.seeds)).rjust(SEEDS) + numbers.rstrip()]
    return lines


def _number(score: Score | None) -> str:
    return "-" if score is None else f"{score.value:.1f} ±{score.half:4.1f}"


def _marks(score: Score | None) -> str:
    from bench.reports.extracts.scores import marks

    return "" if score is None else marks(score)


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def brief(scores: dict[str, Score]) -> str:
    """`clean 91.2, PGD-20 50.3, AA 48.1`, for the line of one cell."""
    from bench.reports.extracts.scores import attack_label

    return ", ".join(f"{attack_label(attack).replace('Clean', 'clean')} {s.value:.1f}" for attack, s in scores.items())


def following(results: Path, lines: Sequence[Line] = ()) -> list[str]:
    """What to type next, a line each: the page, and two methods compared where there are two."""
    where = "" if str(results) == "results/runs" else f" --results {shlex.quote(str(results))}"
    names = list(dict.fromkeys(line.label for line in lines))
    commands = [f"bench report{where}"]
    if len(names) > 1:
        commands.append(f"bench compare {shlex.quote(names[0])} {shlex.quote(names[1])}{where}")
    return commands
