"""A page for each cell of the store: what it is, what it rests on, and its counts."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from bench.config import format_value
from bench.reports import paper
from bench.reports.model import CellPage, CountTable
from bench.reports.source import Source
from bench.store.parts.record import CellRecord

#: what stands behind the status of a cell one of whose files cannot be read
DAMAGED = ", but damaged: its numbers are left out"


def cell_pages(source: Source, some: Collection[str] | None = None) -> list[CellPage]:
    """All cells (or `some`) by their ids: those with a cell.json, and those known by their rows alone."""
    known = {*source.cells, *source.by_cell}
    return [_page(source, cell) for cell in sorted(known if some is None else known.intersection(some))]


def _page(source: Source, cell: str) -> CellPage:
    record = source.cells.get(cell)
    body = record.document if record else {}
    counts = tuple(_counts(split, runs) for split, runs in sorted(source.by_cell.get(cell, {}).items()))
    groups = [
        (
            "Cell",
            {
                "id": cell,
                "benchmark": body.get("benchmark"),
                "schema": body.get("schema"),
                "show": f"bench show {cell}",
            },
        ),
        ("Specification", body.get("spec")),
        ("Seeds of the streams", body.get("seeds")),
        ("Data", {k: v for k, v in (body.get("data") or {}).items() if k != "class_names"}),
        ("Versions", body.get("versions")),
        ("Device", body.get("device")),
        ("Stages", body.get("stages")),
        ("Evaluations", body.get("evaluations")),
        ("Flags", {"flags": " ".join(record.flags)} if record else None),
        ("History", {h.at: f"{h.status} {h.stage}".strip() for h in record.history} if record else None),
    ]
    status = (record.status if record else "known by its rows only") + (DAMAGED if source.damaged(cell) else "")
    failure = record.failure if record else None
    return CellPage(
        id=cell,
        title=_title(source, record) if record else cell,
        seed=str(record.made.seed) if record else "",
        status=status,
        facts=tuple((name, facts) for name, values in groups if (facts := tuple(_flat(values)))),
        counts=counts,
        failure=f"{failure.stage}: {failure.message}\n{failure.traceback}" if failure else "",
    )


def _title(source: Source, record: CellRecord) -> str:
    """`TAET[beta=0] · IR 10 · seed 0 · paper recipe`."""
    spec = record.made
    ratio = source.ratios.get(record.id, spec.ir)
    method = paper.method_label(record.place.label)
    ir = "" if ratio is None or math.isnan(ratio) else f"IR {format_value(ratio)}"
    parts = (method, ir, f"seed {spec.seed}", f"{spec.recipe.name} recipe")
    return " · ".join(part for part in parts if part)


def _counts(split: str, runs: Any) -> CountTable:
    first = runs[0]
    classes = tuple(zip(first.counts.names, map(int, first.counts.train), map(int, first.n), strict=True))
    return CountTable(
        split, classes, tuple((e.where.attack, tuple(map(int, e.correct)), " ".join(e.flags)) for e in runs)
    )


def _flat(values: Mapping[str, Any] | None, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as (dotted name, text); what is empty is left out."""
    for name, value in (values or {}).items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value not in (None, "", [], ()):
            yield f"{prefix}{name}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return format_value(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
