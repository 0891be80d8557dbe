"""One stage of an attack on the images that still stand: batch by batch, kept after each, gone on with after a kill.

Draws belong to the image, and the plain network gives every verdict, so neither the size of a batch nor what was done
before changes any.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from bench.api import Attack
from bench.config import ThreatModel, canonical_json
from bench.engine.host.memory import halved
from bench.engine.images.planes import by_rows, planes
from bench.engine.nets.weights import tensor_hash
from bench.engine.verdicts import sample
from bench.engine.verdicts.budget import check_refused, within
from bench.engine.verdicts.chunks import EVALUATION_BATCH, StageStore
from bench.engine.verdicts.oracle import NetworkOracle
from bench.engine.verdicts.results import StageResult
from bench.engine.verdicts.way import Way
from bench.errors import ModelError
from bench.seeding import CounterNoise, isolated

Progress = Callable[[str, int, int], None]


def _whole(state: Mapping[str, np.ndarray], total: int) -> bool:
    """Whether what was saved of a stage has all of its parts; what a damaged file holds is computed again."""
    sizes = {"mark": (1,), "done": (total,), "correct": (total,), "counts": (4,), "predicted": (0, total)}
    return state.keys() == sizes.keys() and all(state[name].size in some for name, some in sizes.items())


class Stages:
    """One evaluation under way: the set, the network, and where partial verdicts go."""

    def __init__(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        indices: Tensor,
        threat: ThreatModel,
        root_seed: int,
        device: torch.device,
        dtype: torch.dtype,
        batch_size: int | None,
        store: StageStore | None,
        progress: Progress | None,
        notice: Callable[[str], None] | None,
        known: Mapping[str, np.ndarray],
    ) -> None:
        self.network, self.images, self.labels, self.indices = network, images, labels, indices
        self.threat, self.root_seed, self.device, self.dtype = threat, root_seed, device, dtype
        self.batch_size, self.store, self.known = batch_size, store, known
        self.progress, self.notice = progress, notice
        self.states: dict[str, dict[str, np.ndarray]] = {}  # an audit comes back to a stage, and aa goes on from it
        self.predicted = torch.zeros(len(labels), dtype=torch.long)
        self.way: Way | None = None

    def start(self, oracle: NetworkOracle, setting: str) -> None:
        """Begin: `setting` is all that verdicts depend on besides the network and the set."""
        self.oracle = oracle
        data = {"images": self.images, "labels": self.labels, "indices": self.indices}
        self.fingerprint = tensor_hash(data, setting + tensor_hash(self.network.state_dict()))

    def take(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """(images as N x channels x H x W in [0,1], labels) on the device."""
        chosen = self.images[positions.to(self.images.device)].to(self.device)
        x = planes(chosen, self.dtype) if chosen.dtype == torch.uint8 else by_rows(chosen.to(self.dtype))
        return x, self.labels[positions].to(self.device)

    def top_share(self) -> float:
        """Share of images that get the class predicted most often."""
        return float(self.predicted.bincount().max() / len(self.predicted))

    def spent(self, label: str, number: int, stage: Attack) -> np.ndarray:
        """Forward and backward passes, refusals and seconds of a stage so far."""
        counts: np.ndarray = self.state(label, number, stage, plain=False)["counts"]
        return counts

    def state(self, label: str, number: int, stage: Attack, plain: bool) -> dict[str, np.ndarray]:
        """What is known of a stage: `done`, `correct` (bool N), `counts`, and `predicted` of a `plain` one."""
        key, total = f"{label}/{number}-{stage.name}", len(self.labels)
        mark = hashlib.sha256(f"{self.fingerprint}{key}{canonical_json(stage.params)}".encode()).hexdigest()
        state = self.states.get(key) or (self.store.load(key) if self.store is not None else None)
        if state is not None and _whole(state, total) and str(state["mark"]) == mark:
            return state
        done, correct = np.zeros(total, bool), np.ones(total, bool)
        if label in self.known:
            done, correct = sample.known(self.known[label], number)
        return {
            "mark": np.array(mark),
            "done": done,
            "correct": correct,
            "counts": np.zeros(4),
            "predicted": np.zeros(total if plain else 0, np.int64),
        }

    def stage(
        self, label: str, number: int, stage: Attack, standing: np.ndarray, clean: np.ndarray | None
    ) -> tuple[np.ndarray, StageResult]:
        """(bool N, True where the image stands; facts) of one stage on the images at `standing`."""
        key = f"{label}/{number}-{stage.name}"
        state = self.states[key] = self.state(label, number, stage, clean is None)
        todo = standing[~state["done"][standing]]
        size = self.batch_size or EVALUATION_BATCH.get(self.device.type, EVALUATION_BATCH["cpu"])
        while len(todo):
            # a NumPy index: NumPy would read a tensor of one element as a plain integer
            chunk = todo[:size]
            try:
                held, predicted, counts = self.chunk(label, stage, torch.from_numpy(chunk), clean)
            except (RuntimeError, MemoryError) as error:
                size = self.batch_size = halved(error, len(chunk))
                if self.notice:
                    self.notice(f"memory ran out with {len(chunk)} images at once; {label} goes on with {size}.")
                continue
            todo = todo[size:]
            state["done"][chunk], state["correct"][chunk] = True, held
            state["counts"] = state["counts"] + counts
            if clean is None:
                state["predicted"][chunk] = predicted
            if (
                self.store is not None and not state["counts"][2]
            ):  # verdicts that only stand in are not kept for a later run
                self.store.save(key, state)
            if self.progress:
                self.progress(label, *self.far(number, len(standing) - len(todo), state["correct"][standing]))
        if clean is None:
            self.predicted = torch.from_numpy(state["predicted"].copy())
        forwards, backwards, refused, seconds = state["counts"].tolist()
        check_refused(label, stage.name, int(refused), max(len(standing), int(state["done"].sum())))
        broken = int((~state["correct"][standing]).sum())
        facts = StageResult(
            stage.name, stage.white_box, len(standing), broken, int(refused), int(forwards), int(backwards), seconds
        )
        return state["correct"].copy(), facts

    def far(self, number: int, done: int, held: np.ndarray) -> tuple[int, int]:
        """(at, of) in images: on the whole way of an attack, of an audit (which comes back to a stage) of this one."""
        at = done if self.way is None else self.way.at(number, done, len(held), int(held.sum()))
        return at, len(held) if self.way is None else self.way.images

    def chunk(
        self, label: str, stage: Attack, positions: Tensor, clean: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(still correct, predicted class, [forwards, backwards, refused, seconds]) of the images at `positions`."""
        x, y = self.take(positions)
        names = self.indices[positions].to(self.device)
        noise = CounterNoise(self.root_seed, "evaluation", stage.name, images=names, dtype=self.dtype)
        began, forwards, backwards = time.perf_counter(), self.oracle.forwards, self.oracle.backwards
        cuda = self.device.type == "cuda"
        with isolated(self.root_seed, "evaluation", stage.name, int(names[0]), cuda=cuda):
            answer = stage.run(self.oracle, x, y, noise).detach().to(self.dtype)
            if answer.shape != x.shape:
                raise ModelError(f"attack '{label}' returned {tuple(answer.shape)} for images {tuple(x.shape)}.")
            inside = within(answer, x, stage)
            predicted = self.oracle.plain(torch.where(inside.view(-1, 1, 1, 1), answer, x)).argmax(1)
        counts = (
            self.oracle.forwards - forwards,
            self.oracle.backwards - backwards,
            int((~inside).sum()),
            time.perf_counter() - began,
        )
        return (predicted == y).cpu().numpy(), predicted.cpu().numpy(), np.array(counts, dtype=np.float64)
