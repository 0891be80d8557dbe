"""REAT: Li et al., Alleviating the Effect of Data Imbalance on Adversarial Training, 2023 (arXiv 2307.10205).

    L = BSL + TAIL,     BSL = CE(z(x') + log n, y)

TAIL looks at the softmaxes q_i of the features of tail images (class index >= 2 floor(C/3) + 1), held constant, against
those of all images of the batch:

    k_i = (1 / (N D)) sum_j sum_d q_id (log q_id - log softmax(f_j)_d)
    TAIL = mean over tail images i of (k_i / N) sum_j s_ij (w_{y_i} + w_{y_j}),   w_c = sqrt(sum n / n_c)

with s_ij = -1 if y_i = y_j, else 1. The attack ascends cross-entropy weighted by the effective numbers of last epoch's
adversarial predictions a_c (n_c in the first epoch). A positive weight does not change the sign of an image's own
gradient, so this attack makes the same examples as plain cross-entropy; only its start differs from other methods'.

`paper`: the common recipe. `official`: 80 epochs, drops at 60 and 75.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

from bench.api import Context, Method, register, setting

from ._terms import log_counts


@register("methods")
class Reat(Method["Reat.Hparams"]):
    """Re-balancing adversarial training."""

    name = "reat"
    paper = "Li et al., arXiv 2307.10205, 2023"
    formula = "L = CE(z(x') + log n, y) + TAIL(features of x'),  x' = PGD on class-weighted CE from x + U(-eps, eps)"
    licence = "MIT"
    differences = (
        "The class-weighted attack makes exactly the examples of plain cross-entropy (positive weights, sign steps).",
        "The reduction of the KL in TAIL is a deprecated form that averages over all N D entries; kept.",
        "The authors make one more clean forward in eval mode before each step, for logging only; left out.",
        "The script trains 80 epochs with drops at 60 and 75.",
    )
    cost = "11F+11B (12F+11B with the authors' logging)"
    official = {"epochs": 80, "milestones": (60, 75), "factors": (0.1, 0.01)}
    needs = frozenset({"class_counts", "features"})

    @dataclass(frozen=True)
    class Hparams:
        """Where the tail begins."""

        tail_start: int | None = setting(None, low=0, help="first tail class; none: 2 floor(C/3) + 1")

    def setup(self, model: nn.Module, context: Context) -> None:
        """The counters of adversarial predictions: of the last epoch (at first n_c) and of the current one."""
        self.previous = context.class_counts.clone()
        self.current = torch.zeros_like(self.previous)

    def class_weights(self, context: Context, dtype: torch.dtype) -> Tensor:
        """Weights (length C, sum C) inversely proportional to the effective numbers of predictions.

        In float32 as the authors have it, where 1 - base keeps only three or four digits for a class of thousands.
        """
        counts = context.class_counts.double()
        base = ((counts - 1) / counts).float()
        effective = (1 - base**self.previous) / (1 - base)
        weights = 1 / (effective + 1e-5)
        return (weights * (len(weights) / weights.sum())).to(dtype)

    def rebalanced(self, adv: Tensor, y: Tensor, context: Context) -> Tensor:
        """The attack's loss: class-weighted cross-entropy of logits `adv`, divided by the sum of the weights."""
        return cross_entropy(adv, y, weight=self.class_weights(context, adv.dtype))

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> Tensor:
        """PGD on the class-weighted cross-entropy."""
        weights = self.class_weights(context, x.dtype)

        def objective(logits: Tensor) -> Tensor:
            return cross_entropy(logits, y, weight=weights.to(logits.dtype), reduction="sum")

        return context.pgd(model, x, objective, start="uniform")

    def tail(self, features: Tensor, y: Tensor, context: Context) -> Tensor:
        """The TAIL term of a batch's features (N x D)."""
        classes, start = context.num_classes, self.hp.tail_start
        first = 2 * (classes // 3) + 1 if start is None else start
        log_p = log_softmax(features, 1)
        log_q = log_p.detach()
        distance = (log_q.exp() * (log_q - log_p.mean(0))).mean(1)
        counts = context.class_counts.to(distance.dtype)
        weight = (counts.sum() / counts).sqrt()[y]
        sign = 1 - 2 * (y[:, None] == y[None, :]).to(distance.dtype)
        factor = (sign * (weight[:, None] + weight[None, :])).mean(1)
        is_tail = (y >= first).to(distance.dtype)
        return (is_tail * factor * distance).sum() / is_tail.sum().clamp(min=1.0)

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Balanced softmax plus TAIL; counts the adversarial predictions."""
        features, logits = context.classify(model, x_adv)
        predicted = logits.detach().argmax(1)
        self.current = self.current.index_add(0, predicted, torch.ones_like(predicted))
        bsl = context.cross_entropy(logits + log_counts(context, logits), y)
        tail = self.tail(features, y, context)
        return bsl + tail, {"bsl": bsl.detach(), "tail": tail.detach()}

    def on_epoch_end(self, context: Context) -> None:
        """The counts of this epoch weigh the next one's attack."""
        self.previous, self.current = self.current, torch.zeros_like(self.current)

    def state(self) -> dict[str, Any]:
        """Both counters."""
        return {"previous": self.previous, "current": self.current}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put both counters back, on the device of the training counts."""
        self.previous = state["previous"].to(self.previous)
        self.current = state["current"].to(self.current)
