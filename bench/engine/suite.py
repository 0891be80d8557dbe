"""The attack suite: who is attacked and what counts as broken, one bit per image and attack.

A bit never depends on the batch, the order of attacks or the number of processes (attacks in a reference mode
excepted): noise belongs to the image, survivors are gathered over the whole set, and every verdict is given by the
plain network on an image whose distance and box were measured in float64. How a stage of an attack is run, and goes on
after a kill, is `bench.engine.verdicts.stages`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.api import Attack
from bench.config import AttackSpec, ThreatModel, canonical_json, make, to_plain
from bench.engine.verdicts import inputs, probes, sample
from bench.engine.verdicts.budget import radius
from bench.engine.verdicts.chunks import StageStore
from bench.engine.verdicts.oracle import NetworkOracle
from bench.engine.verdicts.results import AttackResult, StageResult, SuiteResult
from bench.engine.verdicts.stages import Progress, Stages
from bench.engine.verdicts.way import Way
from bench.errors import UsageError
from bench.registry import registry
from bench.seeding import isolated


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
    run = Stages(
        network,
        images,
        labels,
        indices,
        threat,
        root_seed,
        device,
        dtype,
        batch_size,
        store,
        progress,
        notice,
        known or {},
    )
    with isolated(root_seed, "evaluation", "network", cuda=device.type == "cuda"):
        asked = inputs.check_network(network, run.take(some[:2])[0])
        with NetworkOracle(network, num_classes, probe=run.take(some[:8])[0], folded=fold, dtype=asked) as oracle:
            run.start(oracle, canonical_json([threat, num_classes, root_seed, fold]))
            facts = probes.examine(oracle, *run.take(some)) | inputs.facts_of_set(images, labels, num_classes)
            clean = _attack(run, "clean", build(AttackSpec("clean"), threat, num_classes), None)
            facts |= {"predicted_top_share": run.top_share()}
            results = {
                label: clean if label == "clean" else _attack(run, label, attack, clean.correct)
                for label, attack in built
            }
    return SuiteResult(clean.correct, results, facts)


def _attack(run: Stages, label: str, attack: Attack, clean: np.ndarray | None) -> AttackResult:
    """All stages of one attack, each on what still stands. `clean`: verdicts without attack, None for clean."""
    if attack.goal() is not None and clean is not None:
        return _audited(run, label, attack, clean)
    begins = clean if clean is not None and attack.only_correct else np.ones(len(run.labels), dtype=bool)
    correct, stages, parts = begins.copy(), [], attack.stages()
    run.way = Way(attack.costs(), len(parts), int(begins.sum()))
    for number, stage in enumerate(parts):
        held, facts = run.stage(label, number, stage, np.flatnonzero(correct), clean)
        correct &= held
        stages.append(facts)
    plain: dict[str, Any] = to_plain(attack.params)
    return AttackResult(
        label,
        attack.name,
        attack.norm,
        attack.white_box,
        attack.strength,
        attack.engine,
        radius(attack),
        plain,
        tuple(attack.notes()),
        correct,
        tuple(stages),
    )


def _audited(run: Stages, label: str, attack: Attack, clean: np.ndarray) -> AttackResult:
    """The stages on a sample, under the name of the attack that they belong to."""
    run.way, whole, stages = None, attack.continues(), list(attack.stages())
    name = whole.label if whole else label
    met = [np.zeros(len(clean), bool) for _ in stages]
    before = [run.spent(name, number, stage) for number, stage in enumerate(stages)]

    def attacker(number: int, positions: np.ndarray) -> np.ndarray:
        met[number][positions] = True
        held, _ = run.stage(name, number, stages[number], np.sort(positions), clean)
        answered: np.ndarray = held[positions]
        return answered

    done = sample.audit(attack, run.indices.numpy(), run.labels.numpy(), clean, attacker)
    facts = []
    for number, stage in enumerate(stages):
        asked = np.flatnonzero(met[number])
        state = run.stage(name, number, stage, asked, clean)[1] if len(asked) else None
        spent = run.spent(name, number, stage) - before[number]
        facts.append(
            StageResult(
                stage.name,
                stage.white_box,
                len(asked),
                state.broken if state else 0,
                int(spent[2]),
                int(spent[0]),
                int(spent[1]),
                float(spent[3]),
            )
        )
    return AttackResult(
        label,
        attack.name,
        attack.norm,
        attack.white_box,
        attack.strength,
        attack.engine,
        radius(attack),
        to_plain(attack.params),
        tuple(attack.notes()),
        ~done.broken,
        tuple(facts),
        done,
        name,
    )
