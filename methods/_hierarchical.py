"""The hierarchical loss that HARL and TAET share (TAET, Eq. 6 to 9)."""

from __future__ import annotations

import torch
from torch import Tensor


def class_means(values: Tensor, y: Tensor, classes: int) -> Tensor:
    """Mean of the values (N) of each class (length C); exactly 0 for a class absent from the batch."""
    zeros = torch.zeros(classes, dtype=values.dtype, device=values.device)
    return zeros.index_add(0, y, values) / (zeros.index_add(0, y, torch.ones_like(values)) + 1e-10)


def hierarchical_loss(
    losses: Tensor, y: Tensor, classes: int, alpha: float, beta: float, gamma: float
) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """(alpha BCL + beta HDL + gamma RCEL, its three parts, class losses L_c) of the images' cross-entropies (N).

    BCL = mean_c L_c, HDL = mean_c (L_c - BCL)^2, RCEL = sum_c (L_c / (sum_j L_j + 1e-10))^2 over all C classes,
    absent ones included.
    """
    per_class = class_means(losses, y, classes)
    bcl = per_class.mean()
    hdl = (per_class - bcl).square().mean()
    rcel = (per_class / (per_class.sum() + 1e-10)).square().sum()
    parts = {"bcl": bcl.detach(), "hdl": hdl.detach(), "rcel": rcel.detach()}
    return alpha * bcl + beta * hdl + gamma * rcel, parts, per_class.detach()
