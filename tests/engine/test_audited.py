"""aa-audited on networks: the completing aa repeats nothing and gives the bits that it would have given alone."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.audit.run import EARLY
from bench.config import AttackSpec, ThreatModel
from bench.engine.life.record import attack_facts
from bench.engine.suite import evaluate
from bench.engine.verdicts import sample
from bench.engine.verdicts.chunks import ChunkFolder
from bench.engine.verdicts.results import SuiteResult
from bench.seeding import isolated
from bench.store.flags import raised_gap
from bench.store.parts.record import EvaluationFacts

SHORT = "queries=20,steps=5"
AUDIT, FULL = f"aa-audited[{SHORT},widening=1.9]", f"aa[{SHORT}]"
COUNT = 260


class Masked(nn.Module):
    """Logits are flat around each image for gradients, but not for a search without them."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x + ((x * 8).round() / 8 - x).detach() - (x - x.detach()))


def network(masked: bool = False) -> tuple[nn.Module, Tensor, Tensor]:
    """(network, uint8 images, its own labels of 4 classes)."""
    with isolated(7, "audited"):
        images = torch.randint(0, 256, (COUNT, 6, 6, 1), dtype=torch.uint8)
        net = nn.Sequential(nn.Flatten(), nn.Linear(36, 20), nn.Tanh(), nn.Linear(20, 4)).eval()
    net = Masked(net) if masked else net
    with torch.no_grad():
        return net, images, net(images.permute(0, 3, 1, 2) / 255).argmax(1)


def attacked(*specs: str, masked: bool = False, **more: object) -> SuiteResult:
    net, images, labels = network(masked)
    eps = 0.1 if masked else 0.01
    return evaluate(
        net,
        images,
        labels,
        torch.arange(COUNT) * 3,
        [AttackSpec.parse(s) for s in specs],
        threat=ThreatModel(eps),
        num_classes=4,
        root_seed=0,
        **more,
    )  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def alone() -> SuiteResult:
    return attacked(FULL)


def test_an_audit_attacks_fewer_and_holds_what_aa_gives(alone: SuiteResult) -> None:
    _, _, labels = network()
    audit, full = attacked(AUDIT).attacks[AUDIT], alone.attacks[FULL]
    assert audit.audit is not None
    assert all(a.attacked < f.attacked for a, f in zip(audit.stages, full.stages, strict=True))
    balanced = np.mean([full.correct[labels.numpy() == c].mean() for c in np.unique(labels)])
    low, high = audit.audit.result.audit
    assert low <= balanced <= high
    assert (audit.correct >= full.correct).all()  # nothing is broken that aa would not break


def test_aa_goes_on_from_the_audit_and_repeats_nothing(alone: SuiteResult) -> None:
    """In one evaluation: the passes of both together are those of aa alone, stage by stage."""
    both = attacked(AUDIT, FULL)
    assert (both.attacks[FULL].correct == alone.attacks[FULL].correct).all()
    for mine, wanted in zip(both.attacks[FULL].stages, alone.attacks[FULL].stages, strict=True):
        assert (mine.attacked, mine.broken) == (wanted.attacked, wanted.broken)


def test_aa_goes_on_from_stored_stages(alone: SuiteResult) -> None:
    """What a store keeps, one byte an image, is enough: only what is new is computed."""
    audit = attacked(AUDIT).attacks[AUDIT]
    assert audit.audit is not None
    rest = attacked(FULL, known={FULL: sample.reached(audit.audit)}).attacks[FULL]
    assert (rest.correct == alone.attacks[FULL].correct).all()
    for before, after, wanted in zip(audit.stages, rest.stages, alone.attacks[FULL].stages, strict=True):
        assert (after.attacked, after.broken) == (wanted.attacked, wanted.broken)
        assert after.forwards < wanted.forwards
        assert before.forwards + after.forwards >= wanted.forwards


def test_two_audits_of_one_network_are_one() -> None:
    first, again = attacked(AUDIT).attacks[AUDIT], attacked(AUDIT, batch_size=7).attacks[AUDIT]
    assert first.audit is not None
    assert again.audit is not None
    assert (sample.reached(first.audit) == sample.reached(again.audit)).all()
    assert sample.facts(first.audit, FULL) == sample.facts(again.audit, FULL)


def test_a_masked_network_ends_in_the_full_evaluation() -> None:
    """Gradients do not lead, Square breaks what they left: more than 5 % of the draws, so everything is attacked."""
    audit, full = attacked(AUDIT, masked=True).attacks[AUDIT], attacked(FULL, masked=True).attacks[FULL]
    assert audit.audit is not None
    late = sum(stage.broken for stage in full.stages[EARLY:])
    assert late > 0.05 * full.stages[EARLY].attacked  # the network is what it is meant to be
    assert audit.audit.gap
    assert audit.audit.counts.whole
    assert (audit.correct == full.correct).all()
    facts = msgspec.convert(attack_facts(audit), EvaluationFacts)
    assert facts.audit is not None
    assert facts.audit.audit == (facts.audit.balanced,) * 2
    assert raised_gap(facts)


def test_an_audit_survives_a_kill(tmp_path: Path, alone: SuiteResult) -> None:
    """Partial verdicts lie under the name of the attack that they belong to."""
    attacked(AUDIT, store=ChunkFolder(tmp_path))
    after = attacked(FULL, store=ChunkFolder(tmp_path)).attacks[FULL]
    assert (after.correct == alone.attacks[FULL].correct).all()
    assert after.total("forwards") == alone.attacks[FULL].total("forwards")  # of both, with nothing twice


def test_codes_say_what_each_stage_did() -> None:
    codes = np.array([0, 1, 2, 3, 8, 9], np.uint8)  # wrong, untouched, broken by 2nd, stood one, broken by ..., through
    done, stands = sample.known(codes, 1)
    assert done.tolist() == [False, False, True, False, True, True]
    assert stands.tolist() == [True, True, False, True, True, True]
