"""What cell.json keeps of a cell's making: device, data, weights, and the facts of an attack besides its bits."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import torch

from bench.engine.images.subset import CellData
from bench.engine.life.settings import Settings
from bench.engine.nets.weights import tensor_hash
from bench.engine.verdicts import sample
from bench.engine.verdicts.results import AttackResult
from bench.errors import BenchError
from bench.store.provenance import identity


def device_facts(device: torch.device, settings: Settings) -> dict[str, Any]:
    """Kind, name and threads of where a cell was last worked on, and when (seconds since 1970)."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {"kind": device.type, "name": name, "threads": settings.threads, "at": int(time.time())}


def data_facts(data: CellData) -> dict[str, Any]:
    """Where the images come from, their hashes, and how many there are of each class."""
    return {
        "source": data.source,
        "data_hash": data.data_hash,
        "subset_hash": data.subset_hash,
        "class_names": list(data.class_names),
        "train_counts": list(data.train_counts),
        "test_counts": {k: list(v) for k, v in data.test_counts.items()},
        **({} if data.validation is None else {"validation_counts": list(data.validation.counts)}),
        **({"extra_hash": data.extra_hash} if data.extra_hash else {}),
    }


def same_data(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> None:
    """A cell is never continued on other images than it began with. Raises BenchError."""
    for mark in ("data_hash", "extra_hash"):
        if old is not None and old.get(mark) != new.get(mark):
            raise BenchError(
                f"the data changed since this cell began (hash {old.get(mark)}, now {new.get(mark)}); restore the "
                "data, or give another --results folder."
            )


def weights_hash(network: torch.nn.Module) -> str:
    """16 hex digits of all weights and statistics."""
    return tensor_hash(network.state_dict())[:16]


def same_weights(cell: Mapping[str, Any], network: torch.nn.Module) -> None:
    """Numbers of two networks are never one cell's. Raises BenchError.

    Weights that are gone are trained again; on the same kind of machine that gives the same ones.
    """
    known = cell.get("weights")
    if known and cell["evaluations"] and known != weights_hash(network):
        raise BenchError(
            f"the weights of this cell are not those its stored numbers came from (hash {known}, now "
            f"{weights_hash(network)}): they were lost and trained again on another kind of machine or version; give "
            "another --results folder, or move this cell's folder away to do all of it afresh."
        )


def attack_facts(attack: AttackResult) -> dict[str, Any]:
    """What is kept of an attack besides its bits, with the mark of its code where that is known."""
    mark = identity.code("attacks", attack.name)
    return (
        ({"code": mark} if mark else {})
        | {
            "engine": attack.engine,
            "name": attack.name,
            "norm": attack.norm,
            "white_box": attack.white_box,
            "strength": attack.strength,
            "eps": attack.eps,
            "params": attack.params,
            "notes": list(attack.notes),
            "refused": int(attack.total("refused")),
            "flags": [],
            "stages": [
                {"name": s.name, "white_box": s.white_box, "attacked": s.attacked, "broken": s.broken}
                for s in attack.stages
            ],
        }
        | audit_facts(attack)
    )


def audit_facts(attack: AttackResult) -> dict[str, Any]:
    """What is kept of an audit besides: everything, and in words for the reader; {} of a full evaluation."""
    if attack.audit is None:
        return {}
    kept = sample.facts(attack.audit, attack.continues)
    return {"audit": msgspec.to_builtins(kept), "notes": [*attack.notes, sample.in_words(kept)]}
