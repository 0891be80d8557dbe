"""One cell's life: data -> train -> checkpoint -> attacks -> counts per class -> done, or failed with where and why.

Every stage looks first at what is there, so a cell goes on at the epoch, attack or chunk where it stopped. Rows are
written after every attack. A failure is kept as one; it never raises into the grid.
"""

from __future__ import annotations

import dataclasses
import io
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch

from bench.api import Method
from bench.config import BENCHMARK_VERSION, SCHEMA_VERSION, AttackSpec, CellSpec, Task, to_plain
from bench.engine.augment import enlarge, to_float
from bench.engine.checkpoint import load_checkpoint
from bench.engine.chunks import ChunkFolder
from bench.engine.data import CellData, load_data
from bench.engine.failure import mark_failed
from bench.engine.network import Network, build_network
from bench.engine.plan import missing
from bench.engine.plugins import make_method
from bench.engine.prefix import make_prefix
from bench.engine.settings import Settings
from bench.engine.suite import AttackResult, SuiteResult, evaluate
from bench.engine.train import Progress, peak_memory, precision, train
from bench.errors import BenchError, StoreError
from bench.judge.sanity import flag_cell
from bench.seeding import stream_seed
from bench.store import query
from bench.store.folders import CellFolder, atomic_write, moved, set_aside
from bench.store.rows import build_rows
from bench.store.schema import CELL, CHECKPOINT, CURVES, EPOCHS, ROWS, SAMPLES
from bench.versions import versions

Emit = Callable[[dict[str, Any]], None]
STREAMS = ("init", "order", "augment", "inner", "evaluation")


def run_cell(
    task: Task, settings: Settings, emit: Emit, kind: Callable[[Task, Settings, Emit], CellRun] | None = None
) -> None:
    """Do what the task still lacks. Ends with a `done` or a `failed` event; only KeyboardInterrupt gets through.

    `kind`: who does it, if its weights do not come from training here.
    """
    torch.set_num_threads(settings.threads)
    run, held = (kind or CellRun)(task, settings, emit), False
    try:
        with run.folder.locked():
            held = True
            run.go()
        emit({"cell": task.spec.id, "event": "done"})
    except Exception as error:
        message = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
        if held:  # a folder that another process holds is not ours to write to
            mark_failed(settings.results, task, run.stage, message, traceback.format_exc())
        emit({"cell": task.spec.id, "event": "failed", "stage": run.stage, "message": message})


class CellRun:
    """The stages of one cell, and the state they share."""

    def __init__(self, task: Task, settings: Settings, emit: Emit) -> None:
        self.task, self.spec, self.settings, self.emit = task, task.spec, settings, emit
        self.folder, self.stage = CellFolder(settings.results, task.spec.id), "start"
        self.device = torch.device(settings.device)
        self.cell: dict[str, Any] = {}

    def go(self) -> None:
        """Do every stage that the folder lacks."""
        self.cell = self._read() or _new(self.spec)
        lacks = missing(self.task, self.cell if "stages" in self.cell else None)
        if not lacks:
            return
        self._keep(moved(self.cell, "running", lacks[0]) | {"failure": None})
        self.stage = "data"
        data = load_data(self.spec, self.settings.data_root)
        facts = {
            "source": data.source, "data_hash": data.data_hash, "subset_hash": data.subset_hash,
            "class_names": list(data.class_names), "train_counts": list(data.train_counts),
            "test_counts": {k: list(v) for k, v in data.test_counts.items()},
        }  # fmt: skip
        _same_data(self.cell.get("data"), facts)
        self._keep(self.cell | {
            "data": facts, "versions": versions(), "device": _device(self.device, self.settings),
            "seeds": {name: stream_seed(self.spec.seed, name) for name in STREAMS},
        })  # fmt: skip
        network = self.weights(data, lacks)
        self._attack(data, network, [key for key in lacks if "/" in key])
        if self.task.want.features and not self.cell.get("features"):
            self._features(data, network)
        self._keep(moved(self.cell, "done"))

    def weights(self, data: CellData, lacks: Sequence[str]) -> Network:
        """The network with its weights, on the device: from the checkpoint, or trained now."""
        method = make_method(self.spec)
        _check_needs(method, data)
        network = self._network(data, method)
        if "train" in lacks or not (self.folder.path / CHECKPOINT).exists():
            self._train(data, network, method, save=True)
        else:
            state = load_checkpoint(self.folder.path / CHECKPOINT, "cpu")
            network.load_state_dict(state["network"])
            if "curves" in lacks:
                self._train(data, self._network(data, method), make_method(self.spec), save=False)
        return network.to(self.device)

    def _read(self) -> dict[str, Any] | None:
        """cell.json as it can be trusted: what is damaged is set aside, and what depended on it is done again."""
        path = self.folder.path
        try:
            cell = self.folder.read()
        except StoreError as error:
            if "schema" in str(error):
                raise
            set_aside(path / CELL)
            return None
        try:
            load_checkpoint(path / CHECKPOINT) if (path / CHECKPOINT).exists() else None
        except StoreError:
            set_aside(path / CHECKPOINT)
        try:
            query.samples(path)
        except StoreError:
            set_aside(path / SAMPLES)
            cell = cell and cell | {"evaluations": {}}
        return cell

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
        stage = "train" if save else "curves"
        self._say(stage, 0, self.spec.recipe.epochs)
        prefix = make_prefix(self.spec, method, self.settings.results / "prefixes", data.data_hash) if save else None
        track = self.task.want.track
        done = train(
            self.spec, data, network, method, self.device,
            checkpoint=self.folder.path / (CHECKPOINT if save else "curves.pt"),
            prefix=None if track else prefix,
            track=self._tracker(data, track) if track else None,
            on_epoch=lambda row: self._say(stage, row["epoch"] + 1, self.spec.recipe.epochs, loss=row["loss"]),
            checkpoint_seconds=self.settings.checkpoint_seconds,
        )  # fmt: skip
        self._curves(done)
        forward, backward = method.passes(self.spec.recipe)
        weights = sum(p.numel() * p.element_size() for p in network.parameters()) / 2**20
        self._keep(self.cell | {
            "tracked": sorted({*self.cell.get("tracked", ()), *track}),
            "stages": self.cell.get("stages", {}) | {stage: {
                "seconds": round(done.seconds, 3), "peak_memory_mib": peak_memory(self.device), "epochs": done.epoch,
                "images": done.images, "forward": done.images * forward, "backward": done.images * backward,
                "weights_mib": round(weights, 3),
            }},
        })  # fmt: skip
        (self.folder.path / "curves.pt").unlink(missing_ok=True)

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
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{k: bits[k] for k in sorted(bits)})  # type: ignore[arg-type]
        atomic_write(self.folder.path / SAMPLES, buffer.getvalue())
        key = f"{split}/{label}"
        stage = {"seconds": round(attack.total("seconds"), 3), "peak_memory_mib": peak_memory(self.device),
                 "forward": attack.total("forwards"), "backward": attack.total("backwards"),
                 "images": len(index)}  # fmt: skip
        cell = self.cell | {
            "evaluations": self.cell["evaluations"] | {key: _facts(attack)},
            "stages": self.cell["stages"] | {key: stage},
            "probes": self.cell.get("probes", {}) | {split: result.probes},
        }  # fmt: skip
        cell = flag_cell(cell, bits)
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
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, features=torch.cat([p[0] for p in parts]).numpy(), logits=torch.cat([p[1] for p in parts]).numpy(),
            label=data.test_labels[index].numpy(), index=index.numpy(),
        )  # fmt: skip
        atomic_write(self.folder.path / "features.npz", buffer.getvalue())
        self._keep(self.cell | {"features": True})


def _new(spec: CellSpec) -> dict[str, Any]:
    return moved({"schema": SCHEMA_VERSION, "benchmark": BENCHMARK_VERSION, "id": spec.id, "spec": to_plain(spec),
                  "failure": None, "stages": {}, "evaluations": {}, "flags": []}, "planned")  # fmt: skip


def _same_data(old: dict[str, Any] | None, new: dict[str, Any]) -> None:
    """A cell is never continued on other images than it began with."""
    if old is not None and old["data_hash"] != new["data_hash"]:
        raise BenchError(
            f"the data changed since this cell began (hash {old['data_hash']}, now {new['data_hash']}); restore the "
            "data, or give another --results folder."
        )


def _check_needs(method: Method, data: CellData) -> None:
    if "class_counts" in method.needs and 0 in data.train_counts:
        empty = data.class_names[data.train_counts.index(0)]
        raise BenchError(f"{method.name} needs at least one training image of every class; '{empty}' has none.")


def _device(device: torch.device, settings: Settings) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {"kind": device.type, "name": name, "threads": settings.threads, "at": int(time.time())}


def _facts(attack: AttackResult) -> dict[str, Any]:
    """What is kept of an attack besides its bits."""
    return {
        "engine": attack.engine, "name": attack.name, "norm": attack.norm, "white_box": attack.white_box,
        "strength": attack.strength, "eps": attack.eps, "params": attack.params, "notes": list(attack.notes),
        "refused": int(attack.total("refused")), "flags": [],
        "stages": [{"name": s.name, "white_box": s.white_box, "attacked": s.attacked, "broken": s.broken}
                   for s in attack.stages],
    }  # fmt: skip
