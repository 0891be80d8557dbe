"""Label smoothing of the cross-entropies of a method's loss (not of its attack).

    over=all      target (1 - s) + s/C for the label, s/C elsewhere (Gowal et al., torch)
    over=others   target 1 - s for the label, s/(C - 1) elsewhere (Pang et al., Bag of Tricks for AT)

`all` with s is `others` with s (C - 1)/C. Gowal uses 0.1; Pang calls about 0.2 useful and more than 0.3 harmful.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import log_softmax

from bench.api import Context, Enhancer, UsageError, register, setting


@register("enhancers")
class Smoothing(Enhancer["Smoothing.Hparams"]):
    """Soft labels."""

    name = "smoothing"
    paper = "Szegedy et al., CVPR 2016; in adversarial training Pang et al., ICLR 2021"
    formula = "CE(z, (1-s) onehot(y) + s/C)   or   CE(z, (1-s) onehot(y) + s/(C-1) elsewhere)"
    claims = frozenset({"targets"})
    off = {"s": 0.0}

    @dataclass(frozen=True)
    class Hparams:
        """How soft."""

        s: float = setting(0.1, low=0.0, high=1.0, help="what the label gives away; 0: nothing")
        over: Literal["all", "others"] = setting("all", help="who shares it: all classes, or all but the label's")

    asked = False

    def setup(self, model: nn.Module, context: Context) -> None:
        """Take over the cross-entropy of labels."""
        if self.hp.s > 0:
            context.targets = self.softened

    def softened(self, z: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy of logits z (N x C) with softened labels y: N values."""
        self.asked = True
        cost = -log_softmax(z, 1)
        label, total, s = cost.gather(1, y[:, None]).squeeze(1), cost.sum(1), self.hp.s
        if self.hp.over == "all":
            return (1 - s) * label + s / z.shape[1] * total
        return (1 - s) * label + s / (z.shape[1] - 1) * (total - label)

    def after_loss(self, model: nn.Module, x: Tensor, x_adv: Tensor, logits: Tensor | None, context: Context) -> None:
        """Refuse a method whose loss has no cross-entropy of labels. Raises UsageError."""
        if self.hp.s > 0 and not self.asked:
            raise UsageError(
                "smoothing: the loss of this method asks for no cross-entropy of labels (Context.cross_entropy), so "
                "there is nothing to smooth; leave +smoothing out."
            )
