"""`bench compare`: two methods, or two stores, on the same test images."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli._format import counted
from bench.cli._options import comma_list, results_option
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.judge.compare import Line
    from bench.judge.stats import Interval

HEAD = ("where", "attack", "seed", "difference", "images 95%", "seeds 95%", "p", "verdict", "needs")


@click.command("compare")
@click.argument("methods", nargs=-1, metavar="A B")
@click.option(
    "--stores",
    nargs=2,
    type=click.Path(path_type=Path),
    metavar="FOLDER FOLDER",
    help="Compare the cells that two results folders share, instead of two methods.",
)
@click.option("--attack", "attacks", metavar="NAME[,NAME]", help="Attacks to compare; all by default.")
@click.option("--dataset", metavar="NAME", help="Only this data set.")
@click.option("--ir", metavar="RATIO|natural", help="Only this imbalance ratio.")
@click.option("--test-split", default="", type=click.Choice(["", "long-tailed", "balanced"]), help="Only this split.")
@click.option(
    "--gap",
    type=float,
    metavar="POINTS",
    help="Balanced gap for which to say how many images and seeds it needs; default: the one found.",
)
@click.option("--level", type=float, default=0.95, show_default=True, help="Coverage of the intervals; 1 - alpha.")
@click.option("--classes", is_flag=True, help="Show McNemar's test in every class.")
@click.option("--format", "form", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True)
@results_option
def command(methods: tuple[str, ...], stores: tuple[Path, Path] | None, attacks: str | None, dataset: str | None,
            ir: str | None, test_split: str, gap: float | None, level: float, classes: bool, form: str, results: Path,
            ) -> None:  # fmt: skip
    """Balanced accuracy of A minus that of B on the same images, for each seed and pooled over seeds.

    A and B are methods as in `bench run`: taet, at-bsl, taet[beta=0.05].
    """
    from bench.judge.compare import compare_methods, compare_stores
    from bench.store.results import Results

    wanted = () if attacks is None else comma_list(attacks, "attack")
    for option, text in (("dataset", dataset), ("ir", ir)):
        if text is not None and not text.strip():
            raise UsageError(f"--{option} '{text}' names nothing; give one, or leave it out for all.")
    if gap is not None and (gap == 0 or not math.isfinite(gap)):
        raise UsageError(f"--gap {gap:g} cannot be looked for; give a difference other than 0, in points.")
    if stores and methods:
        raise UsageError("give two methods or --stores FOLDER FOLDER, not both.")
    if stores:
        names = tuple(map(str, stores))
        read = [Results(folder) for folder in stores]
        lines = compare_stores(read[0], read[1], attacks=wanted, test_split=test_split, level=level,
                               dataset=dataset or "", ir=ir or "")  # fmt: skip
    else:
        if len(methods) != 2:
            raise UsageError(f"two methods are compared, {len(methods)} given; write for instance "
                             "`bench compare taet at-bsl --attack aa`.")  # fmt: skip
        names = methods
        read = [Results(results)]
        lines = compare_methods(read[0], methods[0], methods[1], attacks=wanted, dataset=dataset or "", ir=ir or "",
                                test_split=test_split, level=level)  # fmt: skip
    for problem in (problem for store in read for problem in store.problems):
        click.echo(f"left out: {problem}", err=True)
    # one seed pooled would only repeat its own line
    facts = [_facts(line, level, None if gap is None else gap / 100) for line in lines
             if line.seed is not None or len(line.seeds) > 1]  # fmt: skip
    if form == "json":
        click.echo(json.dumps({"a": names[0], "b": names[1], "level": level, "comparisons": facts}, indent=1))
        return
    from bench.cli._verdicts import table

    common = _common(facts)
    head, body = _filled([h.replace("95%", f"{100 * level:g}%") for h in HEAD], [_cells(f, common) for f in facts])
    click.echo(f"{names[0]} minus {names[1]}, balanced accuracy in percent points")
    click.echo(", ".join(common.values()) + "\n" if common else "")
    if form == "markdown":
        rows = [head, ["---"] * len(head), *body]
        click.echo("\n".join("| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in rows))
    else:
        click.echo(table(head, body))
    for fact in facts if classes else ():
        click.echo(f"\n{fact['where']}, {fact['test_split']}, {fact['attack']}, seed {_seed(fact)}")
        often = "only" if fact["seed"] is not None else "more often"
        columns = ("class", "images", f"{often} {names[0]}", f"{often} {names[1]}", "difference", "p (Holm)")
        click.echo(table(columns, [[c["class"], str(c["images"]), str(c["only_a"]), str(c["only_b"]),
                                    f"{c['difference']:+.2f}", _p(c["p_holm"])] for c in fact["classes"]]))  # fmt: skip
    click.echo("\n" + click.wrap_text(f"{_families(facts)} {NOTE}", 110))


NOTE = (
    "A verdict rests on p: it is stricter than its interval, and the more so the more lines are asked for; --attack, "
    "--dataset, --ir and --test-split name the question. images: melded bounds over test images; seeds: "
    "Student t over training seeds. A pooled verdict needs both; with one seed it is about these two networks only. "
    "needs: test images, and seeds where their spread is known, to find the gap with 80% power."
)


def _families(facts: Sequence[dict[str, Any]]) -> str:
    """Over how many lines each p was corrected; the intervals are not."""
    sizes = {"pooled" if fact["seed"] is None else "of one seed": fact["p_lines"] for fact in facts}
    told = " and among the ".join(f"{counted(size, 'line')} {kind}" for kind, size in sizes.items())
    return f"Each interval is that of its line alone; p is corrected (Holm) among the {told}."


def _parts(where: dict[str, Any], test_split: str) -> dict[str, str]:
    """What a line is about, by what it is."""
    from bench.store.where import FIELDS, USUAL

    ratio = "natural" if where["ir"] is None else f"IR {where['ir']:g}"
    named = {"method": where["method"]} if "method" in where else {}
    named |= {"dataset": where["dataset"], "ir": ratio, "model": where["model"]}
    unusual = {k: FIELDS[k].metadata["words"].format(where[k]) for k, v in USUAL.items() if where[k] != v}
    return named | unusual | {"test_split": test_split}


def _common(facts: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The parts that all lines share: they stand once, above the table."""
    first, *others = [_parts(fact["cell"], fact["test_split"]) for fact in facts]
    return {name: text for name, text in first.items() if all(other.get(name) == text for other in others)}


def _filled(head: Sequence[str], body: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """The columns in which anything stands."""
    kept = [i for i in range(len(head)) if any(row[i] not in ("", "-") for row in body)]
    return [head[i] for i in kept], [[row[i] for i in kept] for row in body]


def _facts(line: Line, level: float, gap: float | None) -> dict[str, Any]:
    """A line as plain values, differences in percent points."""
    from bench.judge.paired import images_needed, seeds_needed

    result = line.comparison
    claimed = result.difference if gap is None else gap
    *places, _ = _parts(line.where, line.test_split).values()
    return {
        "where": " ".join(places), "cell": line.where, "test_split": line.test_split, "attack": line.attack,
        "seed": line.seed, "seeds": list(line.seeds), "difference": 100 * result.difference,
        "images_interval": _bounds(result.images), "seeds_interval": _bounds(result.seeds),
        "p_images": result.p_images, "p_seeds": result.p_seeds, "p_holm": line.p, "p_lines": line.family,
        "verdict": line.verdict, "gap": 100 * claimed, "images": result.size,
        "images_needed": images_needed(result, claimed, level) if claimed else None,
        "seeds_needed": seeds_needed(result, claimed, level) if claimed else None,
        "classes": [{
            "class": line.class_names.get(c.label, str(c.label)), "images": c.n, "only_a": c.only_a, "only_b": c.only_b,
            "difference": 100 * c.difference, "p": c.p, "p_holm": line.class_p[c.label],
        } for c in result.classes],
    }  # fmt: skip


def _bounds(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [100 * interval.low, 100 * interval.high]


def _seed(fact: dict[str, Any]) -> str:
    return f"pooled ({len(fact['seeds'])})" if fact["seed"] is None else str(fact["seed"])


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _cells(fact: dict[str, Any], common: Collection[str]) -> list[str]:
    def bounds(pair: list[float] | None) -> str:
        return "-" if pair is None else f"[{pair[0]:+.2f}, {pair[1]:+.2f}]"

    images, seeds = fact["images_needed"], fact["seeds_needed"]
    needs = "-" if images is None else f"{images} images" + ("" if seeds is None else f", {seeds} seeds")
    own = [text for name, text in _parts(fact["cell"], fact["test_split"]).items() if name not in common]
    where = [" ".join(own), fact["attack"], _seed(fact)]
    known = [f"{fact['difference']:+.2f}", bounds(fact["images_interval"]), bounds(fact["seeds_interval"])]
    return [*where, *known, _p(fact["p_holm"]), fact["verdict"], needs]
