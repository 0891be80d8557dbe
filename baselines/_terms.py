"""Small terms that several losses share, in log space."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bench.api import Context


def log_counts(context: Context, logits: Tensor) -> Tensor:
    """Log n_c (length C) in the type of the logits, at least float32."""
    return context.class_counts.to(torch.promote_types(logits.dtype, torch.float32)).log()


def kl_rows(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) of each row of two N x C matrices of log-probabilities; the gradient flows through both sides."""
    return (log_p.exp() * (log_p - log_q)).sum(1)


def log_plus(log_p: Tensor, amount: float) -> Tensor:
    """log(p + amount) from log p, without leaving log space."""
    return torch.logaddexp(log_p, torch.full_like(log_p, math.log(amount)))


def onehot(y: Tensor, like: Tensor) -> Tensor:
    """Indicator of the labels in the shape and type of the logits `like` (N x C)."""
    return torch.zeros_like(like).scatter(1, y[:, None], 1.0)
