"""Label smoothing: adversarial training on smoothed labels (say here what yours does; `bench ls` prints it).

L = CE(f(x'), (1 - s) onehot(y) + s/C), where x' ascends the plain cross-entropy in the recipe's ball.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.api import Context, Method, register, setting


@register("methods")
class LabelSmoothing(Method["LabelSmoothing.Hparams"]):
    """Cross-entropy of the adversarial batch against labels that leave some weight to the other classes."""

    name = "label-smoothing"
    paper = "authors, venue, year"
    formula = "L = CE(f(x'), (1 - s) onehot(y) + s/C)"

    @dataclass(frozen=True)
    class Hparams:
        """Your settings, each with its range: `--methods "label-smoothing[smoothing=0.2]"`."""

        smoothing: float = setting(0.1, low=0.0, high=1.0, help="s: weight spread over all classes")

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One number to minimise, and detached numbers to log. `context` has class counts, epoch and noise."""
        logits = model(x_adv)
        loss = cross_entropy(logits, y, label_smoothing=self.hp.smoothing)
        return loss, {"smoothed_ce": loss.detach()}
