"""RoBal: Wu et al., Adversarial Robustness under Long-Tailed Distribution, CVPR 2021.

A cosine head z_k = <f/|f|, W_k/(|W_k| + gamma)>, a margin loss with class bias, and TRADES' regulariser:

    L = beta_adv CE(u(x'), y) + beta_nat CE(z(x), y) + beta_reg mean KL(p(x) || p(x'))
    u_k = s (z_k - 1[k = y] (m + (tau_m / s) log(n_y / n_min))) + tau_b log pi_k

p is the softmax of the unscaled cosines, and the attack ascends plain cross-entropy on them. At inference the head
gives deploy_scale z - tau_p log pi. Train-mode forwards in the order x', x, x, x'. The authors' configurations, N for
clean accuracy and R for robustness, those ending in 100 for CIFAR-100 (s 10, beta_adv 1, beta_nat 0 in all):

    variant    m  tau_b  tau_m  beta_reg  gamma  deploy_scale  tau_p
    N        0.1    1.2    0           6   1/32            10    0.1
    R        0.1    1.5    0.3         6   1/32             1    0
    N-100    0.2    0      0           3   1/32            10    1.5
    R-100    0.3    0      0           6   1/16            10    1.7

`paper`: 8/255, 2/255, 10 steps and the common schedule, start x + eps U(0,1) as in the code. `official`: 5 steps of
0.0078 in 0.031, 80 epochs, batch 64, weight decay 2e-4, and the compounding learning rate of the released script.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, log_softmax, normalize

from bench.api import Context, Recipe, register, setting

from ._robal import OneSided
from ._terms import kl_rows, log_counts, log_plus, onehot

#: the authors' four configurations; scale 1 and tau_p 0 at inference mean the training head as it is
NAMES = ("m", "tau_b", "tau_m", "beta_reg", "gamma", "deploy_scale", "tau_p")
VARIANTS = {
    "N": dict(zip(NAMES, (0.1, 1.2, 0.0, 6.0, 1 / 32, 10.0, 0.1), strict=True)),
    "R": dict(zip(NAMES, (0.1, 1.5, 0.3, 6.0, 1 / 32, 1.0, 0.0), strict=True)),
    "N-100": dict(zip(NAMES, (0.2, 0.0, 0.0, 3.0, 1 / 32, 10.0, 1.5), strict=True)),
    "R-100": dict(zip(NAMES, (0.3, 0.0, 0.0, 6.0, 1 / 16, 10.0, 1.7), strict=True)),
}


class CosineHead(nn.Module):
    """Cosines with a shrunk weight norm; at inference scaled and shifted by the class prior."""

    log_prior: Tensor

    def __init__(self, features: int, classes: int, gamma: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.uniform_(torch.empty(classes, features), -(features**-0.5), features**-0.5))
        self.register_buffer("log_prior", torch.zeros(classes))
        self.gamma, self.scale, self.tau = gamma, 1.0, 0.0

    def forward(self, features: Tensor) -> Tensor:
        """Scale cos - tau log pi of features (N x D)."""
        weight = self.weight / (self.weight.norm(dim=1, keepdim=True) + self.gamma)
        cosines = linear(normalize(features, dim=1), weight)
        return self.scale * cosines - self.tau * self.log_prior if self.tau else self.scale * cosines


@register("methods")
class RoBal(OneSided["RoBal.Hparams"]):
    """Cosine classifier, class-aware margin, logit adjustment at inference."""

    name = "robal"
    paper = "Wu et al., CVPR 2021"
    formula = "L = beta_adv CE(u(x'), y) + beta_nat CE(z(x), y) + beta_reg mean KL(p(x) || p(x')),  z cosines"
    licence = "none stated"
    differences = (
        "The start of the attack is one-sided, x + eps U(0,1), and not clamped (kept under both recipes).",
        "In the script the learning-rate factor multiplies the current rate in every epoch after a drop, so training "
        "is frozen from about epoch 62 (official only).",
        "The script attacks with 5 steps of 0.0078 in 0.031 and trains 80 epochs with batch 64 on a WRN-34-10.",
        "The authors evaluate R with the training head, logits in [-1, 1], and N scaled and adjusted.",
        "The running mean of features that the authors' head records is never used and left out.",
    )
    cost = "14F+13B (9F+8B at the authors' 5 steps); one backward more with beta_nat > 0"
    small = ({}, {"variant": "R"})

    @dataclass(frozen=True)
    class Hparams:
        """`none` takes the value of the variant."""

        variant: str = setting("N", choices=tuple(VARIANTS), help="configuration of the authors")
        s: float = setting(10.0, above=0.0, help="scale inside the margin loss")
        m: float | None = setting(None, low=0.0, help="margin of every class")
        tau_b: float | None = setting(None, help="weight of the class bias log pi")
        tau_m: float | None = setting(None, help="weight of the class-aware margin")
        beta_adv: float = setting(1.0, low=0.0, help="weight of the margin loss")
        beta_nat: float = setting(0.0, low=0.0, help="weight of the clean cross-entropy")
        beta_reg: float | None = setting(None, low=0.0, help="weight of the KL term")
        gamma: float | None = setting(None, low=0.0, help="added to the norm of a weight row")
        deploy_scale: float | None = setting(None, above=0.0, help="scale of the cosines at inference")
        tau_p: float | None = setting(None, help="weight of the prior at inference")

    def value(self, name: str) -> float:
        """A setting, or the variant's value where none is given."""
        own = getattr(self.hp, name)
        return float(VARIANTS[self.hp.variant][name] if own is None else own)

    def build_head(self, features: int, classes: int) -> nn.Module:
        """The cosine head."""
        return CosineHead(features, classes, self.value("gamma"))

    def setup(self, model: nn.Module, context: Context) -> None:
        """Store the class prior in the head, so that a checkpoint carries it."""
        prior = context.class_counts / context.class_counts.sum()
        for module in model.modules():
            if isinstance(module, CosineHead):
                module.log_prior.copy_(prior.log())

    def deploy(self, model: nn.Module, on: bool) -> None:
        """Scale and adjust the logits at inference; plain cosines in training."""
        for module in model.modules():
            if isinstance(module, CosineHead):
                module.scale = self.value("deploy_scale") if on else 1.0
                module.tau = self.value("tau_p") if on else 0.0

    def passes(self, recipe: Recipe) -> tuple[float, float]:
        """Four outer forwards; one has no gradient when beta_nat is 0."""
        return recipe.steps + 4.0, recipe.steps + 3.0 + (self.hp.beta_nat > 0)

    def margin_loss(self, adv: Tensor, y: Tensor, context: Context) -> Tensor:
        """Mean cross-entropy of u, from the cosines `adv` (N x C)."""
        log_n = log_counts(context, adv)
        margin = self.value("m") + self.value("tau_m") / self.hp.s * (log_n - log_n.min())[y]
        scaled = self.hp.s * (adv - margin[:, None] * onehot(y, adv))
        return cross_entropy(scaled + self.value("tau_b") * (log_n - log_n.logsumexp(0)), y)

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Margin loss, clean cross-entropy and regulariser."""
        margin = self.margin_loss(model(x_adv), y, context)
        with torch.set_grad_enabled(self.hp.beta_nat > 0):
            natural = cross_entropy(model(x), y)
        clean = log_softmax(model(x), 1)
        kl = kl_rows(clean, log_plus(log_softmax(model(x_adv), 1), 1e-12)).mean()
        total = self.hp.beta_adv * margin + self.hp.beta_nat * natural + self.value("beta_reg") * kl
        return total, {"margin_loss": margin.detach(), "natural_ce": natural.detach(), "kl_mean": kl.detach()}
