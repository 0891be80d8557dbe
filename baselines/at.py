"""Adversarial training (PGD-AT): Madry et al., Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018.

min over the network of max over the ball of CE(z(x'), y) (their Eq. 2.1). The inner maximum is PGD from
clip(x + U(-eps, eps), [0,1]); the outer loss is the mean cross-entropy on x'.

`paper`: the network is in eval mode during the attack, as in nearly every PyTorch version. `official`: train mode, as
the authors' TensorFlow graph runs it: every attack forward uses batch statistics and moves the running averages.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.api import Context, Method, Mode, Start, register, setting


@register("methods")
class AdversarialTraining(Method["AdversarialTraining.Hparams"]):
    """The unit in which costs are stated: K + 1 forward and backward passes."""

    name = "at"
    paper = "Madry et al., ICLR 2018"
    formula = "L = CE(z(x'), y),  x' = PGD on CE from clip(x + U(-eps, eps), [0,1])"
    licence = "not determined"
    differences = (
        "The official code is TensorFlow on CIFAR-10 with a wide ResNet and per-image standardisation: 80 000 steps, "
        "drops at 40 000 and 60 000, stated here as 205 epochs with drops at 102 and 153 (50 000 images, batch 128).",
        "The official weight decay is on weight matrices alone; here on every parameter, as in the common recipe.",
        "The official attack runs in train mode (attack_mode=train); the harness attacks in eval mode under `paper`.",
        "The paper's row cannot have been run with that code; which implementation was used is not determined.",
    )
    official = {
        "epochs": 205,
        "milestones": (102, 153),
        "factors": (0.1, 0.01),
        "weight_decay": 2e-4,
        "attack_mode": "train",
    }
    small = ({}, {"attack_mode": "train"})

    @dataclass(frozen=True)
    class Hparams:
        """Of the inner attack."""

        attack_mode: Mode = setting("eval", help="network's mode during the attack")
        start: Start = setting("uniform-clamped", help="first iterate")

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> Tensor:
        """PGD on cross-entropy."""
        return context.pgd(
            model, x, lambda z: cross_entropy(z, y, reduction="sum"), start=self.hp.start, mode=self.hp.attack_mode
        )

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean cross-entropy of the adversarial batch."""
        return context.cross_entropy(model(x_adv), y), {}
