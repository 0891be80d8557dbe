"""An audit of an attack's stages on a network, and what of it is kept: which stage each image reached."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.api import Attack
from bench.audit.kept import Kept, KeptPlan
from bench.audit.run import Audit, run

#: (number of the stage, positions) -> which of the images there still stand
Attacker = Callable[[int, np.ndarray], np.ndarray]


def audit(attack: Attack, indices: np.ndarray, labels: np.ndarray, clean: np.ndarray, attacker: Attacker) -> Audit:
    """Run the attack's stages on the sample that its goal asks for."""
    goal = attack.goal()
    assert goal is not None
    return run(indices, labels, clean, attack.num_classes, attack.costs(), goal, attacker)


def reached(done: Audit) -> np.ndarray:
    """One number an image (uint8 N): twice the stages that it stood, and one more unless the next one broke it."""
    return (2 * done.passed.astype(np.uint8) + (~done.broken)).astype(np.uint8)


def known(codes: np.ndarray, stage: int) -> tuple[np.ndarray, np.ndarray]:
    """(bool N: attacked by a stage, bool N: not broken by it) from `reached`, among images right without attack."""
    passed, stands = codes // 2, codes % 2 == 1
    broken = ~stands & (passed == stage)
    return broken | (passed > stage), ~broken


def facts(done: Audit, continues: str) -> Kept:
    """What cell.json keeps of an audit: the plan, what was seen, the estimate and both intervals."""
    counts, result, plan = done.counts, done.result, done.plan
    return Kept(
        continues=continues,
        gap=done.gap,
        whole=bool(counts.whole),
        plan=KeptPlan(plan.first.tolist(), plan.second.tolist(), plan.draws, plan.bound, plan.passes),
        seen=counts.seen.tolist(),
        stood=counts.stood.tolist(),
        draws=counts.draws.tolist(),
        broken=counts.broken.tolist(),
        look=counts.look,
        balanced=result.value,
        early=result.early.tolist(),
        shares=result.shares.tolist(),
        added=result.added.tolist(),
        late=result.late,
        audit=result.audit,
        sampling=result.sampling,
    )


def in_words(kept: Kept) -> str:
    """An audit's outcome in one line."""
    (low, high), (least, most), name = kept.audit, kept.sampling, kept.continues
    seen = f"{sum(kept.plan.first)}/{sum(kept.plan.second)} images for the early stages"
    drawn = f"{sum(kept.draws):.0f} weighted draws for the late ones, {sum(kept.broken):.0f} of them broken"
    return (
        f"audit of {name}: balanced {100 * kept.balanced:.2f}; {name} on these images {100 * low:.2f} to "
        f"{100 * high:.2f}, on others {100 * least:.2f} to {100 * most:.2f}; "
        f"{'all images attacked' if kept.whole else f'{seen}, {drawn}'}"
    )
