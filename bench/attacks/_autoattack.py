"""AutoAttack (Croce and Hein, ICML 2020) as stages: our own lean engine, and the authors' program behind an adapter."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.api import Attack, Oracle, ThreatModel, isolated, setting

from ._apgd import apgd, ce, dlr_targeted, margin_targeted
from ._draws import Draws, ImageDraws, ReferenceDraws
from ._fab import fab_targeted
from ._square import square

#: classes below which the targeted DLR is undefined
DLR_CLASSES = 4


@dataclass(frozen=True)
class Settings:
    """What the stages of one chain share. `targets`: classes attacked one by one, the likeliest first."""

    eps: float
    steps: int
    queries: int
    targets: int
    rescaled: bool
    order: str
    seed: int


class Stage(Attack):
    """One part of the chain; it sees images that are classified correctly and still stand."""

    only_correct = True

    def __init__(self, params: Settings, threat: ThreatModel, num_classes: int) -> None:
        super().__init__(params, threat, num_classes)
        self.eps = params.eps * threat.scale

    def draws(self, x: Tensor, noise: Any) -> Draws:
        """The stage's random numbers: the images' own, or those of the authors' program."""
        return ReferenceDraws(self.params.seed, x) if self.params.order == "reference" else ImageDraws(noise)


def likeliest(oracle: Oracle, x: Tensor, targets: int) -> Tensor:
    """The second, third, ... likeliest class of each image: N x `targets`."""
    return oracle.logits(x).sort(1)[1].flip(1)[:, 1 : targets + 1]


def over_targets(x: Tensor, ranked: Tensor, attack: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Tensor:
    """Answers of one run after another towards the classes of `ranked` (N x targets), each on what still stands.

    `attack(positions, target)` attacks the images at `positions` and returns (answers, which of those are fooled).
    """
    answer, alive = x.clone(), torch.arange(len(x), device=x.device)
    for place in range(ranked.shape[1]):
        found, fooled = attack(alive, ranked[alive, place])
        answer[alive[fooled]] = found[fooled]
        stands = torch.ones(len(alive), dtype=torch.bool, device=x.device)
        stands[fooled] = False
        alive = alive[stands]
        if len(alive) == 0:
            break
    return answer


class ApgdCE(Stage):
    """APGD on the cross-entropy."""

    name = "apgd-ce"

    def run(self, oracle: Oracle, x: Tensor, y: Tensor, noise: Any) -> Tensor:
        """One run from one random start."""
        everyone = torch.arange(len(x), device=x.device)
        unit = self.draws(x, noise).each(everyone, x.shape[1:])
        return apgd(oracle, x, y, y, unit, ce, self.eps, self.params.steps)[0]


class ApgdT(Stage):
    """APGD on the targeted DLR (on the targeted margin below four classes), one run a target."""

    name = "apgd-t"

    def run(self, oracle: Oracle, x: Tensor, y: Tensor, noise: Any) -> Tensor:
        """One random start a target."""
        draws, loss = self.draws(x, noise), dlr_targeted if self.num_classes >= DLR_CLASSES else margin_targeted

        def attack(alive: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
            unit = draws.each(alive, x.shape[1:])
            return apgd(oracle, x[alive], y[alive], target, unit, loss, self.eps, self.params.steps)

        return over_targets(x, likeliest(oracle, x, self.params.targets), attack)


class FabT(Stage):
    """Targeted FAB, one run a target, without a random start."""

    name = "fab-t"

    def run(self, oracle: Oracle, x: Tensor, y: Tensor, noise: Any) -> Tensor:
        """No draw."""

        def attack(alive: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
            return fab_targeted(oracle, x[alive], y[alive], target, self.eps, self.params.steps)

        return over_targets(x, likeliest(oracle, x, self.params.targets), attack)


class Square(Stage):
    """Square attack: no gradients."""

    name = "square"
    white_box = False

    def run(self, oracle: Oracle, x: Tensor, y: Tensor, noise: Any) -> Tensor:
        """Random search."""
        p = self.params
        return square(oracle, x, y, self.draws(x, noise), self.eps, p.queries, p.rescaled)


LEAN: tuple[type[Stage], ...] = (ApgdCE, ApgdT, FabT, Square)


class Reference(Stage):
    """One part of the authors' program (package pyautoattack), seeded as it seeds itself and kept from the rest."""

    #: the part's name in the program, and its attribute
    part: ClassVar[str]

    def run(self, oracle: Oracle, x: Tensor, y: Tensor, noise: Any) -> Tensor:
        """What the part returns for the batch; it works in single precision."""
        from pyautoattack import AutoAttack

        logger = logging.getLogger("auto-attack")
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())  # else its warnings go to the terminal
        p = self.params
        with isolated(p.seed, "autoattack", cuda=x.is_cuda), torch.no_grad():
            program = AutoAttack(
                lambda images: oracle.forward(images.to(x.dtype)).float(),
                norm="Linf",
                eps=self.eps,
                seed=p.seed,
                version="standard",
                device=x.device,
            )
            part = getattr(program, self.part)
            part.seed, part.n_iter, part.n_queries = p.seed, p.steps, p.queries
            part.n_target_classes = p.targets
            self.prepare(part)
            answer: Tensor = part.perturb(x.float(), y)
        return answer.to(x.dtype)

    def prepare(self, part: Any) -> None:
        """Settings of the one part."""


class ReferenceApgdCE(Reference):
    """APGD-CE of the authors' program."""

    name, part = "apgd-ce", "apgd"

    def prepare(self, part: Any) -> None:
        """Its loss is set before every run."""
        part.loss = "ce"
        _checkpoints(part)


class ReferenceApgdT(Reference):
    """APGD-T of the authors' program."""

    name, part = "apgd-t", "apgd_targeted"

    def prepare(self, part: Any) -> None:
        """Below four classes its loss, which would index past the end, is replaced by the targeted margin."""
        _checkpoints(part)
        if self.num_classes < DLR_CLASSES:
            part.dlr_loss_targeted = lambda z, y: margin_targeted(z, y, part.y_target)


def _checkpoints(part: Any) -> None:
    part.n_iter_2, part.n_iter_min, part.size_decr = (max(int(share * part.n_iter), 1) for share in (0.22, 0.06, 0.03))


class ReferenceFabT(Reference):
    """FAB-T of the authors' program."""

    name, part = "fab-t", "fab"

    def prepare(self, part: Any) -> None:
        """Targeted, one run a target."""
        part.targeted, part.n_restarts = True, 1


class ReferenceSquare(Reference):
    """Square of the authors' program."""

    name, part, white_box = "square", "square", False


REFERENCE: tuple[type[Stage], ...] = (ReferenceApgdCE, ReferenceApgdT, ReferenceFabT, ReferenceSquare)


class Chain(Attack):
    """APGD-CE, APGD-T, FAB-T and Square, each on the images of the whole set that still stand."""

    only_correct = True
    rescaled: ClassVar[bool] = False
    small = {"queries": 20, "steps": 3}

    @dataclass(frozen=True)
    class Params:
        """Radius at 8/255, length, and whose random numbers; `seed` is used in the reference modes only."""

        eps: float = setting(8 / 255, above=0.0, high=1.0, help="radius on the [0,1] scale")
        steps: int = setting(100, low=1, help="iterations of APGD and FAB")
        queries: int = setting(5000, low=1, help="queries of Square")
        engine: str = setting("lean", choices=("lean", "reference"), help="ours, or the authors' program")
        order: str = setting(
            "image", choices=("image", "reference"), help="random numbers of the image, or in the authors' order"
        )
        seed: int = setting(0, low=0, help="seed of the reference modes")

    def __init__(self, params: Any, threat: ThreatModel, num_classes: int) -> None:
        super().__init__(params, threat, num_classes)
        self.engine = f"pyautoattack {version('pyautoattack')}" if params.engine == "reference" else "bench"

    def targets(self) -> int:
        """Classes attacked one by one."""
        return min(9, self.num_classes - 1)

    def settings(self) -> Settings:
        """What the stages are told."""
        p = self.params
        return Settings(p.eps, p.steps, p.queries, self.targets(), self.rescaled, p.order, p.seed)

    def stages(self) -> Sequence[Attack]:
        """The four parts."""
        parts = REFERENCE if self.params.engine == "reference" else LEAN
        return [part(self.settings(), self.threat, self.num_classes) for part in parts]

    def passes(self) -> tuple[float, float]:
        """Forward and backward passes of an image that resists everything."""
        p, targets = self.params, self.targets()
        gradients = (p.steps + 1.0) * (1 + targets) + p.steps * targets
        return gradients + p.steps * targets + p.queries + 6.0, gradients

    def costs(self) -> tuple[float, float, float, float]:
        """Of the four parts."""
        p, targets = self.params, self.targets()
        once = 2 * (p.steps + 1.0) + 1
        return once, once * targets, 3.0 * p.steps * targets, float(p.queries)

    def notes(self) -> tuple[str, ...]:
        """Targets, replaced losses, shortened chains and batch-dependent modes."""
        p, notes = self.params, []
        if self.targets() != 9:
            notes.append(f"{self.targets()} target class{'es' if self.targets() > 1 else ''} instead of 9")
        if self.num_classes < DLR_CLASSES:
            notes.append(f"targeted DLR, undefined for {self.num_classes} classes, replaced by the targeted margin")
        if (p.steps, p.queries) != (100, 5000):
            notes.append(f"{p.steps} iterations and {p.queries} queries instead of 100 and 5000")
        if p.order == "reference" or p.engine == "reference":
            notes.append(f"random numbers in the authors' order (seed {p.seed}): verdicts depend on the batch size")
        return tuple(notes)
