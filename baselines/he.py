"""HE, hypersphere embedding: Pang et al., Boosting Adversarial Training with Hypersphere Embedding, NeurIPS 2020.

The head computes cosines z_k = cos(f, W_k): features are normalised inside the graph, the rows of W are projected to
the sphere in place before every forward pass, outside it. The loss (their Eq. 9 with PGD-AT) is

    HE(z; s, m) = CE(s (z - m onehot(y)), y)        L = HE(z(x'); s, m),   x' = PGD on HE(z; s, 0) from x + 0.001 G

At inference the head multiplies its cosines by s: predictions are the same, but attacks that look at logit scale then
see what was trained. The authors evaluate plain cosines; which form the paper evaluated is not determined.

`paper`: s 10, m 0.2 (the authors' command for PGD + HE). `official`: also 0.031, 0.007, 77 epochs, weight decay 5e-4.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, normalize

from bench.api import Context, Method, register, setting

from ._terms import onehot


class SphereHead(nn.Module):
    """Cosines between features (N x D) and the rows of `weight` (C x D), times `scale` when deployed."""

    def __init__(self, features: int, classes: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.kaiming_uniform_(torch.empty(classes, features), a=5**0.5))
        self.scale, self.deployed = scale, False

    def forward(self, features: Tensor) -> Tensor:
        """Cosines; in training the rows are projected in place, when deployed only in a copy."""
        features = normalize(features, dim=1)
        if self.deployed:
            return linear(features, normalize(self.weight, dim=1)) * self.scale
        # through `.data`: the projection is no part of the graph, and repeating it does not spoil an earlier graph
        self.weight.data.copy_(normalize(self.weight.data, dim=1))
        return linear(features, self.weight)


@register("methods")
class HypersphereEmbedding(Method["HypersphereEmbedding.Hparams"]):
    """Adversarial training on the sphere with a margin."""

    name = "he"
    paper = "Pang et al., NeurIPS 2020"
    formula = "L = CE(s (cos(x') - m onehot(y)), y),  x' = PGD on CE(s cos, y) from x + 0.001 G"
    licence = "a licence file is in the authors' repository"
    differences = (
        "Script defaults are s 15, m 0.2; the README's command for PGD + HE is s 10, m 0.2, which is used here.",
        "The official network normalises images inside and is a WRN-34-10; evaluation there uses unscaled cosines.",
        "Here the deployed network multiplies the cosines by s (deploy_scaled=false for the authors' way).",
    )
    official = {
        "epochs": 77,
        "milestones": (74,),
        "factors": (0.1,),
        "eps": 0.031,
        "step": 0.007,
        "deploy_scaled": False,
    }

    @dataclass(frozen=True)
    class Hparams:
        """Scale and margin."""

        s: float = setting(10.0, above=0.0, help="scale of the cosines inside the loss")
        m: float = setting(0.2, low=0.0, help="margin taken from the cosine of the true class")
        deploy_scaled: bool = setting(True, help="multiply the cosines by s at inference")

    def build_head(self, features: int, classes: int) -> nn.Module:
        """The normalised head."""
        return SphereHead(features, classes, self.hp.s if self.hp.deploy_scaled else 1.0)

    def deploy(self, model: nn.Module, on: bool) -> None:
        """Scale the cosines at inference."""
        for module in model.modules():
            if isinstance(module, SphereHead):
                module.deployed = on

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> Tensor:
        """PGD on the scaled cross-entropy, without margin."""
        return context.pgd(model, x, lambda z: cross_entropy(self.hp.s * z, y, reduction="sum"), start=self.start)

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Scaled cross-entropy with margin."""
        cosines = model(x_adv)
        return cross_entropy(self.hp.s * (cosines - self.hp.m * onehot(y, cosines)), y), {}
