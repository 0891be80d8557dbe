"""A comparison in words, as a table, and as plain values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from bench.cli.shown.format import counted
from bench.cli.shown.verdicts import table

if TYPE_CHECKING:
    from bench.judge.pairs.lines import Line
    from bench.judge.stats import Interval

HEAD = ("where", "attack", "seed", "difference", "images 95%", "seeds 95%", "p", "verdict", "needs")
NOTE = (
    "In a sentence's brackets: from the lower to the higher end of both intervals. A verdict rests on p: it is "
    "stricter than its interval, and the more so the more lines are asked for; --attack, --dataset, --ir and "
    "--test-split name the question. images: melded bounds over test images; seeds: "
    "Student t over training seeds. A pooled verdict needs both; with one seed it is about these two networks only. "
    "needs: test images, and seeds where their spread is known, to find the gap with 80% power."
)
AUDITED = (
    "An audited evaluation attacked a part of the images: its interval holds what that may hide, and it is never the "
    "number of the full attack."
)
#: what a metric is called behind its name in a heading
CALLED = {"worst-class": "lowest recall of a class", "tail": "tail accuracy", "head": "head accuracy"}


def facts(line: Line, level: float, gap: float | None) -> dict[str, Any]:
    """A line as plain values, differences in percent points."""
    from bench.judge.pairs.needed import images_needed, seeds_needed

    result = line.comparison
    claimed = result.difference if gap is None else gap
    *places, _ = _parts(line.where, line.test_split).values()
    return {
        "where": " ".join(places),
        "cell": line.where,
        "test_split": line.test_split,
        "attack": line.attack,
        "primary": line.primary,
        "audited": line.audited,
        "flags_a": list(line.flags[0]),
        "flags_b": list(line.flags[1]),
        "seed": line.seed,
        "seeds": list(line.seeds),
        "difference": 100 * result.difference,
        "images_interval": _bounds(result.images),
        "seeds_interval": _bounds(result.seeds),
        "p_images": result.p_images,
        "p_seeds": result.p_seeds,
        "p_holm": line.p,
        "p_lines": line.family,
        "verdict": line.verdict,
        "gap": 100 * claimed,
        "images": result.size,
        "images_needed": images_needed(result, claimed, level) if claimed else None,
        "seeds_needed": seeds_needed(result, claimed, level) if claimed else None,
        "classes": [
            {
                "class": line.class_names.get(c.label, str(c.label)),
                "images": c.n,
                "only_a": c.only_a,
                "only_b": c.only_b,
                "difference": 100 * c.difference,
                "p": c.p,
                "p_holm": line.class_p[c.label],
            }
            for c in result.classes
        ],
    }


def sentences(lines: Iterable[Line], names: tuple[str, str], level: float) -> list[str]:
    """One sentence a pair: its verdict under AutoAttack and without attack, by how much, and what would tell."""
    pairs: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines:
        if line.primary and line.seed is None:  # pooled, or one alone: what the pair comes to
            pairs.setdefault((*line.where.items(), line.test_split), []).append(line)
    told = []
    for some in pairs.values():
        seeds = sorted({seed for line in some for seed in line.seeds})
        where = ", ".join(_parts(some[0].where, some[0].test_split).values())
        ordered = sorted(some, key=lambda line: (line.attack == "clean", line.attack))
        verdicts = "; ".join(_verdict(line, level, len(seeds)) for line in ordered)
        flagged = "".join(map(_flagged, names, zip(*(line.flags for line in some), strict=True)))
        told.append(f"{names[0]} against {names[1]} ({where}, {counted(len(seeds), 'seed')}): {verdicts}.{flagged}")
    return told


def _flagged(name: str, flags: Iterable[Sequence[str]]) -> str:
    """` A number of taet may be no measure of robustness (collapse).`; empty where none has such a flag."""
    names = sorted({flag for some in flags for flag in some})
    return f" A number of {name} may be no measure of robustness ({', '.join(names)})." if names else ""


def _verdict(line: Line, level: float, seeds: int) -> str:
    """`better under aa by 2.31 points (+0.50 to +4.12, p 0.004)`; what is not told apart, with what would tell it.

    `seeds`: how many the sentence is about; a line of fewer says so.
    """
    under = "clean" if line.attack == "clean" else f"under {line.attack}"
    under += f" with {counted(len(line.seeds), 'seed')}" if len(line.seeds) < seeds else ""
    fact = facts(line, level, None)
    known = [fact["images_interval"], *filter(None, [fact["seeds_interval"]])]
    low, high = min(pair[0] for pair in known), max(pair[1] for pair in known)  # what decides stands in it
    sure = f"{low:+.2f} to {high:+.2f}, p {p_text(fact['p_holm'])}"
    if line.verdict != "not distinguishable":
        return f"{line.verdict} {under} by {abs(fact['difference']):.2f} points ({sure})"
    return f"not distinguishable {under}: {fact['difference']:+.2f} points ({sure}{_telling(fact)})"


def _telling(fact: dict[str, Any]) -> str:
    """What a difference as found would need to be told from none."""
    images, seeds = fact["images_needed"], fact["seeds_needed"]
    if images is None:
        return "; no difference was found"
    needs = [f"{images} test images instead of {fact['images']}"] if images > fact["images"] else []
    needs += [f"{seeds} seeds instead of {len(fact['seeds'])}"] if seeds and seeds > len(fact["seeds"]) else []
    return "; telling it takes " + (" and ".join(needs) if needs else "fewer comparisons at once")


def _parts(where: dict[str, Any], test_split: str) -> dict[str, str]:
    """What a line is about, by what it is."""
    from bench.store.where import FIELDS, USUAL

    told = {**where, "ir": "natural" if where["ir"] is None else f"IR {where['ir']:g}"} if "ir" in where else where
    named = {name: told[name] for name in ("method", "dataset", "ir", "model") if name in told}
    unusual = {k: FIELDS[k].metadata["words"].format(where[k]) for k, v in USUAL.items() if where.get(k, v) != v}
    return named | unusual | {"test_split": test_split}


def text(
    all_: Sequence[dict[str, Any]],
    told: Sequence[str],
    names: tuple[str, str],
    metric: str,
    level: float,
    *,
    markdown: bool,
    classes: bool,
) -> str:
    """The sentences, the table of all lines, McNemar's test in every `classes` of each, and what it all means."""
    shared = common(all_)
    head, body = filled(all_, shared, level)
    return "\n".join(
        [
            "\n\n".join(told) if markdown else wrapped(told),
            "",
            f"{names[0]} minus {names[1]}, {CALLED.get(metric, f'{metric} accuracy')} in percent points",
            *([", ".join(shared.values())] if shared else []),
            "",
            _markdown(head, body) if markdown else table(head, body),
            *(line for fact in (all_ if classes else ()) for line in _by_class(fact, names)),
            "",
            wrapped(notes(all_)),
        ]
    )


def _markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def _by_class(fact: dict[str, Any], names: tuple[str, str]) -> list[str]:
    """McNemar's test in every class of a line."""
    title = f"{fact['where']}, {fact['test_split']}, {fact['attack']}, seed {seed_text(fact)}"
    if not fact["classes"]:
        return ["", title, "the test of a class needs all of its verdicts, and an audit left some out"]
    often = "only" if fact["seed"] is not None else "more often"
    columns = ("class", "images", f"{often} {names[0]}", f"{often} {names[1]}", "difference", "p (Holm)")
    body = [
        [
            c["class"],
            str(c["images"]),
            str(c["only_a"]),
            str(c["only_b"]),
            f"{c['difference']:+.2f}",
            p_text(c["p_holm"]),
        ]
        for c in fact["classes"]
    ]
    return ["", title, table(columns, body)]


def common(all_: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The parts that all lines share: they stand once, above the table."""
    first, *others = [_parts(fact["cell"], fact["test_split"]) for fact in all_]
    return {name: text for name, text in first.items() if all(other.get(name) == text for other in others)}


def filled(all_: Sequence[dict[str, Any]], shared: Collection[str], level: float) -> tuple[list[str], list[list[str]]]:
    """Head and body of the table: the columns in which anything stands."""
    head = [h.replace("95%", f"{100 * level:g}%") for h in HEAD]
    body = [_cells(fact, shared) for fact in all_]
    kept = [i for i in range(len(head)) if any(row[i] not in ("", "-") for row in body)]
    return [head[i] for i in kept], [[row[i] for i in kept] for row in body]


def notes(all_: Sequence[dict[str, Any]]) -> list[str]:
    """What p was corrected over, what the columns mean, and what an audit is where one has part."""
    return [f"{_families(all_)} {NOTE}", *([AUDITED] if any(fact["audited"] for fact in all_) else [])]


def _families(all_: Sequence[dict[str, Any]]) -> str:
    """Over how many lines each p was corrected; the intervals are not."""
    plain = all(fact["primary"] for fact in all_)
    sizes: dict[tuple[str, str], int] = {}
    for fact in sorted(all_, key=lambda fact: not fact["primary"]):
        noun = "primary line" if fact["primary"] and not plain else "line"
        kind = ("" if plain or fact["primary"] else " of all attacks") + (
            " pooled" if fact["seed"] is None else " of one seed"
        )
        sizes[noun, kind] = fact["p_lines"]
    told = " and among the ".join(f"{counted(size, noun)}{kind}" for (noun, kind), size in sizes.items())
    about = "" if plain else " Primary are AutoAttack and no attack."
    return f"Each interval is that of its line alone; p is corrected (Holm) among the {told}.{about}"


def _bounds(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [100 * interval.low, 100 * interval.high]


def seed_text(fact: dict[str, Any]) -> str:
    """`0`, or `pooled (3)`."""
    return f"pooled ({len(fact['seeds'])})" if fact["seed"] is None else str(fact["seed"])


def p_text(value: float) -> str:
    """`0.041`, `<0.001`."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _cells(fact: dict[str, Any], shared: Collection[str]) -> list[str]:
    def bounds(pair: list[float] | None) -> str:
        return "-" if pair is None else f"[{pair[0]:+.2f}, {pair[1]:+.2f}]"

    images, seeds = fact["images_needed"], fact["seeds_needed"]
    needs = "-" if images is None else f"{images} images" + ("" if seeds is None else f", {seeds} seeds")
    own = [text for name, text in _parts(fact["cell"], fact["test_split"]).items() if name not in shared]
    where = [" ".join(own), fact["attack"], seed_text(fact)]
    known = [f"{fact['difference']:+.2f}", bounds(fact["images_interval"]), bounds(fact["seeds_interval"])]
    return [*where, *known, p_text(fact["p_holm"]), fact["verdict"], needs]


def wrapped(texts: Iterable[str]) -> str:
    """Paragraphs of at most 110 columns."""
    return "\n".join(click.wrap_text(text, 110) for text in texts)
