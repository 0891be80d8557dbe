"""GAIRAT: Zhang et al., Geometry-aware Instance-reweighted Adversarial Training, ICLR 2021.

During the attack kappa_i counts the steps before which image i is still classified correctly (0..K): how far it is
from the boundary. Images near it weigh more (their Eq. 6 and 7):

    omega_i = (1 + tanh(lambda + 5 (1 - 2 kappa_i / K))) / 2        w_i = N omega_i / sum_j omega_j
    L = mean_i w_i CE_i(x'_i)

with K/2 rounded down. Before epoch `begin` (counted from 1) the weights are 1. lambda = 100 gives adversarial training.

`paper`: 8/255, 2/255, 100 epochs. `official`: 0.031, 0.007, 120 epochs, weight decay 2e-4, drops at 60, 90 and 110.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid

from bench.api import Context, Method, UsageError, register, setting


@register("methods")
class Gairat(Method["Gairat.Hparams"]):
    """Adversarial training with weights from the attack's progress."""

    name = "gairat"
    paper = "Zhang et al., ICLR 2021"
    formula = "L = mean w_i CE_i(x'),  w_i ~ (1 + tanh(lambda + 5 (h - kappa_i) / h)) / 2,  h = floor(K/2)"
    licence = "none stated"
    differences = (
        "The script trains 120 epochs with radius 0.031, step 0.007, weight decay 2e-4.",
        "kappa counts all correct checks, not only those before the first failure.",
        "The 'piecewise' schedule of lambda in the code never reaches its later values; 'fixed' is used here.",
        "The official attack also forms parameter gradients, which only costs time.",
    )
    official = {
        "epochs": 120,
        "milestones": (59, 89, 109),
        "factors": (0.1, 0.01, 0.005),
        "weight_decay": 2e-4,
        "eps": 0.031,
        "step": 0.007,
    }
    small = ({"begin": 1}, {"func": "discrete", "begin": 1})

    @dataclass(frozen=True)
    class Hparams:
        """The weight function."""

        lam: float = setting(
            -1.0, low=-100.0, high=100.0, help="lambda, the offset in the weights; 100 gives equal ones"
        )
        func: str = setting("tanh", choices=("tanh", "sigmoid", "discrete"), help="the weight function")
        begin: int = setting(60, low=1, help="first epoch with weights, counted from 1 in the full-length recipe")

    def setup(self, model: nn.Module, context: Context) -> None:
        """Refuse an attack too short for the weight function."""
        if context.recipe.steps < 2 and self.hp.func != "discrete":
            raise UsageError(
                f"gairat: steps={context.recipe.steps} is too short for func={self.hp.func}; use 2 or more."
            )

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> Tensor:
        """PGD on cross-entropy that counts, before each step, whether the image is still classified correctly."""
        kappa = torch.zeros_like(y)

        def observe(logits: Tensor) -> None:
            kappa.add_(logits.argmax(1) == y)

        x_adv = context.pgd(
            model, x, lambda z: cross_entropy(z, y, reduction="sum"), start="uniform-clamped", observe=observe
        )
        context.extras["kappa"] = kappa
        return x_adv

    def weights(self, kappa: Tensor, context: Context) -> Tensor:
        """Weights (N, mean 1) of images with counts `kappa` (N)."""
        steps, half = context.recipe.steps, context.recipe.steps // 2
        counts = kappa if kappa.is_floating_point() else kappa.float()
        depth = self.hp.lam + 5 * (half - counts) / half if half else counts
        # log omega, because omega itself may vanish for a whole batch: (1 + tanh u) / 2 = sigmoid(2 u)
        functions = {
            "tanh": lambda: logsigmoid(2 * depth),
            "sigmoid": lambda: logsigmoid(depth),
            "discrete": lambda: torch.log((steps + 1 - counts) / (steps + 1)),
        }
        return functions[self.hp.func]().softmax(0) * len(counts)

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted mean cross-entropy; the weights are constants."""
        each = cross_entropy(model(x_adv), y, reduction="none")
        if context.epoch < context.recipe.epoch_at(self.hp.begin - 1):
            return each.mean(), {}
        weights = self.weights(context.extras["kappa"].to(each.dtype), context)
        context.extras["weights"] = weights
        return (weights * each).mean(), {"largest_weight": weights.max()}
