"""The attack suite: who is attacked, in which batches, what counts as broken, and how a killed evaluation goes on.

One bit per image and attack is the result. It never depends on the batch, the order of attacks or the number of
processes (attacks in a reference mode excepted): noise belongs to the image, survivors are gathered over the whole
set, and every verdict is given by the plain network on an image whose distance and box were measured in float64.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from bench.api import Attack
from bench.audit.run import Audit
from bench.config import REFERENCE_EPS, AttackSpec, ThreatModel, canonical_json, make, to_plain
from bench.engine.host.memory import halved
from bench.engine.nets.weights import tensor_hash
from bench.engine.verdicts import inputs, probes, sample
from bench.engine.verdicts.chunks import EVALUATION_BATCH, ChunkFolder
from bench.engine.verdicts.oracle import NetworkOracle
from bench.engine.verdicts.way import Way
from bench.errors import ModelError, UsageError
from bench.registry import registry
from bench.seeding import CounterNoise, isolated

__all__ = ["AttackResult", "ChunkFolder", "StageResult", "StageStore", "SuiteResult", "build", "evaluate", "radius"]

#: slack of the radius for the rounding of x + delta in single precision
TOLERANCE = 1e-6
Progress = Callable[[str, int, int], None]


class StageStore(Protocol):
    """Where partial verdicts survive a kill. Keys are any text."""

    def load(self, key: str) -> dict[str, np.ndarray] | None:
        """What was saved under the key, or None."""

    def save(self, key: str, arrays: dict[str, np.ndarray]) -> None:
        """Replace what is saved under the key, all or nothing."""


@dataclass(frozen=True)
class StageResult:
    """One stage of an attack: images attacked and broken, answers refused for leaving the budget, passes, seconds."""

    name: str
    white_box: bool
    attacked: int
    broken: int
    refused: int
    forwards: int
    backwards: int
    seconds: float


@dataclass(frozen=True)
class AttackResult:
    """One attack on the whole set. `correct`: bool N, True where the image is still classified correctly.

    `eps`: the attack's own radius on the [0,1] scale (None when it has no l_inf radius). `params`: all resolved.
    """

    label: str
    name: str
    norm: str
    white_box: bool
    strength: int | None
    engine: str
    eps: float | None
    params: dict[str, Any]
    notes: tuple[str, ...]
    correct: np.ndarray
    stages: tuple[StageResult, ...]
    audit: Audit | None = None
    continues: str = ""

    @property
    def accuracy(self) -> float:
        """Share of images still classified correctly."""
        return float(self.correct.mean())

    def total(self, what: str) -> float:
        """Sum over the stages of `forwards`, `backwards`, `seconds`, `refused`, `attacked` or `broken`."""
        return float(sum(getattr(stage, what) for stage in self.stages))


@dataclass(frozen=True)
class SuiteResult:
    """Everything an evaluation gives. `clean`: bool N. `attacks`: by label, in the order asked for.

    `probes`: facts about the network (`bench.engine.verdicts.probes.examine`) and the set, for `bench.store.flags`.
    """

    clean: np.ndarray
    attacks: dict[str, AttackResult]
    probes: dict[str, float] = field(default_factory=dict)


def build(spec: AttackSpec, threat: ThreatModel, num_classes: int) -> Attack:
    """The attack of a spec. Raises UsageError for an unknown attack or parameter, or a value out of range."""
    if not 0 < threat.eps <= 1:
        raise UsageError(
            f"threat model: eps={threat.eps!r} is not possible; it must be above 0 and at most 1 on the [0,1] scale."
        )
    cls = registry("attacks").get(spec.name)
    params = make(cls.Params, dict(spec.params), f"attack '{spec.name}'")
    attack: Attack = cls(params, threat, num_classes)
    return attack


def radius(attack: Attack) -> float | None:
    """The l_inf radius an attack must keep, or None when it has none: its `eps` parameter, scaled, or the threat's."""
    if attack.norm != "linf":
        return None
    stated = getattr(attack.params, "eps", None)
    return attack.threat.eps if stated in (None, REFERENCE_EPS) else float(stated) * attack.threat.scale


def evaluate(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    indices: Tensor,
    attacks: Sequence[AttackSpec],
    *,
    threat: ThreatModel,
    num_classes: int,
    root_seed: int,
    device: str | torch.device = "cpu",
    batch_size: int | None = None,
    store: StageStore | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
    fold: bool = True,
    known: Mapping[str, np.ndarray] | None = None,
) -> SuiteResult:
    """Attack `network` on a test set and say which images still stand.

    network: N x channels x H x W in [0,1] -> N x C logits, on `device`; its modes and gradients are put back. images:
    uint8 N x H x W x channels, or floating N x channels x H x W in [0,1]. labels: integers N in [0, C). indices: int64
    N, names of the images in the source's test split, to which all randomness belongs. `batch_size` None: chosen by
    device; it is halved when memory runs out, of which `notice` is told in a sentence. `store`: partial verdicts go
    there after every chunk, and those of the very same evaluation found there are used. `progress(label, done, total)`.
    `fold`: attack a copy with folded batch norm. `known`: by label, the stages that an audit of the same network on
    these very images found out (`bench.engine.verdicts.sample.reached`); they are not run again.

    Raises UsageError (attack, parameter, radius), DataError (images, labels), ModelError (network); nothing is stored
    then.
    """
    built = [(spec.label, build(spec, threat, num_classes)) for spec in attacks]
    inputs.check_set(images, labels, indices, num_classes)
    device, dtype = torch.device(device), inputs.working_dtype(network)
    labels, indices = labels.long().cpu(), indices.long().cpu()
    some = probes.spread(len(labels))
    run = _Run(network, images, labels, indices, threat, root_seed, device, dtype, batch_size, store, progress,
               notice, known or {})  # fmt: skip
    with isolated(root_seed, "evaluation", "network", cuda=device.type == "cuda"):
        asked = inputs.check_network(network, run.take(some[:2])[0])
        with NetworkOracle(network, num_classes, probe=run.take(some[:8])[0], folded=fold, dtype=asked) as oracle:
            run.start(oracle, canonical_json([threat, num_classes, root_seed, fold]))
            facts = probes.examine(oracle, *run.take(some)) | inputs.facts_of_set(images, labels, num_classes)
            clean = run.attack("clean", build(AttackSpec("clean"), threat, num_classes), None)
            facts |= {"predicted_top_share": run.top_share()}
            results = {
                label: clean if label == "clean" else run.attack(label, attack, clean.correct)
                for label, attack in built
            }
    return SuiteResult(clean.correct, results, facts)


class _Run:
    """One evaluation under way: the set, the network, and where partial verdicts go."""

    def __init__(self, network: nn.Module, images: Tensor, labels: Tensor, indices: Tensor, threat: ThreatModel,
                 root_seed: int, device: torch.device, dtype: torch.dtype, batch_size: int | None,
                 store: StageStore | None, progress: Progress | None, notice: Callable[[str], None] | None,
                 known: Mapping[str, np.ndarray]) -> None:  # fmt: skip
        self.network, self.images, self.labels, self.indices = network, images, labels, indices
        self.threat, self.root_seed, self.device, self.dtype = threat, root_seed, device, dtype
        self.batch_size, self.store, self.known = batch_size, store, known
        self.progress, self.notice = progress, notice
        self.states: dict[str, dict[str, np.ndarray]] = {}  # an audit comes back to a stage, and aa goes on from it
        self.predicted = torch.zeros(len(labels), dtype=torch.long)
        self.way: Way | None = None

    def start(self, oracle: NetworkOracle, setting: str) -> None:
        self.oracle = oracle
        data = {"images": self.images, "labels": self.labels, "indices": self.indices}
        self.fingerprint = tensor_hash(data, setting + tensor_hash(self.network.state_dict()))

    def take(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """(images as N x channels x H x W in [0,1], labels) on the device."""
        chosen = self.images[positions.to(self.images.device)].to(self.device)
        if chosen.dtype == torch.uint8:
            chosen = chosen.permute(0, 3, 1, 2).to(self.dtype) / 255
        return chosen.to(self.dtype).contiguous(), self.labels[positions].to(self.device)

    def top_share(self) -> float:
        """Share of images that get the class predicted most often."""
        return float(self.predicted.bincount().max() / len(self.predicted))

    def attack(self, label: str, attack: Attack, clean: np.ndarray | None) -> AttackResult:
        """All stages of one attack, each on what still stands. `clean`: verdicts without attack, None for clean."""
        if attack.goal() is not None and clean is not None:
            return self.audited(label, attack, clean)
        begins = clean if clean is not None and attack.only_correct else np.ones(len(self.labels), dtype=bool)
        correct, stages, parts = begins.copy(), [], attack.stages()
        self.way = Way(attack.costs(), len(parts), int(begins.sum()))
        for number, stage in enumerate(parts):
            held, facts = self.stage(label, number, stage, np.flatnonzero(correct), clean)
            correct &= held
            stages.append(facts)
        plain: dict[str, Any] = to_plain(attack.params)
        return AttackResult(label, attack.name, attack.norm, attack.white_box, attack.strength, attack.engine,
                            radius(attack), plain, tuple(attack.notes()), correct, tuple(stages))  # fmt: skip

    def audited(self, label: str, attack: Attack, clean: np.ndarray) -> AttackResult:
        """The stages on a sample, under the name of the attack that they belong to."""
        self.way, whole, stages = None, attack.continues(), list(attack.stages())
        name = whole.label if whole else label
        met = [np.zeros(len(clean), bool) for _ in stages]
        before = [self.spent(name, number, stage) for number, stage in enumerate(stages)]

        def attacker(number: int, positions: np.ndarray) -> np.ndarray:
            met[number][positions] = True
            held, _ = self.stage(name, number, stages[number], np.sort(positions), clean)
            answered: np.ndarray = held[positions]
            return answered

        done = sample.audit(attack, self.indices.numpy(), self.labels.numpy(), clean, attacker)
        facts = []
        for number, stage in enumerate(stages):
            asked = np.flatnonzero(met[number])
            state = self.stage(name, number, stage, asked, clean)[1] if len(asked) else None
            spent = self.spent(name, number, stage) - before[number]
            facts.append(StageResult(stage.name, stage.white_box, len(asked), state.broken if state else 0,
                                     int(spent[2]), int(spent[0]), int(spent[1]), float(spent[3])))  # fmt: skip
        return AttackResult(label, attack.name, attack.norm, attack.white_box, attack.strength, attack.engine,
                            radius(attack), to_plain(attack.params), tuple(attack.notes()), ~done.broken,
                            tuple(facts), done, name)  # fmt: skip

    def spent(self, label: str, number: int, stage: Attack) -> np.ndarray:
        """Forward and backward passes, refusals and seconds of a stage so far."""
        counts: np.ndarray = self.state(label, number, stage, plain=False)["counts"]
        return counts

    def state(self, label: str, number: int, stage: Attack, plain: bool) -> dict[str, np.ndarray]:
        """What is known of a stage: `done`, `correct` (bool N), `counts`, and `predicted` of a `plain` one."""
        key, total = f"{label}/{number}-{stage.name}", len(self.labels)
        mark = hashlib.sha256(f"{self.fingerprint}{key}{canonical_json(stage.params)}".encode()).hexdigest()
        state = self.states.get(key) or (self.store.load(key) if self.store else None)
        if state is not None and str(state["mark"]) == mark:
            return state
        done, correct = np.zeros(total, bool), np.ones(total, bool)
        if label in self.known:
            done, correct = sample.known(self.known[label], number)
        return {"mark": np.array(mark), "done": done, "correct": correct, "counts": np.zeros(4),
                "predicted": np.zeros(total if plain else 0, np.int64)}  # fmt: skip

    def stage(self, label: str, number: int, stage: Attack, standing: np.ndarray,
              clean: np.ndarray | None) -> tuple[np.ndarray, StageResult]:  # fmt: skip
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
            if self.store and not state["counts"][2]:  # verdicts that only stand in are not kept for a later run
                self.store.save(key, state)
            if self.progress:
                self.progress(label, *self.far(number, len(standing) - len(todo), state["correct"][standing]))
        if clean is None:
            self.predicted = torch.from_numpy(state["predicted"].copy())
        forwards, backwards, refused, seconds = state["counts"].tolist()
        _not_refused(label, stage.name, int(refused), max(len(standing), int(state["done"].sum())))
        broken = int((~state["correct"][standing]).sum())
        facts = StageResult(stage.name, stage.white_box, len(standing), broken, int(refused), int(forwards),
                            int(backwards), seconds)  # fmt: skip
        return state["correct"].copy(), facts

    def far(self, number: int, done: int, held: np.ndarray) -> tuple[int, int]:
        """(at, of) in images: on the whole way of an attack, of an audit (which comes back to a stage) of this one."""
        at = done if self.way is None else self.way.at(number, done, len(held), int(held.sum()))
        return at, len(held) if self.way is None else self.way.images

    def chunk(self, label: str, stage: Attack, positions: Tensor,
              clean: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
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
        counts = (self.oracle.forwards - forwards, self.oracle.backwards - backwards,
                  int((~inside).sum()), time.perf_counter() - began)  # fmt: skip
        return (predicted == y).cpu().numpy(), predicted.cpu().numpy(), np.array(counts, dtype=np.float64)


def _not_refused(label: str, stage: str, refused: int, attacked: int) -> None:
    """Raise ModelError when most answers were refused: the clean verdicts that stand in measure no attack."""
    if 2 * refused > attacked:
        raise ModelError(
            f"attack '{label}' failed: {refused} of {attacked} answers of its stage '{stage}' lie outside the radius "
            "or [0,1] or are not finite, so it measured nothing; mend the attack, or give images in [0,1] "
            "(bench evaluate --normalize)."
        )


def within(answer: Tensor, x: Tensor, attack: Attack) -> Tensor:
    """Bool N: whether each answer is finite, in [0,1] and within the attack's radius, computed in float64.

    A clean "answer" is always accepted: it is the image itself.
    """
    if attack.norm == "none":
        return torch.ones(len(x), dtype=torch.bool, device=x.device)
    wide, eps = answer.double().flatten(1), radius(attack)
    accepted = torch.isfinite(wide).all(1) & (wide >= 0).all(1) & (wide <= 1).all(1)
    if eps is not None:
        accepted &= (wide - x.double().flatten(1)).abs().amax(1) <= eps + TOLERANCE
    return accepted
