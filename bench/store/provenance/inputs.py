"""Which cells of a store were made from other code or data than the rest of it: stale, named, and never mixed with it.

A cell keeps what it was made from in `inputs` of cell.json: a mark of its data's files (`data`) and of the code of its
`method`, `model`, `dataset` and each enhancer (`enhancer NAME`; see `identity.py`), and with every evaluation that of
its attack (`code`). Marks that are not there, as in stores of older versions, are not compared.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any

from bench.config import CellSpec
from bench.registry import registry
from bench.store.parts.record import CellRecord, Key
from bench.store.provenance.identity import code

#: field of `inputs`, and of the specification -> kind of plug-in, and its name in words
CODE = {"method": ("methods", "method"), "model": ("models", "network"), "dataset": ("datasets", "data set")}
#: how a stale cell is brought up to date
MEND = "begin it anew with --retrain (what it holds is kept under stale/), or give another --results folder"


def parts(spec: CellSpec) -> Iterator[tuple[str, str, str, str]]:
    """(field of `inputs`, kind, name, both in words) of every plug-in that trained a cell of this specification."""
    for field, (kind, words) in CODE.items():
        name = getattr(spec, field)
        yield field, kind, name, f"{words} '{_name(kind, name)}'"
    for name, _ in spec.enhancers:
        yield f"enhancer {name}", "enhancers", name, f"enhancer '{name}'"


def changed(cell: CellRecord, keys: Container[str] | None = None) -> Iterator[str]:
    """In words, every plug-in of a cell and its evaluations whose code is another here and now: `method 'taet'`.

    `keys`: only of these evaluations. Plug-ins that are not here say nothing.
    """
    known = cell.inputs or {}
    for field, kind, name, words in parts(cell.made):
        if field in known and _differ(known[field], code(kind, name)):
            yield words
    for key, facts in cell.evaluations.items():
        wanted = keys is None or key in keys
        if wanted and facts.code and _differ(facts.code, code("attacks", facts.name)):
            yield f"attack '{Key.of(key).attack}'"


def changed_code(cell: CellRecord) -> str:
    """What of a cell's code is another here and now, as a sentence without its end, or nothing."""
    words = next(changed(cell), "")
    return f"the code of its {words} has changed since it was made" if words else ""


def fresh(cells: Sequence[CellRecord]) -> tuple[list[CellRecord], list[str]]:
    """(cells without those, or without those of their evaluations, that are stale beside newer ones; a sentence each).

    Cells of one method were made by one code of it, whatever their data and seed; the same for networks, data sets,
    enhancers and attacks; and cells of one choice of images (`choice`) saw the same ones. Where they differ, the newest
    is right.
    """
    stale: dict[str, str] = {}
    struck: dict[str, dict[str, str]] = {}
    for group in _groups(cells):
        newest = max(group, key=lambda entry: _time(entry[0]))
        for cell, key, mark, words in group:
            if mark != newest[2]:
                why = f"{cell.id} is stale: {words} than in the newer {newest[0].id}; it is left out; {MEND}."
                if key:
                    struck.setdefault(cell.id, {})[key] = why
                else:
                    stale.setdefault(cell.id, why)
    kept = [
        cell.only(cell.evaluations.keys() - struck.get(cell.id, {}).keys()) for cell in cells if cell.id not in stale
    ]
    also = [why for cell, whys in struck.items() if cell not in stale for why in whys.values()]
    return kept, [*stale.values(), *also]


_Entry = tuple[CellRecord, str, str, str]


def choice(spec: CellSpec) -> tuple[Any, ...]:
    """What decides which images a cell uses: cells that agree in it saw the same ones.

    What the recipe holds out of training depends on its share and the seed.
    """
    held_out = (spec.recipe.validation, spec.seed) if spec.recipe.validation else ()
    return (spec.dataset, spec.ir, spec.selection, spec.class_order, spec.limit, *held_out)


def _groups(cells: Iterable[CellRecord]) -> Iterator[list[_Entry]]:
    """Entries (cell, evaluation or nothing, mark, words) that must agree in their mark."""
    groups: dict[tuple[Any, ...], list[_Entry]] = {}
    for cell in cells:
        for field, kind, name, words in parts(cell.made):
            if mark := (cell.inputs or {}).get(field):
                entry = (cell, "", mark, f"its {words} had other code")
                groups.setdefault((field, _name(kind, name)), []).append(entry)
        if cell.data and cell.inputs is not None:
            entry = (cell, "", cell.data.data_hash, "it saw other images")
            groups.setdefault(("data", *choice(cell.made)), []).append(entry)
            if more := cell.data.extra_hash:
                extra = (cell, "", more, "it saw other extra images")
                groups.setdefault(("extra", cell.made.dataset), []).append(extra)
        for key, facts in cell.evaluations.items():
            if facts.code:
                words = f"attack '{Key.of(key).attack}' had other code"
                groups.setdefault(("attack", facts.name), []).append((cell, key, facts.code, words))
    yield from groups.values()


def _name(kind: str, text: str) -> str:
    """The plug-in's name without its argument; a factory's (`package.module:name`) is whole."""
    base = text.partition(":")[0]
    return base if base in registry(kind).names() else text


def _time(cell: CellRecord) -> str:
    return max((entry.at for entry in cell.history), default="")


def _differ(before: str, now: str) -> bool:
    return bool(before and now and before != now)
