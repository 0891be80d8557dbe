"""What a few images tell about a network before it is attacked: the facts behind the validity flags.

Every fact is one number, so it can be stored with the cell and judged later without the network (`bench.store.flags`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import cross_entropy, one_hot

from bench.engine.verdicts.oracle import NetworkOracle

#: images looked at, evenly spread over the set
IMAGES = 128
#: steps of the number format between the two largest logits that leave a softmax some shape
COARSE = 16
#: number formats of logits, the coarsest first
_FORMATS = (torch.bfloat16, torch.float16, torch.float32, torch.float64)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def spread(total: int, wanted: int = IMAGES) -> Tensor:
    """Up to `wanted` indices evenly spread over range(total)."""
    return torch.linspace(0, total - 1, min(wanted, total), dtype=torch.float64).round().long()


def examine(oracle: NetworkOracle, x: Tensor, y: Tensor) -> dict[str, float]:
    """Facts about the network on images x (N x channels x H x W in [0,1]) with labels y; the oracle is entered.

    zero_gradient_share     images at which the gradient of the cross-entropy is exactly zero
    probability_outputs     1 when all outputs are in [0,1] and sum to one
    random_difference       largest relative change of the logits between two forward passes
    batch_difference        largest relative change of the logits between an image alone and in its batch
    unsettled_norms         modules that stay in train mode, and batch norms without running statistics
    margin                  median distance between the two largest logits
    saturated_share         images whose softmax is exactly 0 and 1 in single precision (margin above 24 ln 2)
    cw_blocked_share        correct images at which cw-l2 (c = 10) stalls on a locally linear network
    astray_share            images whose margin grows by a step of 1/255 along the gradient that should shrink it
    inner_gradient          1 when a forward pass runs a backward one by itself
    coarse_share            images whose two largest logits are less than 16 steps of their number format apart
    """
    logits = oracle.plain(x)
    scale = logits.abs().amax().clamp_min(1e-12)
    again = oracle.plain(x)
    alone = torch.cat([oracle.plain(x[i : i + 1]) for i in range(min(len(x), 4))])
    gradient, _ = oracle.gradient(x, lambda z: cross_entropy(z, y, reduction="sum"))
    top = logits.topk(min(2, logits.shape[1]), 1).values
    gap = top[:, 0] - top[:, -1]
    probabilities = bool(
        (logits >= 0).all() and (logits <= 1 + 1e-5).all() and ((logits.sum(1) - 1).abs() < 1e-4).all()
    )
    facts = {
        "probe_images": float(len(x)),
        "zero_gradient_share": float(
            (~(gradient.flatten(1).abs().amax(1) > 0)).double().mean()
        ),  # NaN leads nowhere too
        "probability_outputs": float(probabilities),
        "random_difference": float((again - logits).abs().amax() / scale),
        "batch_difference": float((alone - logits[: len(alone)]).abs().amax() / scale),
        "unsettled_norms": float(sum(_unsettled(module) for module in oracle.network.modules())),
        "inner_gradient": float(_optimises(oracle, x[:4])),
        "margin": float(gap.median()),
        "saturated_share": float((gap > 16.6355).double().mean()),
    }
    return facts | {
        "cw_blocked_share": _blocked(oracle, x, y, logits),
        "astray_share": _astray(oracle, x, y, logits),
        "coarse_share": float((gap < COARSE * _step(logits)).double().mean()),
    }


def _unsettled(module: nn.Module) -> bool:
    return module.training or (isinstance(module, _NORMS) and module.running_mean is None)


def _optimises(oracle: NetworkOracle, x: Tensor) -> bool:
    """Whether something that was kept for a backward pass is taken back while the network answers.

    It answers without gradients here, so whoever takes it back has asked for gradients of its own.
    """
    taken: list[Tensor] = []

    def take(kept: Tensor) -> Tensor:
        taken.append(kept)
        return kept

    with saved_tensors_hooks(lambda tensor: tensor, take):
        oracle.plain(x)
    return bool(taken)


def _blocked(oracle: NetworkOracle, x: Tensor, y: Tensor, logits: Tensor, c: float = 10.0) -> float:
    """Share of correct images with m >= (c/2) |grad m|^2, where m = R - O is cw-l2's own margin (methods, CW).

    Both are zero where every logit is negative, as after a log-softmax: the attack then has nothing to follow.
    """
    right = logits.argmax(1) == y
    if not right.any():
        return 0.0
    x, y = x[right], y[right]
    true = one_hot(y, logits.shape[1]).to(logits.dtype)

    def margin(z: Tensor) -> Tensor:
        return (true * z).amax(1) - ((1 - true) * z).amax(1)

    gradient, z = oracle.gradient(x, margin)
    return float((margin(z) >= c / 2 * gradient.flatten(1).square().sum(1)).double().mean())


def _astray(oracle: NetworkOracle, x: Tensor, y: Tensor, logits: Tensor, step: float = 1 / 255) -> float:
    """Share of images whose margin grows when one small step follows the gradient that should make it smaller."""
    others = one_hot(y, oracle.num_classes).bool()

    def margin(z: Tensor) -> Tensor:
        return z.gather(1, y[:, None])[:, 0] - z.masked_fill(others, -torch.inf).amax(1)

    if oracle.num_classes < 2:
        return 0.0
    gradient, _ = oracle.gradient(x, margin)
    after = oracle.plain((x - step * gradient.sign()).clamp(0, 1))
    return float((margin(after) > margin(logits)).double().mean())


def _step(logits: Tensor) -> Tensor:
    """Distance between neighbouring numbers at each image's largest logit, in the coarsest format that holds them all.

    So half-precision logits are seen as such although they come in single precision.
    """
    fitting = (kind for kind in _FORMATS if torch.equal(logits.to(kind).to(logits.dtype), logits))
    kind = next(fitting, logits.dtype)
    largest = logits.abs().amax(1).clamp_min(torch.finfo(kind).tiny)
    return torch.exp2(torch.floor(torch.log2(largest))) * torch.finfo(kind).eps
