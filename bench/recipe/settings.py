"""How everything is trained: optimiser, schedule, batch, augmentation, the training attack, and which epoch is kept."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from bench.errors import UsageError
from bench.fields import check_closed, setting
from bench.recipe import schedules
from bench.variants import format_value

#: closed sets: anything else is refused where an object is made
Augment = Literal["none", "crop", "crop-flip", "randaugment", "autoaugment"]
Optimizer = Literal["sgd", "adam", "adamw"]
Decay = Literal["all", "matrices"]
Schedule = Literal[
    "steps", "piecewise", "fade", "cosine", "cosine-epoch", "linear", "superconverge", "cyclic", "multi-decay",
    "cycles", "one-cycle", "one-cycle-epoch",
]  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """Training settings. Defaults are the paper's (TAET, A.1) for every method; `recipe=official` changes them.

    `eps`, `step` are the training attack's radius and step on the [0,1] scale at the reference radius 8/255.
    Milestones count 0-based epochs of a run of `full_epochs`; a shorter run (`epochs`) meets them in proportion. Each
    has its factor of the learning rate. Fields added later are written nowhere at their defaults, so older ids stay.
    Raises UsageError when settings do not fit together.
    """

    name: str = "paper"
    epochs: int = setting(100, low=1, help="epochs of this run")
    full_epochs: int = setting(100, low=1, help="epochs of the recipe as published")
    batch_size: int = setting(128, low=1)
    lr: float = setting(0.1, above=0.0, search=(0.01, 0.3, "log"))
    momentum: float = setting(0.9, low=0.0, high=1.0)
    nesterov: bool = False
    weight_decay: float = setting(5e-4, low=0.0, search=(5e-5, 5e-3, "log"))
    milestones: tuple[int, ...] = setting((75, 90), low=0)
    factors: tuple[float, ...] = setting((0.1, 0.01), low=0.0)
    compounding: bool = setting(
        False, help="every epoch multiplies the rate by the factor of the milestone passed last"
    )
    drop_last: bool = False
    augment: Augment = setting("crop-flip")
    resize: int | None = setting(None, low=8, help="side to which images are enlarged before augmentation")
    eps: float = setting(8 / 255, low=0.0, high=1.0)
    step: float = setting(2 / 255, low=0.0, high=1.0)
    steps: int = setting(10, low=0)
    schedule: Schedule = setting("steps", later=True, help="form of the learning rate, see docs/methods.md")
    warmup: int = setting(0, low=0, later=True, help="first epochs in which the rate rises")
    rise: float = setting(0.25, above=0.0, high=1.0, later=True, help="share of a one-cycle in which the rate rises")
    optimizer: Optimizer = setting("sgd", later=True)
    decay: Decay = setting("all", later=True, help="what decays: every parameter, or those of two or more dimensions")
    clip: float = setting(0.0, low=0.0, later=True, help="largest norm of the whole gradient; 0: none")
    validation: float = setting(0.0, low=0.0, high=0.5, later=True, help="share of each class held out of training")
    select: str = setting("last", later=True, help="last, or best[ATTACK]: the epoch best on the validation images")

    def __post_init__(self) -> None:
        check_closed(self)
        milestones, factors = format_value(self.milestones), format_value(self.factors)
        if len(self.milestones) != len(self.factors):
            raise UsageError(f"milestones={milestones} and factors={factors} differ in number; give one factor each.")
        if any(later <= earlier for earlier, later in pairwise(self.milestones)):
            raise UsageError(f"milestones={milestones} do not increase; give each epoch once, the earliest first.")
        if self.schedule == "fade" and len(self.milestones) != 2:
            raise UsageError(f"schedule=fade lies between two milestones, not milestones={milestones}; give two.")
        if self.schedule == "one-cycle" and self.warmup:
            raise UsageError(
                f"warmup={self.warmup} has no place before schedule=one-cycle, which rises by itself; drop it."
            )
        if self.nesterov and (self.optimizer != "sgd" or not self.momentum):
            raise UsageError(
                f"nesterov=true needs optimizer=sgd with a momentum, not optimizer={self.optimizer} with momentum="
                f"{self.momentum:g}; drop it, or give both."
            )
        if self.compounding and self.schedule != "steps":
            raise UsageError(f"compounding=true belongs to schedule=steps, not schedule={self.schedule}; drop one.")
        if self.select != "last" and self.judge is None:
            raise UsageError(f"select={self.select} is neither last nor best[ATTACK]; write for instance best[pgd-20].")
        if self.judge is not None and not self.validation:
            raise UsageError(
                f"select={self.select} needs images that are neither trained on nor tested on: the best epoch on the "
                "test images is no fair one; set validation too, for instance validation=0.1."
            )

    @property
    def reduced(self) -> bool:
        """Whether this run is shorter than the recipe as published."""
        return self.epochs != self.full_epochs

    @property
    def judge(self) -> str | None:
        """The attack of `select=best[ATTACK]`, else None."""
        found = re.fullmatch(r"best\[(.+)\]", self.select)
        return found[1].strip() if found else None

    def epoch_at(self, published: float) -> int:
        """The 0-based epoch of this run that corresponds to epoch `published` of the full-length recipe."""
        return math.ceil(published * self.epochs / self.full_epochs - 1e-9)

    def share_from(self, published: float) -> float:
        """Share of this run's epochs that come at or after epoch `published` of the full-length recipe."""
        return 1 - min(self.epoch_at(published), self.epochs) / self.epochs

    def lr_at(self, epoch: int) -> float:
        """Learning rate at the beginning of the 0-based epoch."""
        return self.rate(epoch, -1, 1)[0]

    def rate(self, epoch: int, batch: int, batches: int) -> tuple[float, float]:
        """(learning rate, momentum) of a batch, both counted from 0; most schedules set them once an epoch.

        Rice's family takes the time after the batch, t = epoch + (batch + 1) / batches (see `bench.recipe.schedules`).
        """
        if self.schedule in ("one-cycle", "one-cycle-epoch"):
            each = batches if self.schedule == "one-cycle" else 1
            at = epoch * each + (max(batch, 0) if self.schedule == "one-cycle" else 0)
            return schedules.one_cycle(at, self.lr, self.epochs * each, self.rise)
        t = float(epoch) if self.schedule in BY_EPOCH else epoch + (batch + 1) / batches
        return self._shape(t) * self._warm(t), self.momentum

    def _shape(self, t: float) -> float:
        """The rate at time t in epochs, without the warm-up but that of `compounding`."""
        lr, epochs = self.lr, self.epochs
        drops = [(float(self.epoch_at(m)), f) for m, f in zip(self.milestones, self.factors, strict=True)]
        if self.compounding:
            return schedules.compounding(int(t) + 1, lr, [(at + 1, f) for at, f in drops], self.warmup)
        match self.schedule:
            case "cosine" | "cosine-epoch":
                return schedules.cosine(t, lr, epochs)
            case "linear":
                return schedules.linear(t, lr, epochs)
            case "superconverge":
                return schedules.triangle(t, lr, epochs, epochs * 2 // 5)
            case "cyclic":
                return schedules.triangle(t, lr, epochs, 0.4 * epochs)
            case "multi-decay":
                return schedules.multi_decay(t, lr, epochs)
            case "cycles":
                return schedules.cycles(t, lr)
            case "fade":
                (begin, first), (end, last) = drops
                return lr if t < begin else schedules.interpolated(t, [(begin, lr * first), (end, lr * last)])
        return schedules.steps(t, lr, drops)

    def _warm(self, t: float) -> float:
        """The factor of the warm-up; `compounding` has its own."""
        if self.compounding:
            return 1.0
        return (t + 1) / self.warmup if t + 1 < self.warmup else 1.0


#: schedules that set the rate once an epoch
BY_EPOCH: tuple[Schedule, ...] = ("steps", "cosine-epoch", "one-cycle-epoch")
