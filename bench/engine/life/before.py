"""What a training goes on from: given weights, kept in the store by a mark of their content, and finished cells."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.config import CellSpec
from bench.engine.images.subset import CellData
from bench.engine.life.inputs import Inputs
from bench.engine.life.settings import Settings
from bench.engine.nets.files import read_file
from bench.engine.nets.network import Network, build_network
from bench.engine.nets.weights import begin, tensor_hash
from bench.engine.resume.checkpoint import load_checkpoint
from bench.engine.train import dtype_of
from bench.errors import BenchError, HeldError, UsageError
from bench.paths import in_full
from bench.plugins import make_method
from bench.store import lease
from bench.store.folders import atomic_write
from bench.store.schema import CHECKPOINT
from bench.store.state import look

#: folder of a store in which given weights are kept, each under its mark
GIVEN = "given"
#: the role whose weights a training starts from
INIT = "init"


def mark(weights: dict[str, Tensor]) -> str:
    """16 hex digits of the content of a state dict, whatever file it came in."""
    return tensor_hash(weights)[:16]


def given(text: str, results: Path) -> tuple[str, dict[str, Tensor]]:
    """(mark, weights) of a file, or of the mark of one that the store has. Raises ModelError for what is no file.

    Of a checkpoint of ours they are the network's alone.
    """
    path, kept = in_full(text), results / GIVEN / f"{text}.pt"
    tensors = read_file(kept if not path.exists() and kept.exists() else path).tensors
    own = {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
    return mark(own or tensors), own or tensors


def keep(text: str, results: Path) -> None:
    """Put the weights of a file into the store, where every process that trains from them finds them."""
    name, weights = given(text, results)
    path = results / GIVEN / f"{name}.pt"
    if not path.exists():
        buffer = io.BytesIO()
        torch.save(weights, buffer)
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, buffer.getvalue())


@dataclass(frozen=True)
class Finished:
    """A finished cell: what it is, the state dict of its network, and the hash of that."""

    spec: CellSpec
    weights: dict[str, Tensor]
    hash: str

    def network(self, data: CellData) -> Network:
        """Its network in the form in which it is attacked, on the CPU."""
        method = make_method(self.spec)
        made = build(self.spec, data, method.build_head)
        made.load_state_dict(self.weights)
        method.deploy(made, True)
        return made


def finished(cell_id: str, settings: Settings) -> Finished:
    """A cell of the store that others go on from.

    Raises HeldError while it is still to be made, by whatever process, and BenchError when it failed or is stale.
    """
    folder = settings.results / cell_id
    state = look(folder)
    if state.cell is None or "train" not in state.cell.stages or not state.checkpoint:
        failure = state.cell.failure if state.cell else None
        if lease.held(folder) or not failure:
            raise HeldError(f"{cell_id}, from which this cell goes on, is not made yet; run the same command again.")
        why = failure.message.rstrip(".")
        raise BenchError(f"this cell goes on from {cell_id}, which failed ({why}); run that cell first.")
    spec = state.cell.made
    if stale := Inputs(settings.data_root).stale(spec, state.cell):
        raise BenchError(f"this cell goes on from another: {stale}")
    weights: dict[str, Tensor] = load_checkpoint(folder / CHECKPOINT)["network"]
    return Finished(spec, weights, mark(weights))


def build(spec: CellSpec, data: CellData, head: Any) -> Network:
    """The network of a cell as it is drawn, on the CPU, in the type of the cell: weights are loaded unrounded."""
    channels, height, width = data.image
    side = spec.recipe.resize
    image = (channels, side, side) if side else (channels, height, width)
    return build_network(spec.model, image, data.num_classes, head, spec.seed).to(dtype_of(spec))


def start(spec: CellSpec, network: nn.Module, before: dict[str, Finished], settings: Settings) -> None:
    """Give a network as it is drawn the weights that its training starts from. Raises ModelError, UsageError."""
    what = f"'{spec.model}' for the classes of '{spec.dataset}'"
    if INIT in before:
        begin(network, before[INIT].weights, what)
    if spec.init:
        path = settings.results / GIVEN / f"{spec.init}.pt"
        if not path.exists():
            raise UsageError(
                f"the weights {spec.init} that this cell starts from are not in {path.parent}; give --init."
            )
        begin(network, read_file(path).tensors, what)


def same_before(known: dict[str, Any], before: dict[str, Finished]) -> dict[str, Any]:
    """What cell.json keeps of the cells before. Raises BenchError when the cell began from other weights of theirs."""
    now = {role: {"cell": one.spec.id, "weights": one.hash} for role, one in before.items()}
    old = known.get("before", now)
    if changed := [now[role]["cell"] for role in now if old.get(role) != now[role]]:
        raise BenchError(
            f"the weights of {changed[0]} are others now than when this cell began from them; give another --results "
            "folder, or move this cell's folder away to begin it anew."
        )
    return {"before": now} if now else {}
