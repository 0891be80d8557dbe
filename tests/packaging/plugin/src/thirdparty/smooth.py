"""Adversarial training on smoothed labels, from outside the project."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.api import Context, Method, register, setting


@register("methods")
class LabelSmoothing(Method["LabelSmoothing.Hparams"]):
    """Cross-entropy of the adversarial batch against labels that leave some weight to the other classes."""

    name = "label-smoothing"
    formula = "L = CE_smooth(f(x'), y)"

    @dataclass(frozen=True)
    class Hparams:
        """How much weight the other classes get."""

        smoothing: float = setting(0.1, low=0.0, high=1.0, help="weight spread over all classes")

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The smoothed cross-entropy."""
        return cross_entropy(model(x_adv), y, label_smoothing=self.hp.smoothing), {}
