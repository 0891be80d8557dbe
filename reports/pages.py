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

#: what stands behind the status of a cell one of whose files cannot be read
DAMAGED = ", but damaged: its numbers are left out"


def cell_pages(source: Source, some: Collection[str] | None = None) -> list[CellPage]:
    """All cells (or `some`) by their ids: those with a cell.json, and those known by their rows alone."""
    known = {*source.cells, *source.by_cell}
    return [_page(source, cell) for cell in sorted(known if some is None else known.intersection(some))]


def _page(source: Source, cell: str) -> CellPage:
    body = source.cells.get(cell, {})
    spec = body.get("spec", {})
    counts = tuple(_counts(split, runs) for split, runs in sorted(source.by_cell.get(cell, {}).items()))
    failure = body.get("failure") or {}
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
        ("Specification", spec),
        ("Seeds of the streams", body.get("seeds")),
        ("Data", {k: v for k, v in (body.get("data") or {}).items() if k != "class_names"}),
        ("Versions", body.get("versions")),
        ("Device", body.get("device")),
        ("Stages", body.get("stages")),
        ("Evaluations", body.get("evaluations")),
        ("Flags", {"flags": " ".join(body["flags"])} if body.get("flags") else None),
        (
            "History",
            {h.get("at", "?"): f"{h.get('status')} {h.get('stage', '')}".strip() for h in body.get("history", [])},
        ),
    ]
    status = body.get("status", "known by its rows only") + (DAMAGED if source.damaged(cell) else "")
    return CellPage(
        id=cell, title=_title(source, cell, spec), seed=str(spec.get("seed", "")), status=status,
        facts=tuple((name, facts) for name, values in groups if (facts := tuple(_flat(values)))),
        counts=counts,
        failure="{stage}: {message}\n{traceback}".format_map({"stage": "", "message": "", "traceback": ""} | failure)
        if failure else "",
    )  # fmt: skip


def _title(source: Source, cell: str, spec: Mapping[str, Any]) -> str:
    """`TAET[beta=0] · IR 10 · seed 0 · paper recipe`; the id of a cell that is known by its rows alone."""
    if not spec:
        return cell
    ratio = source.ratios.get(cell, spec.get("ir"))
    settings = f"[{spec['variant']}]" if spec.get("variant") else ""
    method = paper.method_label(spec["method"] + settings + spec.get("enhanced", ""))
    ir = "" if ratio is None or math.isnan(ratio) else f"IR {format_value(ratio)}"
    parts = (method, ir, f"seed {spec['seed']}", f"{spec['recipe']['name']} recipe")
    return " · ".join(part for part in parts if part)


def _counts(split: str, runs: Any) -> CountTable:
    first = runs[0]
    classes = tuple(zip(first.names, map(int, first.train_count), map(int, first.n), strict=True))
    return CountTable(split, classes, tuple((e.attack, tuple(map(int, e.correct)), " ".join(e.flags)) for e in runs))


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
