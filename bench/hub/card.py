"""The model card of a published network, written from its cell: nothing in it is typed by hand."""

from __future__ import annotations

import dataclasses
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from bench.config import format_value
from bench.judge.metrics import WORST_CLASS, metric
from bench.judge.stats import one_class, sampling
from bench.registry import registry
from bench.store import query
from bench.store.asked import command
from bench.store.counts import Counts, of_rows
from bench.store.flags import FLAGS
from bench.store.folders import read_done
from bench.store.schema import ROWS
from bench.visible import visible

LICENCE = "not stated; ask the publisher before you use the weights for anything but checking these numbers"


def card(folder: Path, licence: str = "") -> str:
    """README.md of a finished cell: threat model, classes with intervals, flags, recipe, hashes, command, licence."""
    cell = read_done(folder)
    spec, place = cell.made, cell.place
    rows = query.read_rows(folder / ROWS)
    evaluations = [
        (str(rows["test_split"].iloc[at]), str(rows["attack"].iloc[at]), counts) for at, counts in of_rows(rows)
    ]
    splits = dict.fromkeys(split for split, _, _ in evaluations)
    lines = [
        command(
            [
                dataclasses.replace(place, test_split=split, attack=a)
                for s, a, _ in evaluations
                if s == split and a != "worst"
            ]
        )
        for split in splits
    ]
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_plain,
        keep_trailing_newline=True,
    )
    text = files("bench.hub").joinpath("templates", "card.md.j2").read_text(encoding="utf-8")
    method = registry("methods").get(spec.method)
    flags = {flag.name: flag.text for flag in FLAGS}
    return environment.from_string(text).render(
        cell=cell,
        spec=spec,
        place=place,
        paper=method.paper,
        formula=method.formula,
        code_licence=method.licence,
        evaluations=[_summary(*some) for some in evaluations],
        lines=lines,
        licence=licence or LICENCE,
        stated=licence,
        classes=_classes(evaluations),
        flags=[(n, flags.get(n, n)) for n in cell.flags],
        recipe={k: v for k, v in cell.spec["recipe"].items() if v is not None} | dict(spec.hparams),
        value=format_value,
        reduced=spec.reduced,
    )


def _summary(split: str, attack: str, counts: Counts) -> dict[str, Any]:
    """One evaluation: balanced accuracy with its interval, tail and worst class, in percent."""
    found = sampling("balanced", counts.n, counts.correct)
    return {
        "split": split,
        "attack": attack,
        "images": int(counts.n.sum()),
        "balanced": 100 * found.value,
        "low": 100 * found.low,
        "high": 100 * found.high,
        "tail": 100 * float(metric("tail", counts.n, counts.correct)),
        "worst": 100 * float(metric(WORST_CLASS, counts.n, counts.correct)),
    }


def _classes(evaluations: list[tuple[str, str, Counts]]) -> list[dict[str, Any]]:
    """Each class of the first split, clean and under the strongest of `aa`, `pgd-20`, ... there is, with intervals."""
    if not evaluations:
        return []
    split = evaluations[0][0]
    found = {attack: counts for s, attack, counts in evaluations if s == split}
    shown = ["clean", next((a for a in ("aa", "aa-audited", "pgd-100", "pgd-20", "fgsm") if a in found), "clean")]
    lines = []
    for position, name in enumerate(next(iter(found.values())).names):
        line: dict[str, Any] = {"name": name, "split": split, "numbers": {}}
        for attack in dict.fromkeys(a for a in shown if a in found):
            counts = found[attack].only(position)
            line |= {"train": int(counts.train[0]), "n": int(counts.n[0])}
            recall = one_class(float(counts.n[0]), float(counts.correct[0]))
            line["numbers"][attack] = (
                int(counts.correct[0]),
                *(100 * v for v in (recall.value, recall.low, recall.high)),
            )
        lines.append(line)
    return lines


def _plain(value: Any) -> Any:
    """Names of others as text: nothing in them is taken for markup or a column."""
    return visible(value).replace("|", "\\|").replace("<", "&lt;") if type(value) is str else value
