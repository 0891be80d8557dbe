"""CFOL: Pethick et al., Revisiting adversarial training for the worst-performing class, TMLR 2023.

Classes are sampled by an adversary that learns which are misclassified (Exp3). With w in R^C,

    q = softmax(w),   p = gamma b + (1 - gamma) q,   b uniform over classes, or the class shares
    class ~ p, then an image of it uniformly, with replacement; an epoch draws as many images as the set has
    after each step, with p of before the batch:  w_y += (eta 1[argmax z(x') != y] + offset) / p_y

where z(x') are the train-mode logits of the loss. w starts at 0 (`prior=uniform`), at the log of the class shares
(`empirical`), of b (`base`), or of given `shares`. With `reweight` classes are sampled from b, the gradient of an image
is weighted by C p_y, and the update divides by b_y; else by C b_y, which is 1 for a uniform b.

On long-tailed data the default begins as class-balanced re-sampling: compare it with `balanced-sampler`. eta 1e-5 is
the authors' for 40,000 images; the drift of w in an epoch is eta n err_c, so eta must grow as the set shrinks. Before
epoch `begin` images come in the method's own order and the adversary learns nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bench.api import Context, Enhancer, UsageError, register, setting


@register("enhancers")
class ClassFocused(Enhancer["ClassFocused.Hparams"]):
    """Sample the classes that are wrong."""

    name = "cfol"
    paper = "Pethick et al., TMLR 2023"
    formula = "class ~ gamma b + (1-gamma) softmax(w);  w_y += (eta 1[wrong] + offset) / p_y after each step"
    licence = "MIT"
    differences = (
        "eta is 1e-5 in the configuration, 5e-6 in the experiments, 1e-7 in the README; it must scale with 1/n.",
        "The authors' attack returns the iterate of highest mean loss of the batch; here the base's own is kept.",
    )
    claims = frozenset({"order"})
    off = {"begin": 10000}

    @dataclass(frozen=True)
    class Hparams:
        """The sampler."""

        gamma: float = setting(0.5, low=0.0, high=1.0, help="weight of the fixed distribution b")
        base: Literal["uniform", "empirical"] = setting("uniform", help="b: the same for all classes, or their shares")
        prior: Literal["uniform", "empirical", "base", "shares"] = setting("uniform", help="what w starts from")
        shares: tuple[float, ...] = setting((), above=0.0, help="for prior=shares, one number a class")
        reweight: bool = setting(False, help="sample from b and weight the gradient by C p instead")
        eta: float = setting(1e-5, low=0.0, help="rate of the adversary")
        offset: float = setting(0.0, help="added to every image's loss")
        begin: int = setting(
            0, low=0, later=True, help="first epoch (from 0) of the full-length recipe that is re-sampled"
        )

    w: Tensor | None = None
    images: list[Tensor] | None = None

    def setup(self, model: nn.Module, context: Context) -> None:
        """Start w. Raises UsageError where shares do not fit the classes."""
        shares = context.class_counts.double() / context.class_counts.sum()
        self.b = torch.full_like(shares, 1 / len(shares)) if self.hp.base == "uniform" else shares
        if self.hp.prior == "shares" and len(self.hp.shares) != len(shares):
            raise UsageError(
                f"cfol: shares has {len(self.hp.shares)} numbers for {len(shares)} classes; give one each."
            )
        starts = {"uniform": torch.ones_like(shares), "empirical": shares, "base": self.b}
        given = torch.tensor(self.hp.shares, dtype=shares.dtype, device=shares.device)
        self.w = starts.get(self.hp.prior, given).log()

    @property
    def q(self) -> Tensor:
        """The adversary's distribution (length C)."""
        assert self.w is not None
        return self.w.softmax(0)

    @property
    def mixed(self) -> Tensor:
        """The fixed distribution and the adversary's, gamma to 1 - gamma."""
        return self.hp.gamma * self.b + (1 - self.hp.gamma) * self.q

    @property
    def p(self) -> Tensor:
        """The distribution that classes are drawn from (length C)."""
        return self.b if self.hp.reweight else self.mixed

    def begun(self, context: Context) -> bool:
        """Whether classes are drawn in the current epoch."""
        return context.epoch >= context.recipe.epoch_at(self.hp.begin)

    def order(self, labels: Tensor, context: Context, generator: torch.Generator) -> Tensor | None:
        """Note which images each class has; the batches are drawn one by one."""
        if not self.begun(context):
            return None
        labels = labels.cpu()
        self.images = [(labels == c).nonzero().squeeze(1) for c in range(context.num_classes)]
        return None

    def draw(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """As many indices as the batch has: a class from p, then an image of it. Raises UsageError where p is lost."""
        if self.images is None:
            return batch
        p = self.p.cpu()
        if not bool(torch.isfinite(p).all()):
            raise UsageError(
                f"cfol: with eta {self.hp.eta:g} and gamma {self.hp.gamma:g} the adversary's weights became infinite; "
                "take a smaller eta, or a gamma above 0."
            )
        classes = torch.multinomial(p, len(batch), replacement=True, generator=generator)
        places = torch.rand(len(batch), generator=generator, dtype=torch.float64)
        picked = [
            self.images[c][int(place * len(self.images[c]))]
            for c, place in zip(classes.tolist(), places.tolist(), strict=True)
        ]
        return torch.stack(picked).to(batch)

    def image_weights(self, y: Tensor, context: Context) -> Tensor | None:
        """C p_y with `reweight`, else C b_y; None where that is 1 for all, and before the beginning."""
        if not self.begun(context) or (self.hp.base == "uniform" and not self.hp.reweight):
            return None
        return self.weights(y)

    def weights(self, y: Tensor) -> Tensor:
        """What an image of each label counts."""
        chosen = self.mixed if self.hp.reweight else self.b
        return len(chosen) * chosen[y]

    def after_loss(self, model: nn.Module, x: Tensor, x_adv: Tensor, logits: Tensor | None, context: Context) -> None:
        """Note which images are wrong."""
        if logits is not None and context.labels is not None and self.begun(context):
            self.update(context.labels, (logits.argmax(1) != context.labels).double())

    def update(self, y: Tensor, wrong: Tensor) -> None:
        """One move of w after a batch of labels y (N) and 0/1 losses (N)."""
        assert self.w is not None
        self.w = self.w.index_add(0, y, (self.hp.eta * wrong + self.hp.offset) / self.p[y])

    def state(self) -> dict[str, Any]:
        """The adversary's weights."""
        return {"w": self.w}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put them back."""
        self.w = state["w"].to(self.b)
