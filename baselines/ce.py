"""Plain training: cross-entropy on clean images.

L = CE(z(x), y), the mean over the batch, network in train mode; no attack. Both recipes are the same.
"""

from __future__ import annotations

from torch import Tensor, nn

from bench.api import Context, Method, Phase, Recipe, register


@register("methods")
class CrossEntropy(Method):
    """The undefended reference."""

    name = "ce"
    paper = "no defence; the reference of every table"
    formula = "L = CE(z(x), y)"
    licence = "not applicable"
    cost = "1F+1B"

    def phase(self, context: Context) -> Phase:
        """Natural in every epoch."""
        return "natural"

    def passes(self, recipe: Recipe) -> tuple[float, float]:
        """One forward and one backward pass a step."""
        return 1.0, 1.0

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean cross-entropy of the clean batch."""
        return context.cross_entropy(model(x), y), {}

    def shared_prefix(self, recipe: Recipe) -> int:
        """All of it is plain training."""
        return recipe.epochs
