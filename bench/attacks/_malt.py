"""The order in which MALT attacks classes: Melamed et al., MALT Powers Up Adversarial Attacks, NeurIPS 2024.

On a locally almost linear network the class that is easiest to reach is not the second likeliest, but the one of the
smallest gap per slope. Candidates are the largest logits besides the label's; the score of class c is

    (z_top - z_c) / |grad_x (z_c - z_y)|_q,     q dual to the norm of the ball (l_inf: 1, l_2: 2)

with z_top the largest logit: z_y where the image is classified correctly, else the predicted class, which scores 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.api import Oracle

#: norm of the ball -> order of the dual norm
DUAL = {"inf": 1, "2": 2}


def target_order(
    oracle: Oracle, x: Tensor, y: Tensor, *, norm: str = "inf", targets: int = 9, candidates: int = 100
) -> tuple[Tensor, Tensor]:
    """(classes, scores), both N x min(targets, candidates, C - 1), easiest first.

    One forward and as many backward passes as there are candidates. A vanishing gradient scores 0.
    """
    leaf = x.detach().requires_grad_(True)
    with torch.enable_grad():
        z = oracle.forward(leaf)
    likely = z.detach().scatter(1, y[:, None], -torch.inf).topk(min(candidates, z.shape[1] - 1), 1).indices
    top = z.detach().amax(1)
    scores = torch.empty(likely.shape, dtype=x.dtype, device=x.device)
    for place in range(likely.shape[1]):
        candidate = z.gather(1, likely[:, place : place + 1])
        with torch.enable_grad():
            gap = (candidate - z.gather(1, y[:, None])).sum()
        (slope,) = torch.autograd.grad(gap, leaf, retain_graph=True)
        length = slope.flatten(1).norm(p=DUAL[norm], dim=1)
        score = (top - candidate.detach().squeeze(1)) / length
        scores[:, place] = torch.where(length > 0, score, torch.zeros_like(score))
    scores, order = scores.sort(dim=1, stable=True)
    return likely.gather(1, order)[:, :targets], scores[:, :targets]
