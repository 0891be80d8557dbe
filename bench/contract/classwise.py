"""Radii by class that follow from how an epoch went: CFA's rule and DAFA's, each for a method and an enhancer alike.

Part of the contract of `bench.api`. A rule is made once with the number of classes, sees the logits of x' of every
batch, is told when an epoch ends, and gives the factors of the radius; what it remembers is its `state`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from bench.contract.method import Context

if TYPE_CHECKING:
    from torch import Tensor


class ClassRadii:
    """A rule for eps_c / eps. `remembered`: names of its tensors, which are its state."""

    remembered: ClassVar[tuple[str, ...]]

    def factors(self, context: Context) -> Tensor | None:
        """eps_c / eps of the current epoch (length C); None while every class has the same radius."""
        raise NotImplementedError("abstract")

    def see(self, logits: Tensor, y: Tensor, context: Context) -> None:
        """Take in the logits (N x C) of adversarial images and their labels (N)."""
        raise NotImplementedError("abstract")

    def end_epoch(self, context: Context) -> None:
        """Called after the last batch of an epoch."""
        raise NotImplementedError("abstract")

    def of(self, y: Tensor, context: Context, like: Tensor) -> Tensor | float:
        """Factors of images with labels y (N x 1 x 1 x 1, in the type of `like`), or 1 for all."""
        factors = self.factors(context)
        return 1.0 if factors is None else factors.to(like.dtype)[y].view(-1, 1, 1, 1)

    def state(self) -> dict[str, Any]:
        """What it remembers, by name."""
        return {name: getattr(self, name) for name in self.remembered}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Put back what `state` gave."""
        for name in self.remembered:
            setattr(self, name, state[name].to(getattr(self, name)))


class CalibratedRadii(ClassRadii):
    """CFA (Wei et al., CVPR 2023): eps_c = (lam + r_c) eps from epoch `begin` of the full-length recipe, from 0.

    r_c (`robust`) is correct / seen of the class among the x' of the epoch before; a class without images keeps its
    value. The authors divide by the batch as if classes were equally frequent, which long-tailed data is not.
    """

    remembered = ("right", "seen", "robust")

    def __init__(self, lam: float, begin: int, context: Context) -> None:
        import torch

        self.lam, self.begin = lam, begin
        self.right, self.seen, self.robust = (torch.zeros(context.num_classes, device=context.device) for _ in range(3))

    def begun(self, context: Context) -> bool:
        """Whether class-wise values are in use."""
        return context.epoch >= max(context.recipe.epoch_at(self.begin), 1)

    def factors(self, context: Context) -> Tensor | None:
        """Lam + r_c."""
        return self.robust + self.lam if self.begun(context) else None

    def see(self, logits: Tensor, y: Tensor, context: Context) -> None:
        """Count robust predictions by class."""
        correct = (logits.argmax(1) == y).to(self.right.dtype)
        self.right = self.right.index_add(0, y, correct)
        self.seen = self.seen.index_add(0, y, correct.new_ones(len(y)))

    def end_epoch(self, context: Context) -> None:
        """The accuracy of this epoch is the next one's measure."""
        self.robust = (self.right / self.seen.clamp(min=1.0)).where(self.seen > 0, self.robust)
        self.right, self.seen = self.right.new_zeros(len(self.right)), self.seen.new_zeros(len(self.seen))


class ConfusionRadii(ClassRadii):
    """DAFA (Lee et al., ICLR 2024): eps_c = W_c eps from the end of epoch `warm_up` of 110 on, from 1.

    With S_ij the mean probability of class j over the x' of class i in that epoch, every pair i != j adds

        W_i += lam S_ij S_jj   if S_ii < S_jj,      W_i -= lam S_ji S_ii   otherwise

    W_c is 1 before, is kept at or above 0, and pairs with a class that had no image add nothing.
    """

    remembered = ("weights", "sums", "seen")

    def __init__(self, lam: float, warm_up: int, context: Context) -> None:
        import torch

        classes, device = context.num_classes, context.device
        self.lam, self.warm_up = lam, warm_up
        self.weights = torch.ones(classes, device=device)
        self.sums, self.seen = torch.zeros(classes, classes, device=device), torch.zeros(classes, device=device)

    def measuring(self, context: Context) -> bool:
        """Whether this is the last epoch of the warm-up."""
        fraction = self.warm_up / 110 * context.recipe.full_epochs
        return context.epoch == max(context.recipe.epoch_at(fraction) - 1, 0)

    def factors(self, context: Context) -> Tensor | None:
        """W."""
        return self.weights

    def see(self, logits: Tensor, y: Tensor, context: Context) -> None:
        """In the measuring epoch, sum the probabilities by class."""
        if self.measuring(context):
            self.sums = self.sums.index_add(0, y, logits.log_softmax(1).exp().to(self.sums.dtype))
            self.seen = self.seen.index_add(0, y, self.seen.new_ones(len(y)))

    def end_epoch(self, context: Context) -> None:
        """Set the weights, once."""
        if self.measuring(context):
            self.weights = self.weighed(self.sums / self.seen.clamp(min=1.0)[:, None], self.seen > 0)

    def weighed(self, similarity: Tensor, present: Tensor) -> Tensor:
        """W (C) from S (C x C) and which classes had images (C)."""
        own = similarity.diagonal()
        change = (similarity * own[None, :]).where(own[:, None] < own[None, :], -similarity.T * own[:, None])
        change = (change * (present[:, None] & present[None, :])).fill_diagonal_(0.0)
        weights: Tensor = 1 + self.lam * change.sum(1)
        return weights.clamp(min=0.0)
