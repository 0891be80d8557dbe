"""What a cell is made from, now: marks of its code and data files, and whether an older cell was made from the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.config import CellSpec
from bench.engine.images.subset import load_data
from bench.errors import BenchError, DataError
from bench.plugins import make_dataset, needs, tried
from bench.store.parts.record import CellRecord, DataFacts
from bench.store.provenance import identity
from bench.store.provenance.inputs import MEND, changed_code, parts


class Inputs:
    """Marks of code and data in one process. Data of one choice of images are read once at most."""

    def __init__(self, data_root: Path | None) -> None:
        self.data_root = data_root
        self._read: dict[tuple[Any, ...], tuple[str, str, str] | BenchError] = {}

    def now(self, spec: CellSpec) -> dict[str, str]:
        """The field `inputs` of a cell that is made now; what cannot be known is left out."""
        code = {field: identity.code(kind, name) for field, kind, name, _ in parts(spec)}
        return {name: mark for name, mark in {**code, "data": self._files(spec)}.items() if mark}

    def stale(self, spec: CellSpec, cell: CellRecord | None) -> str:
        """Why a cell that was begun cannot go on or stand as it is, in one sentence; nothing when it can."""
        if not cell or not (cell.stages or cell.evaluations or cell.data):
            return ""
        before, why = (cell.inputs or {}).get("data"), changed_code(cell)
        if not why and before and cell.data and before != (self._files(spec) or before):
            why = self._other_data(spec, cell.data)
        return f"cell {spec.id} is stale: {why}; {MEND}." if why else ""

    def _files(self, spec: CellSpec) -> str:
        try:
            paths = tried(spec.dataset, lambda: [*make_dataset(spec.dataset, self.data_root).files()])
        except DataError:  # whoever needs them says so
            return ""
        name, _, argument = spec.selection.partition(":")
        return identity.files([*paths, *([Path(argument)] if name == "file" else [])])

    def _other_data(self, spec: CellSpec, known: DataFacts) -> str:
        """What the files hold now, compared by its real hashes."""
        held = (spec.recipe.validation, spec.seed) if spec.recipe.validation else ()
        key = (spec.dataset, spec.ir, spec.selection, spec.class_order, spec.limit, held, needs(spec))
        if key not in self._read:
            try:
                data = load_data(spec, self.data_root)
                self._read[key] = data.data_hash, data.subset_hash, data.extra_hash
            except BenchError as error:
                self._read[key] = error
        found = self._read[key]
        if isinstance(found, BenchError):
            return f"its data cannot be read any more ({str(found).rstrip('.')})"
        if found == (known.data_hash, known.subset_hash, known.extra_hash):
            return ""
        if found[0] == known.data_hash and found[2] != known.extra_hash:
            return f"its extra images are others now (hash {known.extra_hash or None} then, {found[2]} now)"
        return f"its images are others now (hash {known.data_hash} then, {found[0]} now)"
