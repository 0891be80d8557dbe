"""Which cells have their images: every data set of a grid is read once, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.config import CellSpec
from bench.engine.images.subset import choice, read
from bench.errors import BenchError
from bench.plugins import tried


def without_images(specs: Sequence[CellSpec], data_root: Path | None) -> dict[str, list[CellSpec]]:
    """Why images cannot be had -> the cells that lack them; empty when all is well. One data set is held at a time."""
    found: dict[str, list[CellSpec]] = {}
    for dataset in dict.fromkeys(spec.dataset for spec in specs):
        own = [spec for spec in specs if spec.dataset == dataset]
        for why, lacking in _of_one(dataset, own, data_root).items():
            found.setdefault(why, []).extend(lacking)
    return found


def _of_one(dataset: str, specs: Sequence[CellSpec], data_root: Path | None) -> dict[str, list[CellSpec]]:
    """The same for the cells of one data set."""
    try:
        arrays = read(dataset, data_root)
    except BenchError as error:
        return {str(error): list(specs)}
    reasons: dict[tuple[Any, ...], str] = {}
    found: dict[str, list[CellSpec]] = {}
    for spec in specs:
        if (chosen := _chosen(spec)) not in reasons:
            try:
                tried(dataset, partial(choice, spec, arrays))
                reasons[chosen] = ""
            except BenchError as error:
                reasons[chosen] = str(error)
        if reasons[chosen]:
            found.setdefault(reasons[chosen], []).append(spec)
    return found


def _chosen(spec: CellSpec) -> tuple[Any, ...]:
    """What decides a cell's images within its data set."""
    share = spec.recipe.validation
    return spec.ir, spec.selection, spec.class_order, spec.limit, share, spec.seed if share else None
