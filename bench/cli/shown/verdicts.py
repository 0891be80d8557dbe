"""The verdicts of a check as text, JSON, JUnit XML or Markdown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from xml.etree import ElementTree

from bench.judge.check import FAILING, Number, Outcome
from bench.judge.verdict import REFUSED
from bench.store.where import USUAL

#: reasons that a summary names
REASONS = 3
#: what to do where the reference is of another grid than the results
ADVICE = (
    "--against names another reference, such as a store of the same grid; `bench golden check` runs the golden grid "
    "and checks that."
)


def describe(where: Mapping[str, Any]) -> str:
    """`taet[beta=0.05] digitslt IR 10 small-cnn seed 0, long-tailed, aa`."""
    method = where.get("method", "") + (f"[{where['variant']}]" if "variant" in where else "")
    parts = [f"Table {where['table']}:"] if "table" in where else []
    parts += [method, *([str(where["variable"])] if "variable" in where else []), str(where.get("dataset", ""))]
    parts += [f"IR {where['ir']:g}"] if "ir" in where else []
    parts += [str(where.get("model", "")), *([f"seed {where['seed']}"] if "seed" in where else [])]
    parts += [str(where[name]) for name in USUAL if name in where]
    ends = [str(where[k]) for k in ("test_split", "attack") if k in where]
    return ", ".join([" ".join(p for p in parts if p), *ends])


def points(value: float | None, sign: bool = False) -> str:
    """A fraction in percent points with two decimals; `-` for None."""
    return "-" if value is None else f"{100 * value:+.2f}" if sign else f"{100 * value:.2f}"


def summary(outcome: Outcome) -> str:
    """One sentence: how many numbers got which verdict, and whether the check passed."""
    compared = _compared(outcome)
    counts = ", ".join(
        f"{count} {verdict}" if compared or verdict != REFUSED else f"{count} {REFUSED.upper()} ({_reasons(outcome)})"
        for verdict, count in sorted(outcome.counts.items())
    )
    extra = f"; {outcome.extra} measured evaluations are not in the reference" if outcome.extra else ""
    result = "passed" if outcome.passed else "failed" if compared else "failed, nothing could be compared"
    advice = "" if compared else f" {ADVICE}"
    return f"check against {outcome.reference} {result}: {counts}{extra}.{advice}"


def _reasons(outcome: Outcome) -> str:
    """Why numbers were refused, the most frequent reasons first."""
    often = Counter(n.reason for n in outcome.numbers if n.verdict == REFUSED)
    told = [reason if len(often) == 1 else f"{count}: {reason}" for reason, count in often.most_common(REASONS)]
    return "; ".join([*told, *([f"and {len(often) - REASONS} other reasons"] if len(often) > REASONS else [])])


def _compared(outcome: Outcome) -> bool:
    return any(n.measured is not None for n in outcome.numbers)


def _shown(outcome: Outcome, everything: bool) -> list[Number]:
    """What fails; where nothing could be compared, the summary has said it all."""
    failing = FAILING if _compared(outcome) else ()
    return [n for n in outcome.numbers if everything or n.verdict in failing]


def text(outcome: Outcome, everything: bool = False) -> str:
    """Failing (or all) numbers, one a line, then the summary."""
    lines = []
    for n in _shown(outcome, everything):
        allowed = " (allowed)" if n.verdict == "missing" and outcome.allow_missing else ""
        values = (
            f"reference {points(n.reference)}, measured {points(n.measured)} ({points(n.difference, True)}; "
            f"tolerance {points(outcome.tolerance)}, margin {points(n.margin)})"
        )
        compared = values if n.measured is not None else f"reference {points(n.reference)}" if n.reference else ""
        detail = "; ".join(part for part in (compared, n.reason) if part)
        lines.append(f"{n.verdict.upper()}{allowed}  {describe(n.where)}, {n.name}: {detail}")
    return "\n".join([*lines, summary(outcome)])


def markdown(outcome: Outcome, everything: bool = False) -> str:
    """A table of failing (or all) numbers under the summary."""
    lines = [summary(outcome), ""]
    shown = _shown(outcome, everything)
    if shown:
        lines += [
            "| verdict | what | number | reference | measured | difference | tolerance | margin | note |",
            "|---|---|---|--:|--:|--:|--:|--:|---|",
        ]
    for n in shown:
        cells = (n.verdict, describe(n.where), n.name, points(n.reference), points(n.measured),
                 points(n.difference, True), points(outcome.tolerance), points(n.margin), n.reason)  # fmt: skip
        lines.append("| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |")
    return "\n".join(lines).rstrip()


def as_json(outcome: Outcome) -> str:
    """Everything as JSON; values in percent points."""

    def percent(value: float | None) -> float | None:
        return None if value is None else round(100 * value, 6)

    return json.dumps(
        {
            "reference": outcome.reference,
            "passed": outcome.passed,
            "tolerance": percent(outcome.tolerance),
            "allow_missing": outcome.allow_missing,
            "counts": dict(sorted(outcome.counts.items())),
            "extra": outcome.extra,
            "numbers": [
                {
                    "where": n.where,
                    "name": n.name,
                    "reference": percent(n.reference),
                    "measured": percent(n.measured),
                    "difference": percent(n.difference),
                    "margin": percent(n.margin),
                    "verdict": n.verdict,
                    "reason": n.reason,
                }
                for n in outcome.numbers
            ],
        },
        indent=1,
    )


def junit(outcome: Outcome) -> str:
    """A JUnit test suite with one case a number; allowed missing ones are skipped."""
    failing = {id(n) for n in outcome.failing()}
    missing = [n for n in outcome.numbers if n.verdict == "missing" and id(n) not in failing]
    suite = ElementTree.Element(
        "testsuite",
        name=f"bench check {outcome.reference}",
        tests=str(len(outcome.numbers)),
        failures=str(len(failing)),
        errors="0",
        skipped=str(len(missing)),
    )
    for n in outcome.numbers:
        case = ElementTree.SubElement(suite, "testcase", classname=describe(n.where), name=n.name)
        if id(n) in failing:
            message = f"{n.verdict}: reference {points(n.reference)}, measured {points(n.measured)}"
            ElementTree.SubElement(case, "failure", message=message, type=n.verdict).text = n.reason or message
        elif n.verdict == "missing":
            ElementTree.SubElement(case, "skipped", message=n.reason)
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True)


FORMATS: dict[str, Callable[[Outcome, bool], str]] = {
    "text": text,
    "markdown": markdown,
    "json": lambda outcome, _: as_json(outcome),
    "junit": lambda outcome, _: junit(outcome),
}


def table(head: Iterable[str], body: Iterable[Iterable[str]]) -> str:
    """Columns aligned by spaces: the first to the left, numbers as they come."""
    rows = [list(head), *map(list, body)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
