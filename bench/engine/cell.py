"""One cell's life: data -> train -> checkpoint -> attacks -> counts per class -> done, or failed with where and why.

Every stage looks first at what is there, so a cell goes on at the epoch, attack or chunk where it stopped. Rows are
written after every attack. A failure is kept as one; it never raises into the grid.
"""

from __future__ import annotations

import dataclasses
import io
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.config import AttackSpec, Task
from bench.engine.host import stop
from bench.engine.host.memory import peak_memory, ran_out, reset_peak
from bench.engine.images.augment import enlarge, to_float
from bench.engine.images.subset import CellData, load_data
from bench.engine.life.failure import mark_failed
from bench.engine.life.inputs import Inputs
from bench.engine.life.record import attack_facts, data_facts, device_facts, same_data
from bench.engine.life.settings import Settings
from bench.engine.life.trained import REDRAWN, Trained, Weights
from bench.engine.nets.network import Network
from bench.engine.plan import missing
from bench.engine.resume.checkpoint import load_checkpoint
from bench.engine.suite import evaluate
from bench.engine.train import dtype_of, plain, precision
from bench.engine.verdicts.chunks import ChunkFolder, Partial
from bench.engine.verdicts.results import SuiteResult
from bench.engine.verdicts.sample import reached
from bench.errors import (
    BenchError,
    DeviceError,
    HeldError,
    OverdueError,
    StaleError,
    StoppedError,
    StoreError,
    UnreadableError,
    in_words,
)
from bench.seeding import stream_seed
from bench.store import lease, query
from bench.store.flags import flag_cell
from bench.store.folders import CellFolder, atomic_write, fenced, moved, new_cell, set_aside
from bench.store.parts.bits import marked
from bench.store.parts.record import Key, understood
from bench.store.provenance import identity
from bench.store.rows import rows_text
from bench.store.schema import CELL, FEATURES, REACHED, ROWS, SAMPLES
from bench.store.state import State, look
from bench.versions import versions

Emit = Callable[[dict[str, Any]], None]
STREAMS = ("init", "order", "augment", "inner", "evaluation")


def run_cell(task: Task, settings: Settings, emit: Emit, weights: Weights | None = None) -> None:
    """Do what the task still lacks. Ends with one event; only KeyboardInterrupt gets through.

    It is `done`, `failed`, or `elsewhere` when another process holds the folder: then that one does it.
    `weights`: where the network comes from, if not from training here.
    """
    torch.set_num_threads(settings.threads)
    run = CellRun(task, settings, emit, weights or Trained(task.spec))
    end: dict[str, Any] = {"event": "done"}
    try:
        with run.folder.locked():
            try:
                with stop.within(settings.cell_seconds):
                    run.go()
            except (HeldError, StoppedError):  # the cell is another process's now, or goes on in the next run
                raise
            except StaleError as error:  # what the cell holds stands, under its own inputs
                end = {"event": "failed", "stage": "inputs", "message": str(error)}
            except Exception as error:
                end = {"event": "failed", "stage": run.stage, "message": _said(error)}
                mark_failed(settings.results, task, run.stage, end["message"], traceback.format_exc())
    except HeldError as error:
        end = {"event": "elsewhere", "message": str(error)}
    except StoppedError as error:
        end = {"event": "stopped", "stage": run.stage, "message": str(error)}
    except Exception as error:  # the folder cannot be made, or the failure not be stored
        reasons = dict.fromkeys([end["message"], _said(error)] if "message" in end else [_said(error)])
        end = {"event": "failed", "stage": run.stage, "message": " ".join(reasons)}
    emit({"cell": task.spec.id, **end})


def _said(error: Exception) -> str:
    if ran_out(error):
        return "memory ran out; leave it more, with fewer --jobs, a smaller network or another device."
    return in_words(error)


class CellRun:
    """The stages of one cell, and the state they share."""

    def __init__(self, task: Task, settings: Settings, emit: Emit, weights: Weights) -> None:
        self.task, self.spec, self.settings, self.emit, self.weights = task, task.spec, settings, emit, weights
        self.folder, self.stage = CellFolder(settings.results, task.spec.id), "start"
        self.device = torch.device(settings.device)
        self.cell: dict[str, Any] = {}
        self.inputs, self.partial = Inputs(settings.data_root), Partial(self.folder.path)

    def go(self) -> None:
        """Do every stage that the folder lacks."""
        state = self._fresh(self._repaired())
        known: Mapping[str, Any] = state.cell.document if state.cell else new_cell(self.spec)
        self.cell = {"stages": {}, "evaluations": {}, "flags": [], **known}
        lacks = self.weights.wanted(missing(self.task, state))
        if not lacks:
            return
        self.keep(moved(self.cell, "running", lacks[0]) | {"failure": None})
        if "rows" in lacks:
            self._rows(query.samples(self.folder.path))
        if lacks != ["rows"]:
            self._work(lacks)
        self.keep(moved(self.cell, "done"))
        self._tidy()

    def _tidy(self) -> None:
        """Remove what a kill left of steps that were done since."""
        fenced(self.partial.path)
        self.partial.clear(self.cell["evaluations"])
        if set(self.task.want.track) <= set(self.cell.get("tracked", ())) and self.task.want.track:
            fenced(self.folder.path / REDRAWN).unlink(missing_ok=True)

    def _work(self, lacks: Sequence[str]) -> None:
        """Everything that needs the data: weights, attacks, curves, features."""
        self.stage = "data"
        known = "inputs" in self.cell or "data" not in self.cell  # else it was begun when nobody wrote them down
        inputs = {"inputs": self.inputs.now(self.spec)} if known else {}
        data = load_data(self.spec, self.settings.data_root)
        facts = data_facts(data)
        same_data(self.cell.get("data"), facts)
        self.keep(
            self.cell
            | inputs
            | {
                "data": facts,
                "versions": versions(),
                "device": device_facts(self.device, self.settings),
                "seeds": {name: stream_seed(self.spec.seed, name) for name in STREAMS},
            }
        )
        network = self.weights.network(self, data, "train" in lacks)
        self._attack(data, network, [key for key in lacks if "/" in key])
        if "features" in lacks or (self.task.want.features and not self.cell.get("features")):
            self._features(data, network)

    def _repaired(self) -> State:
        """The folder as it can be trusted: what is damaged is set aside, and what depended on it is done again.

        It was looked at when the grid was planned; only now that it is held can nobody change it any more.
        """
        path = self.folder.path
        state = look(path)
        damaged = [*state.damaged]
        if path / SAMPLES in damaged and (path / ROWS).exists():
            damaged.append(path / ROWS)  # its counts can no longer be derived; kept, but no result
        for file in damaged:
            self._aside(file)
        return dataclasses.replace(state, damaged=())  # what could not be read was as good as absent already

    def _fresh(self, state: State) -> State:
        """The state, unless it comes from other code or data than there is now, or was changed: then that of none.

        What was there is kept under `stale/`. Raises StaleError when it is not to be begun anew.
        """
        why = state.changed or self.inputs.stale(self.spec, state.cell)
        if why and not self.settings.retrain:
            raise StaleError(why)
        if not why:
            return state
        kept = self.folder.retire()
        self.emit({"cell": self.spec.id, "event": "aside", "message": f"what the stale cell held is kept as {kept}."})
        return State()

    def _aside(self, file: Path) -> None:
        kept = set_aside(file)
        self.emit({"cell": self.spec.id, "event": "aside", "message": f"{file} is damaged; kept as {kept.name}."})

    def stored(self, name: str) -> dict[str, Any] | None:
        """What a checkpoint of the folder holds; None where it is absent or damaged, and then set aside."""
        path = self.folder.path / name
        try:
            return load_checkpoint(path, self.device) if path.exists() else None
        except UnreadableError:
            raise
        except StoreError:
            self._aside(path)
            return None

    def keep(self, cell: dict[str, Any]) -> None:
        """Replace what is known, here and in cell.json."""
        self.cell = cell
        self.folder.write(cell)

    def say(self, stage: str, at: int, of: int, **more: Any) -> None:
        """Tell where a stage is."""
        self.stage = stage
        if (mine := lease.over(self.folder.path / CELL)) is not None:
            mine.note(stage=stage, at=at, of=of)
        self.emit({"cell": self.spec.id, "event": "progress", "stage": stage, "at": at, "of": of, **more})
        stop.check()

    def note(self, sentence: str) -> None:
        """Tell of something that is worth a line and no failure."""
        self.emit({"cell": self.spec.id, "event": "note", "message": sentence})

    def suite(
        self,
        data: CellData,
        network: torch.nn.Module,
        split: str,
        attacks: Sequence[AttackSpec],
        chunks: ChunkFolder | None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> SuiteResult:
        """Attack the network on a test split or the validation images, in the form and precision of a judgement."""
        shown, labels, index = data.shown(split)
        images = shown[index]
        if self.spec.recipe.resize:
            # as bytes: the enlarged floats of a whole test set would take gigabytes
            images = enlarge(images.permute(0, 3, 1, 2), self.spec.recipe.resize).permute(0, 2, 3, 1)
        with precision(plain(self.spec), self.device), self.weights.deployed(network):
            return evaluate(
                network,
                images,
                labels[index],
                index,
                attacks,
                threat=self.spec.threat,
                num_classes=data.num_classes,
                root_seed=self.spec.seed,
                device=self.device,
                batch_size=self.settings.batch_size,
                store=chunks,
                progress=progress,
                notice=self.note,
                known=self._audited(split),
            )

    def _attack(self, data: CellData, network: Network, keys: Sequence[str]) -> None:
        """Each wanted attack on each wanted split; rows and bits are written after every one."""
        failed: list[tuple[str, Exception]] = []
        for wanted in self.task.want.evaluations:
            if wanted.key in keys:
                split, attack = wanted.test_split, wanted.attack
                self.say(wanted.key, 0, 1)
                reset_peak(self.device)
                chunks = self.partial.of(wanted.key, identity.code("attacks", attack.name))
                try:
                    result = self.suite(data, network, split, [attack], chunks, self._reporter(wanted.key))
                except (StoreError, StoppedError, OverdueError, DeviceError):  # these would end the others too
                    raise
                except Exception as error:
                    failed.append((self.stage, error))
                else:
                    self._store(data, split, attack.label, result)
                    fenced(self.partial.path)
                    self.partial.clear([wanted.key])
        if failed:
            self.stage, first = failed[0]
            if len(failed) == 1:
                raise first
            raise BenchError(f"{in_words(first)} Failed too: {', '.join(key for key, _ in failed[1:])}.") from first

    def _audited(self, split: str) -> dict[str, np.ndarray]:
        """Which stages each image is known to have met, by the attack that an audit belongs to."""
        mine = {str(Key(split, label)): f.audit for label, f in understood(self.cell).on(split).items() if f.audit}
        bits = query.samples(self.folder.path) if mine else {}
        return {audit.continues: bits[key + REACHED] for key, audit in mine.items() if key + REACHED in bits}

    def _reporter(self, key: str) -> Callable[[str, int, int], None]:
        return lambda _, at, of: self.say(key, at, of)

    def _store(self, data: CellData, split: str, label: str, result: SuiteResult) -> None:
        """Merge one attack's bits into per_sample.npz, its facts into cell.json, and derive the rows again."""
        attack, index = result.attacks[label], data.splits[split]
        bits = query.samples(self.folder.path)
        bits[f"{split}/index"], bits[f"{split}/label"] = index.numpy(), data.test_labels[index].numpy()
        bits[f"{split}/{label}"] = attack.correct.astype(np.uint8)
        if attack.audit is not None and not attack.total("refused"):  # those would only stand in for a verdict
            bits[f"{split}/{label}{REACHED}"] = reached(attack.audit)
        atomic_write(self.folder.path / SAMPLES, _packed({k: bits[k] for k in sorted(bits)}))
        key = f"{split}/{label}"
        stage = {
            "seconds": round(attack.total("seconds"), 3),
            "peak_memory_mib": peak_memory(self.device),
            "forward": attack.total("forwards"),
            "backward": attack.total("backwards"),
            "images": len(index),
        }
        self.cell = self.cell | {
            "evaluations": self.cell["evaluations"] | {key: attack_facts(attack)},
            "stages": self.cell["stages"] | {key: stage},
            "probes": self.cell.get("probes", {}) | {split: result.probes},
        }
        self._rows(bits)

    def _rows(self, bits: Mapping[str, np.ndarray]) -> None:
        """Derive flags and rows from what is known, and keep them."""
        cell = flag_cell(marked(self.cell, bits), bits)
        self.keep(self.folder.put(cell, ROWS, rows_text(understood(cell), bits)))

    def _features(self, data: CellData, network: Network) -> None:
        """Penultimate features and logits of the clean long-tailed test images, for Figure 3."""
        self.say("features", 0, 1)
        index, dtype = data.splits["long-tailed"], dtype_of(self.spec)
        network.eval()
        parts: list[tuple[torch.Tensor, torch.Tensor]] = []
        with torch.no_grad(), precision(plain(self.spec), self.device), self.weights.deployed(network):
            for chunk in torch.split(index, 256):
                x = to_float(data.test_images[chunk], resize=self.spec.recipe.resize, dtype=dtype).to(self.device)
                f = network.features(x)
                parts.append((f.cpu(), network.head(f).cpu()))
        packed = _packed(
            {
                "features": torch.cat([p[0] for p in parts]).numpy(),
                "logits": torch.cat([p[1] for p in parts]).numpy(),
                "label": data.test_labels[index].numpy(),
                "index": index.numpy(),
            }
        )
        self.keep(self.folder.put(self.cell | {"features": True}, FEATURES, packed))


def _packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
