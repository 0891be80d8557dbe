"""What an evaluation gives: one bit an image and attack, and what each stage of an attack took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.audit.run import Audit


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
