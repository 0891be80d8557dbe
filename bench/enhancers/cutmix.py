"""CutMix: Yun et al., ICCV 2019; in adversarial training with averaged weights Rebuffi et al., NeurIPS 2021.

With probability p a batch is mixed: a box of an image is replaced by the same box of another image of the batch. The
share l of the image that stays is U(0,1) before the box is cut at the border (Beta(1, 1), the paper's), and
cross-entropies of the loss become l CE(z, y) + (1 - l) CE(z, y') with the exact share of pixels.

The label that attack, class counts and samplers see is that of the larger part, so a method's attack stays its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.api import Context, Enhancer, UsageError, register, setting


@register("enhancers")
class CutMix(Enhancer["CutMix.Hparams"]):
    """Boxes of other images, labels in proportion."""

    name = "cutmix"
    paper = "Yun et al., ICCV 2019"
    formula = "x <- box of another image in x;  CE <- l CE(z, y) + (1-l) CE(z, y'),  l the share of pixels that stay"
    licence = "MIT"
    differences = (
        "Rebuffi et al. attack the mixed label; here the attack keeps the label of the larger part, as any method's "
        "attack takes one label an image.",
    )
    claims = frozenset({"mixing", "targets"})
    off = {"p": 0.0}

    @dataclass(frozen=True)
    class Hparams:
        """How often."""

        p: float = setting(1.0, low=0.0, high=1.0, help="probability that a batch is mixed; 0: off")

    other: Tensor | None = None
    stays = 1.0
    asked = False

    def mix(self, x: Tensor, y: Tensor, context: Context, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """One box for the batch, filled from a permutation of it."""
        context.targets, self.other = None, None
        if float(torch.rand((), generator=generator)) >= self.hp.p:
            return x, y
        order = torch.randperm(len(y), generator=generator).to(y.device)
        cut, *centre = torch.rand(3, generator=generator).tolist()
        box, area = [], 1.0
        for size, middle in zip(x.shape[-2:], centre, strict=True):
            half = int(sqrt(1 - cut) * size) // 2
            low, high = max(int(middle * size) - half, 0), min(int(middle * size) + half, size)
            box.append(slice(low, high))
            area *= (high - low) / size
        mixed = x.clone()
        mixed[..., box[0], box[1]] = x[order][..., box[0], box[1]]
        larger, smaller = (y, y[order]) if area <= 0.5 else (y[order], y)
        self.other, self.stays, self.asked = smaller, max(area, 1 - area), False
        context.targets = self.shared
        return mixed, larger

    def shared(self, z: Tensor, y: Tensor) -> Tensor:
        """Cross-entropies of logits z (N x C) with both labels: N values."""
        assert self.other is not None
        self.asked = True
        both = (cross_entropy(z, labels, reduction="none") for labels in (y, self.other))
        first, second = both
        return self.stays * first + (1 - self.stays) * second

    def after_loss(self, model: nn.Module, x: Tensor, x_adv: Tensor, logits: Tensor | None, context: Context) -> None:
        """Refuse a method whose loss has no cross-entropy of labels. Raises UsageError."""
        if self.other is not None and not self.asked:
            raise UsageError(
                "cutmix: the loss of this method asks for no cross-entropy of labels (Context.cross_entropy), so mixed "
                "labels would go unheard; leave +cutmix out."
            )
