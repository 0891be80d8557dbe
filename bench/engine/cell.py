"""One cell's life: data -> train -> checkpoint -> attacks -> counts per class -> done, or failed with where and why.

Every stage looks first at what is there, so a cell goes on at the epoch, attack or chunk where it stopped. Rows are
written after every attack. A failure is kept as one; it never raises into the grid.
"""

from __future__ import annotations

import dataclasses
import io
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch

from bench.api import Method
from bench.config import AttackSpec, Task
from bench.engine.host.memory import peak_memory, reset_peak
from bench.engine.images.augment import enlarge, to_float
from bench.engine.images.subset import CellData, load_data
from bench.engine.life.failure import mark_failed
from bench.engine.life.record import attack_facts, data_facts, device_facts, same_data, same_weights, weights_hash
from bench.engine.life.settings import Settings
from bench.engine.nets.network import Network, build_network
from bench.engine.plan import missing
from bench.engine.resume.checkpoint import load_checkpoint
from bench.engine.resume.prefix import make_prefix
from bench.engine.suite import SuiteResult, evaluate
from bench.engine.train import Progress, precision, train
from bench.engine.verdicts.chunks import ChunkFolder
from bench.errors import BenchError, HeldError, StoreError
from bench.plugins import make_method
from bench.seeding import stream_seed
from bench.store import query
from bench.store.flags import flag_cell
from bench.store.folders import CellFolder, atomic_write, moved, new_cell, set_aside
from bench.store.rows import build_rows
from bench.store.schema import CHECKPOINT, CURVES, EPOCHS, FEATURES, ROWS, SAMPLES
from bench.store.state import State, look
from bench.versions import versions

Emit = Callable[[dict[str, Any]], None]
STREAMS = ("init", "order", "augment", "inner", "evaluation")
#: state of a training that only draws curves again
REDRAWN = "curves.pt"


def run_cell(
    task: Task, settings: Settings, emit: Emit, kind: Callable[[Task, Settings, Emit], CellRun] | None = None
) -> None:
    """Do what the task still lacks. Ends with one event; only KeyboardInterrupt gets through.

    It is `done`, `failed`, or `elsewhere` when another process holds the folder: then that one does it.
    `kind`: who does it, if its weights do not come from training here.
    """
    torch.set_num_threads(settings.threads)
    run = (kind or CellRun)(task, settings, emit)
    end: dict[str, Any] = {"event": "done"}
    try:
        with run.folder.locked():
            try:
                run.go()
            except Exception as error:
                end = {"event": "failed", "stage": run.stage, "message": _said(error)}
                mark_failed(settings.results, task, run.stage, end["message"], traceback.format_exc())
    except HeldError as error:
        end = {"event": "elsewhere", "message": str(error)}
    except Exception as error:  # the folder cannot be made, or the failure not be stored
        reasons = [end["message"], _said(error)] if "message" in end else [_said(error)]
        end = {"event": "failed", "stage": run.stage, "message": " ".join(reasons)}
    emit({"cell": task.spec.id, **end})


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"


class CellRun:
    """The stages of one cell, and the state they share."""

    def __init__(self, task: Task, settings: Settings, emit: Emit) -> None:
        self.task, self.spec, self.settings, self.emit = task, task.spec, settings, emit
        self.folder, self.stage = CellFolder(settings.results, task.spec.id), "start"
        self.device = torch.device(settings.device)
        self.cell: dict[str, Any] = {}

    def go(self) -> None:
        """Do every stage that the folder lacks."""
        state = self._repaired()
        self.cell = state.cell or new_cell(self.spec)
        lacks = missing(self.task, state)
        if not lacks:
            return
        if "train" in lacks:  # not done, also where it once was: its weights are gone
            self.cell = self.cell | {"stages": {k: v for k, v in self.cell["stages"].items() if k != "train"}}
        self._keep(moved(self.cell, "running", lacks[0]) | {"failure": None})
        if "rows" in lacks:
            self._rows(query.samples(self.folder.path))
        if lacks != ["rows"]:
            self._work(lacks)
        self._keep(moved(self.cell, "done"))

    def _work(self, lacks: Sequence[str]) -> None:
        """Everything that needs the data: weights, attacks, curves, features."""
        self.stage = "data"
        data = load_data(self.spec, self.settings.data_root)
        facts = data_facts(data)
        same_data(self.cell.get("data"), facts)
        self._keep(self.cell | {
            "data": facts, "versions": versions(), "device": device_facts(self.device, self.settings),
            "seeds": {name: stream_seed(self.spec.seed, name) for name in STREAMS},
        })  # fmt: skip
        network = self.weights(data, lacks)
        self._attack(data, network, [key for key in lacks if "/" in key])
        if "features" in lacks or (self.task.want.features and not self.cell.get("features")):
            self._features(data, network)

    def weights(self, data: CellData, lacks: Sequence[str]) -> Network:
        """The network with its weights, on the device: from the checkpoint, or trained now."""
        method = make_method(self.spec)
        _check_needs(method, data)
        network = self._network(data, method)
        if "train" in lacks:
            self._train(data, network, method, save=True)
        else:
            network.load_state_dict(load_checkpoint(self.folder.path / CHECKPOINT, "cpu")["network"])
            same_weights(self.cell, network)
        if not set(self.task.want.track) <= set(self.cell.get("tracked", ())):
            self._train(data, self._network(data, method), make_method(self.spec), save=False)
        return network.to(self.device)

    def _repaired(self) -> State:
        """The folder as it can be trusted: what is damaged is set aside, and what depended on it is done again."""
        path = self.folder.path
        state = look(path)
        damaged = [*state.damaged]
        if path / SAMPLES in damaged and (path / ROWS).exists():
            damaged.append(path / ROWS)  # its counts can no longer be derived; kept, but no result
        for name in (CHECKPOINT, REDRAWN):
            try:
                load_checkpoint(path / name) if (path / name).exists() else None
            except StoreError:
                damaged.append(path / name)
        for file in damaged:
            kept = set_aside(file)
            self.emit({"cell": self.spec.id, "event": "aside", "message": f"{file} is damaged; kept as {kept.name}."})
        return look(path) if damaged else state

    def _network(self, data: CellData, method: Method) -> Network:
        channels, height, width = data.image
        side = self.spec.recipe.resize
        image = (channels, side, side) if side else (channels, height, width)
        return build_network(self.spec.model, image, data.num_classes, method.build_head, self.spec.seed)

    def _keep(self, cell: dict[str, Any]) -> None:
        self.cell = cell
        self.folder.write(cell)

    def _say(self, stage: str, at: int, of: int, **more: Any) -> None:
        self.stage = stage
        self.emit({"cell": self.spec.id, "event": "progress", "stage": stage, "at": at, "of": of, **more})

    def _train(self, data: CellData, network: Network, method: Method, *, save: bool) -> None:
        """Train; with `save=False` only to draw curves again, leaving weights and rows as they are."""
        stage, before = ("train", ()) if save else ("curves", self.cell.get("tracked", ()))
        track = sorted({*before, *self.task.want.track})
        if not save:
            self._forget_curves_without(track)
        self._say(stage, 0, self.spec.recipe.epochs)
        reset_peak(self.device)
        prefixes = self.settings.results / "prefixes"
        prefix = make_prefix(self.spec, method, prefixes, data.data_hash, self.device) if save and not track else None
        done = train(
            self.spec, data, network, method, self.device,
            checkpoint=self.folder.path / (CHECKPOINT if save else REDRAWN),
            prefix=prefix,
            track=self._tracker(data, track) if track else None,
            on_epoch=lambda row: self._say(stage, row["epoch"] + 1, self.spec.recipe.epochs, loss=row["loss"]),
            checkpoint_seconds=self.settings.checkpoint_seconds,
        )  # fmt: skip
        self._curves(done)
        forward, backward = method.passes(self.spec.recipe)
        weights = sum(p.numel() * p.element_size() for p in network.parameters()) / 2**20
        facts = {
            "seconds": round(done.seconds, 3), "peak_memory_mib": peak_memory(self.device), "epochs": done.epoch,
            "images": done.images, "forward": done.images * forward, "backward": done.images * backward,
            "weights_mib": round(weights, 3),
        }  # fmt: skip
        if save:
            same_weights(self.cell, network)
            self.cell = self.cell | {"weights": weights_hash(network)}
        self._keep(self.cell | {"tracked": _tracked(done, track), "stages": self.cell["stages"] | {stage: facts}})
        (self.folder.path / REDRAWN).unlink(missing_ok=True)

    def _forget_curves_without(self, track: Sequence[str]) -> None:
        """A redrawing that was stopped while it followed other attacks begins anew."""
        path = self.folder.path / REDRAWN
        if path.exists() and _tracked(Progress(curves=load_checkpoint(path)["curves"]), track) != list(track):
            path.unlink()

    def _tracker(self, data: CellData, track: Sequence[str]) -> Callable[[torch.nn.Module], dict[str, Any]]:
        attacks = [AttackSpec.parse(text) for text in track]

        def follow(network: torch.nn.Module) -> dict[str, Any]:
            row: dict[str, Any] = {}
            result = self._suite(data, network, "long-tailed", attacks, None)
            labels = data.test_labels[data.splits["long-tailed"]].numpy()
            for label, attack in result.attacks.items():
                for c in range(data.num_classes):
                    row[f"{label}:{c}"] = int(attack.correct[labels == c].sum())
            return row

        return follow

    def _curves(self, done: Progress) -> None:
        frame = pd.DataFrame(done.curves)
        first = [c for c in EPOCHS if c in frame]
        rest = [c for c in frame if c not in first]
        atomic_write(self.folder.path / CURVES, frame[first + rest].to_csv(index=False, lineterminator="\n"))

    def _suite(
        self, data: CellData, network: torch.nn.Module, split: str, attacks: Sequence[AttackSpec],
        chunks: ChunkFolder | None, progress: Callable[[str, int, int], None] | None = None,
    ) -> SuiteResult:  # fmt: skip
        index = data.splits[split]
        images = data.test_images[index]
        if self.spec.recipe.resize:
            # as bytes: the enlarged floats of a whole test set would take gigabytes
            images = enlarge(images.permute(0, 3, 1, 2), self.spec.recipe.resize).permute(0, 2, 3, 1)
        # attacks and verdicts in plain single precision, whatever the training used: never TF32 by a library's default
        plain = self.spec if self.spec.precision == "fp64" else dataclasses.replace(self.spec, precision="fp32")
        with precision(plain, self.device), self.deployed(network):
            return evaluate(
                network, images, data.test_labels[index], index, attacks, threat=self.spec.threat,
                num_classes=data.num_classes, root_seed=self.spec.seed, device=self.device,
                batch_size=self.settings.batch_size, store=chunks, progress=progress,
            )  # fmt: skip

    @contextmanager
    def deployed(self, network: torch.nn.Module) -> Iterator[None]:
        """The head in its inference form, as it is attacked; in its training form again afterwards."""
        method = make_method(self.spec)
        method.deploy(network, True)
        try:
            yield
        finally:
            method.deploy(network, False)

    def _attack(self, data: CellData, network: Network, keys: Sequence[str]) -> None:
        """Each wanted attack on each wanted split; rows and bits are written after every one."""
        partial = self.folder.path / "partial"
        for wanted in self.task.want.evaluations:
            if wanted.key in keys:
                split, attack = wanted.test_split, wanted.attack
                self._say(wanted.key, 0, 1)
                reset_peak(self.device)
                chunks = ChunkFolder(partial / split)
                result = self._suite(data, network, split, [attack], chunks, self._reporter(wanted.key))
                self._store(data, split, attack.label, result)
        ChunkFolder(partial).clear()

    def _reporter(self, key: str) -> Callable[[str, int, int], None]:
        return lambda _, at, of: self._say(key, at, of)

    def _store(self, data: CellData, split: str, label: str, result: SuiteResult) -> None:
        """Merge one attack's bits into per_sample.npz, its facts into cell.json, and derive the rows again."""
        attack, index = result.attacks[label], data.splits[split]
        bits = query.samples(self.folder.path)
        bits[f"{split}/index"], bits[f"{split}/label"] = index.numpy(), data.test_labels[index].numpy()
        bits[f"{split}/{label}"] = attack.correct.astype(np.uint8)
        atomic_write(self.folder.path / SAMPLES, _packed({k: bits[k] for k in sorted(bits)}))
        key = f"{split}/{label}"
        stage = {"seconds": round(attack.total("seconds"), 3), "peak_memory_mib": peak_memory(self.device),
                 "forward": attack.total("forwards"), "backward": attack.total("backwards"),
                 "images": len(index)}  # fmt: skip
        self.cell = self.cell | {
            "evaluations": self.cell["evaluations"] | {key: attack_facts(attack)},
            "stages": self.cell["stages"] | {key: stage},
            "probes": self.cell.get("probes", {}) | {split: result.probes},
        }  # fmt: skip
        self._rows(bits)

    def _rows(self, bits: Mapping[str, np.ndarray]) -> None:
        """Derive flags and rows from what is known, and keep them."""
        cell = flag_cell(self.cell, bits)
        atomic_write(self.folder.path / ROWS, build_rows(cell, bits).to_csv(index=False, lineterminator="\n"))
        self._keep(cell)

    def _features(self, data: CellData, network: Network) -> None:
        """Penultimate features and logits of the clean long-tailed test images, for Figure 3."""
        self._say("features", 0, 1)
        index = data.splits["long-tailed"]
        network.eval()
        parts: list[tuple[torch.Tensor, torch.Tensor]] = []
        with torch.no_grad(), self.deployed(network):
            for chunk in torch.split(index, 256):
                x = to_float(data.test_images[chunk], resize=self.spec.recipe.resize).to(self.device)
                f = network.features(x)
                parts.append((f.cpu(), network.head(f).cpu()))
        atomic_write(self.folder.path / FEATURES, _packed({
            "features": torch.cat([p[0] for p in parts]).numpy(), "logits": torch.cat([p[1] for p in parts]).numpy(),
            "label": data.test_labels[index].numpy(), "index": index.numpy(),
        }))  # fmt: skip
        self._keep(self.cell | {"features": True})


def _check_needs(method: Method, data: CellData) -> None:
    if "class_counts" in method.needs and 0 in data.train_counts:
        empty = data.class_names[data.train_counts.index(0)]
        raise BenchError(f"{method.name} needs at least one training image of every class; '{empty}' has none.")


def _tracked(done: Progress, track: Sequence[str]) -> list[str]:
    """Those attacks whose counts are there for every epoch; a training resumed with others has gaps."""
    labels = {text: AttackSpec.parse(text).label for text in track}
    return [text for text in track if done.curves and all(f"{labels[text]}:0" in row for row in done.curves)]


def _packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
