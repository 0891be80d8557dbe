"""Losses that take each of the C classes as a yes-or-no question, as RoBal's re-weighting baselines do."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits, log_softmax, logsigmoid

from ._terms import onehot


def focal_terms(z: Tensor, y: Tensor, gamma: float) -> Tensor:
    """-(1 - t)^gamma log t with t = sigmoid(z) for the label and sigmoid(-z) elsewhere: N x C, all non-negative."""
    signed = z * (2 * onehot(y, z) - 1)
    return -logsigmoid(signed) * torch.exp(gamma * logsigmoid(-signed))


def focal_balanced(z: Tensor, y: Tensor, gamma: float, weights: Tensor) -> Tensor:
    """The focal terms summed over classes, an image's times the weight (C) of its class; mean over images."""
    return (weights[y][:, None] * focal_terms(z, y, gamma)).sum() / len(z)


def focal_softmax(z: Tensor, y: Tensor, gamma: float) -> Tensor:
    """Half the mean of (1 - p_y)^gamma CE: the softmax form of the code, with its factor."""
    log_p = log_softmax(z, 1).gather(1, y[:, None]).squeeze(1)
    return -0.5 * ((1 - log_p.exp()).clamp_min(0) ** gamma * log_p).mean()


def binary(z: Tensor, y: Tensor, weights: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of sigmoids, mean over all N C entries; `weights` (N) multiply an image's entries."""
    return binary_cross_entropy_with_logits(z, onehot(y, z), weight=None if weights is None else weights[:, None])


def binary_of_softmax(z: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Binary cross-entropy of softmax probabilities, mean over all N C entries, an image's times its weight."""
    return binary_cross_entropy(z.softmax(1), onehot(y, z), weight=weights[:, None])
