"""Where a cell's network comes from: a training here, which goes on from the checkpoint (`Trained`), or elsewhere.

What a strategy needs of the cell under way is its `Desk`: what is known and wanted, and where to write it down.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any, Protocol

import pandas as pd
import torch
from torch import nn

from bench.api import Method
from bench.config import AttackSpec, CellSpec, Recipe, Task
from bench.engine.best import Best
from bench.engine.host.memory import peak_memory, reset_peak
from bench.engine.images.subset import VALIDATION, CellData
from bench.engine.learner import Progress
from bench.engine.life.before import INIT, build, finished, same_before
from bench.engine.life.before import start as begin
from bench.engine.life.record import same_weights, weights_hash
from bench.engine.life.settings import Settings
from bench.engine.nets.network import Network
from bench.engine.nets.weights import weights_mib
from bench.engine.resume.prefix import Prefix, make_prefix
from bench.engine.train import make_context, train
from bench.engine.verdicts.results import SuiteResult
from bench.errors import BenchError
from bench.plugins import make_enhancers, make_method, passes
from bench.store.folders import CellFolder, fenced
from bench.store.schema import CHECKPOINT, CURVES, EPOCHS, PREFIXES

#: state of a training that only draws curves again
REDRAWN = "curves.pt"


class Desk(Protocol):
    """A cell under way: `cell` is its cell.json as it stands, `keep` replaces it, `say` tells of progress."""

    task: Task
    settings: Settings
    folder: CellFolder
    device: torch.device
    cell: dict[str, Any]

    def keep(self, cell: dict[str, Any]) -> None:
        """Replace what is known, here and on disk."""

    def say(self, stage: str, at: int, of: int, **more: Any) -> None:
        """Tell where a stage is."""

    def stored(self, name: str) -> dict[str, Any] | None:
        """What a checkpoint of the folder holds; None where it is absent or damaged, and then set aside."""

    def suite(
        self, data: CellData, network: nn.Module, split: str, attacks: Sequence[AttackSpec], chunks: None
    ) -> SuiteResult:
        """Attack the network on a test split."""


class Weights(Protocol):
    """Where the network of a cell comes from."""

    def wanted(self, lacks: list[str]) -> list[str]:
        """What is to be done of what a cell lacks (see `bench.engine.plan.missing`)."""

    def network(self, desk: Desk, data: CellData, train: bool) -> Any:
        """The network with its weights, on the device; `train`: they are not there yet."""

    def deployed(self, network: nn.Module) -> AbstractContextManager[None]:
        """The network in the form in which it is attacked; as it was again afterwards."""


class Trained:
    """Weights from the one training loop, or from the checkpoint that it left."""

    def __init__(self, spec: CellSpec) -> None:
        self.spec = spec

    @cached_property
    def method(self) -> Method:
        """With the state in which it left the network, once there is one."""
        return make_method(self.spec)

    def wanted(self, lacks: list[str]) -> list[str]:
        """All of it."""
        return lacks

    def network(self, desk: Desk, data: CellData, train: bool) -> Network:
        """From the checkpoint, or trained now; curves that were not drawn then are drawn by training again."""
        method = self.method
        _check_needs(method, data)
        network = build(self.spec, data, method.build_head)
        saved = desk.stored(CHECKPOINT)
        if train or saved is None:
            self._train(desk, data, network, method, saved)
        else:
            network.load_state_dict(saved["network"])
            same_weights(desk.cell, network)
            self._remember(desk, data, network, saved)
        if not set(desk.task.want.track) <= set(desk.cell.get("tracked", ())):
            self._redraw(desk, data)
        return network.to(desk.device)

    @contextmanager
    def deployed(self, network: nn.Module) -> Iterator[None]:
        """The head in its inference form; in its training form again afterwards."""
        self.method.deploy(network, True)
        try:
            yield
        finally:
            self.method.deploy(network, False)

    def _remember(self, desk: Desk, data: CellData, network: Network, saved: Mapping[str, Any]) -> None:
        """Give the method back what it knew at the end of its training, set up on a copy: `setup` may draw a head."""
        if saved.get("method"):
            twin = copy.deepcopy(network).to(desk.device)
            self.method.setup(twin, make_context(self.spec, data, twin, desk.device))
            self.method.load_state(saved["method"])

    def _train(
        self, desk: Desk, data: CellData, network: Network, method: Method, start: Mapping[str, Any] | None
    ) -> None:
        """Train from `start`, and keep the weights. Until they are there the cell is not taken for a trained one."""
        desk.keep(desk.cell | {"stages": {k: v for k, v in desk.cell["stages"].items() if k != "train"}})
        track, prefixes = sorted(desk.task.want.track), desk.settings.results / PREFIXES
        prefix = (
            None
            if track or self.spec.enhancers or self.spec.recipe.judge or self.spec.cells
            else make_prefix(self.spec, method, prefixes, data.data_hash, desk.device)
        )
        known = self._run(desk, data, network, method, "train", CHECKPOINT, track, start, prefix)
        desk.keep(known | {"weights": weights_hash(network)})

    def _redraw(self, desk: Desk, data: CellData) -> None:
        """Train again only to draw curves, those of before and those that are asked for; weights and rows stay.

        A redrawing that was stopped while it followed other attacks begins anew. Raises BenchError where it gave other
        weights than the cell's; its curves are left out then, and those of before stay.
        """
        track, method = sorted({*desk.cell.get("tracked", ()), *desk.task.want.track}), make_method(self.spec)
        kept, self.method = self.method, method
        start = desk.stored(REDRAWN)
        if start is not None and _tracked(start["curves"], track) != track:
            start = None
        network = build(self.spec, data, method.build_head)
        desk.keep(self._run(desk, data, network, method, "curves", REDRAWN, track, start, None))
        self.method = kept
        fenced(desk.folder.path / REDRAWN).unlink(missing_ok=True)

    def _run(
        self,
        desk: Desk,
        data: CellData,
        network: Network,
        method: Method,
        stage: str,
        checkpoint: str,
        track: Sequence[str],
        start: Mapping[str, Any] | None,
        prefix: Prefix | None,
    ) -> dict[str, Any]:
        """The loop with its curves; what is known of the cell after it."""
        desk.say(stage, 0, self.spec.recipe.epochs)
        reset_peak(desk.device)
        best = _judge(desk, data, self.spec.recipe)
        before = {role: finished(cell, desk.settings) for role, cell in self.spec.cells}
        if told := same_before(desk.cell, before):
            desk.keep(desk.cell | told)
        if start is None:
            begin(self.spec, network, before, desk.settings)
        done = train(
            self.spec,
            data,
            network,
            method,
            desk.device,
            enhancers=make_enhancers(self.spec),
            networks={role: one.network(data) for role, one in before.items() if role != INIT},
            start=start,
            checkpoint=desk.folder.path / checkpoint,
            prefix=prefix,
            track=_tracker(desk, data, track) if track else None,
            best=best,
            on_epoch=lambda row: desk.say(stage, row["epoch"] + 1, self.spec.recipe.epochs, loss=row["loss"], row=row),
            checkpoint_seconds=desk.settings.checkpoint_seconds,
        )
        if stage == "curves":
            _same_drawn(desk, network)
        else:
            same_weights(desk.cell, network)
        drawn = desk.folder.put(desk.cell, CURVES, _curves(done))
        forward, backward = passes(self.spec, method)
        facts = {
            "seconds": round(done.seconds, 3),
            "peak_memory_mib": peak_memory(desk.device),
            "epochs": done.epoch,
            "images": done.images,
            "forward": done.images * forward,
            "backward": done.images * backward,
            "weights_mib": weights_mib(network),
            **({} if best is None else {"kept_epoch": best.epoch}),
        }
        stages = drawn["stages"] | {stage: facts}
        return drawn | {"tracked": _tracked(done.curves, track), "stages": stages}


def _check_needs(method: Method, data: CellData) -> None:
    """`extra` was looked for when the data were loaded."""
    if "class_counts" in method.needs and 0 in data.train_counts:
        empty = data.class_names[data.train_counts.index(0)]
        raise BenchError(f"{method.name} needs at least one training image of every class; '{empty}' has none.")


def _same_drawn(desk: Desk, network: Network) -> None:
    """Curves of another network are never a cell's. Raises BenchError; the next attempt trains from the beginning."""
    known, now = desk.cell.get("weights"), weights_hash(network)
    if known and known != now:
        fenced(desk.folder.path / REDRAWN).unlink(missing_ok=True)
        raise BenchError(
            f"the curves asked for would not be of this cell's weights (hash {known}, now {now}): trained again on "
            "another kind of machine or version, or without --deterministic, it is another network; what is stored "
            "stays as it was; give another --results folder and ask for curves before the cell is trained."
        )


def _judge(desk: Desk, data: CellData, recipe: Recipe) -> Best | None:
    """The judge of `select=best[ATTACK]`: mean over classes of the validation images that stand; None for `last`."""
    if recipe.judge is None:
        return None
    attack = AttackSpec.parse(recipe.judge)

    def balanced(network: nn.Module) -> float:
        told = desk.suite(data, network, VALIDATION, [attack], None).attacks[attack.label]
        if told.audit is not None:  # its bits only say what has broken an image so far
            return told.audit.result.value
        labels, correct = data.shown(VALIDATION)[1].numpy(), told.correct
        return statistics.fmean(float(correct[labels == c].mean()) for c in range(data.num_classes))

    return Best(balanced)


def _tracker(desk: Desk, data: CellData, track: Sequence[str]) -> Callable[[nn.Module], dict[str, Any]]:
    attacks = [AttackSpec.parse(text) for text in track]

    def follow(network: nn.Module) -> dict[str, Any]:
        row: dict[str, Any] = {}
        result = desk.suite(data, network, "long-tailed", attacks, None)
        labels = data.test_labels[data.splits["long-tailed"]].numpy()
        for label, attack in result.attacks.items():
            for c in range(data.num_classes):
                row[f"{label}:{c}"] = int(attack.correct[labels == c].sum())
        return row

    return follow


def _tracked(curves: Sequence[Mapping[str, Any]], track: Sequence[str]) -> list[str]:
    """Those attacks whose counts are there for every epoch; a training resumed with others has gaps."""
    labels = {text: AttackSpec.parse(text).label for text in track}
    return [text for text in track if curves and all(f"{labels[text]}:0" in row for row in curves)]


def _curves(done: Progress) -> str:
    """What epochs.csv holds."""
    frame = pd.DataFrame(done.curves)
    first = [c for c in EPOCHS if c in frame]
    rest = [c for c in frame if c not in first]
    return str(frame[first + rest].to_csv(index=False, lineterminator="\n"))
