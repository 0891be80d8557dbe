"""Targeted FAB (Croce and Hein, ICML 2020b) for the l_inf norm: the nearest point beyond a linearised boundary.

An image leaves as soon as a point of another class within the radius is found: what it would find later can only be
nearer, and only the radius counts here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.api import Oracle

ALPHA_MAX, OVERSHOOT, BACKWARD = 0.1, 1.05, 0.9


def project(points: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """The d of least l_inf norm with w . (points + d) = b and points + d in [0,1]; rows of N x D tensors, b of N.

    Where the box does not meet the hyperplane, d goes as far towards it as the box allows. Every coordinate moves by
    min(lambda, its room) towards the plane, so the gap closed is piecewise linear in lambda with a kink at each room.
    """
    gap = (w * points).sum(1) - b
    downwards = (w > 0) == (gap >= 0).unsqueeze(1)
    room = torch.where(downwards, points, 1 - points)
    weight = w.abs()
    kinks, order = room.sort(1)
    sorted_weight = weight.gather(1, order)
    closed = (sorted_weight * kinks).cumsum(1)
    free = sorted_weight.flip(1).cumsum(1).flip(1)  # weight of the coordinates not yet at their bound before each kink
    at_kink = closed + kinks * (free - sorted_weight)
    need = gap.abs().unsqueeze(1)
    first = torch.searchsorted(at_kink, need).clamp_max(points.shape[1] - 1)
    spent = torch.where(first > 0, closed.gather(1, (first - 1).clamp_min(0)), 0)
    length = (need - spent) / free.gather(1, first).clamp_min(torch.finfo(w.dtype).tiny)
    length = torch.where(need > at_kink[:, -1:], torch.inf, length.clamp_min(0))
    size = torch.minimum(length, room)
    return torch.where(w == 0, 0, torch.where(downwards, -size, size))


def fab_targeted(oracle: Oracle, x: Tensor, y: Tensor, target: Tensor, eps: float, steps: int) -> tuple[Tensor, Tensor]:
    """(answers N x channels x H x W, positions of the fooled among them) of one run towards `target` (N classes)."""
    answer, index, shape = x.clone(), torch.arange(len(x), device=x.device), (-1, 1, 1, 1)
    fooled: list[Tensor] = []
    now = x
    for _ in range(steps):
        pair = torch.stack([target, y], 1)

        def lead(z: Tensor, pair: Tensor = pair) -> Tensor:
            both = z.gather(1, pair)
            return both[:, 0] - both[:, 1]

        gradient, z = oracle.gradient(now, lead)
        w, origin, point = gradient.flatten(1), x.flatten(1), now.flatten(1)
        b = (w * point).sum(1) - lead(z)
        d = project(torch.cat([point, origin]), torch.cat([w, w]), torch.cat([b, b]))
        size = d.abs().amax(1).clamp_min(1e-8)
        alpha = (size[: len(x)] / (size[: len(x)] + size[len(x) :])).clamp_(0, ALPHA_MAX).view(shape)
        here, there = (part.view_as(x) for part in (d[: len(x)], d[len(x) :]))
        now = ((now + OVERSHOOT * here) * (1 - alpha) + (x + there * OVERSHOOT) * alpha).clamp_(0, 1)
        wrong = oracle.logits(now).argmax(1) != y
        done = wrong & ((now - x).abs().flatten(1).amax(1) <= eps)
        if done.any():
            answer[index[done]] = now[done]
            fooled.append(index[done])
            index, x, y, target, now, wrong = (v[~done] for v in (index, x, y, target, now, wrong))
            if len(x) == 0:
                break
        now = torch.where(wrong.view(shape), x + (now - x) * BACKWARD, now)
    return answer, torch.cat(fooled) if fooled else index[:0]
