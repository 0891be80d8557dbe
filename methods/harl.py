"""HARL, TAET's adversarial stage alone: Wang et al., TAET, CVPR 2025 (arXiv 2503.01924), Eq. 6 to 10.

With L_c the mean cross-entropy of the adversarial images of class c in the batch (0 when there is none),

    L = alpha BCL + beta HDL + gamma RCEL
    BCL = mean_c L_c          HDL = mean_c (L_c - BCL)^2          RCEL = sum_c (L_c / sum_j L_j)^2

over all C classes, absent ones included, as the released code divides. The attack is PGD on plain cross-entropy from
x + 0.001 G. `paper`: 8/255, step 2/255. `official`: 0.031, step 0.003, so ten steps (0.030) do not quite reach the
boundary.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from bench.api import Context, Method, register, setting

from ._hierarchical import hierarchical_loss


@register("methods")
class Hierarchical(Method["Hierarchical.Hparams"]):
    """Single-stage hierarchical adversarial robust learning."""

    name = "harl"
    paper = "Wang et al., CVPR 2025 (TAET), second stage alone"
    formula = "L = alpha BCL + beta HDL + gamma RCEL on the class losses L_c of x' = PGD on CE from x + 0.001 G"
    licence = "none stated"
    differences = (
        "Radius and step: 8/255 and 2/255 in the paper, 0.031 and 0.003 in the code.",
        "Eq. 6 does not say whether absent classes count; the code divides by all C classes.",
        "Section 4.1 can be read as attacking the hierarchical loss; Algorithm 1 and the code attack cross-entropy.",
    )
    official = {"eps": 0.031, "step": 0.003}

    @dataclass(frozen=True)
    class Hparams:
        """Weights of the three parts."""

        alpha: float = setting(0.1, low=0.0, help="weight of BCL, the balanced class loss")
        beta: float = setting(0.1, low=0.0, help="weight of HDL, the spread of the class losses")
        gamma: float = setting(0.1, low=0.0, help="weight of RCEL, the concentration of the class losses")

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The hierarchical loss of the adversarial batch."""
        weights = self.hp.alpha, self.hp.beta, self.hp.gamma
        losses = context.cross_entropy(model(x_adv), y, "none")
        total, parts, context.extras["class_losses"] = hierarchical_loss(losses, y, context.num_classes, *weights)
        return total, parts
