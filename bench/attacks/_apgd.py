"""APGD (Croce and Hein, ICML 2020, Algorithm 1) in the l_inf ball, on any loss; fooled images leave the batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bench.api import Oracle

#: (logits, labels, targets) -> one value an image, to be ascended
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
MOMENTUM, RISES = 0.75, 0.75


def ce(z: Tensor, y: Tensor, _target: Tensor) -> Tensor:
    """Cross-entropy."""
    return cross_entropy(z, y, reduction="none")


def dlr_targeted(z: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """Targeted difference of logits ratio (paper, equation 7): needs four classes."""
    top = z.topk(4, 1).values
    scale = top[:, 0] - 0.5 * (top[:, 2] + top[:, 3]) + 1e-12
    return -_lead(z, y, target) / scale


def margin_targeted(z: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """z_target - z_y: what stands for the targeted DLR where there are fewer than four classes."""
    return -_lead(z, y, target)


def _lead(z: Tensor, y: Tensor, target: Tensor) -> Tensor:
    return (z.gather(1, y[:, None]) - z.gather(1, target[:, None])).squeeze(1)


def apgd(
    oracle: Oracle, x: Tensor, y: Tensor, target: Tensor, unit: Tensor, loss: Loss, eps: float, steps: int
) -> tuple[Tensor, Tensor]:
    """(answers N x channels x H x W, positions of the fooled among them) of one run.

    `unit`: uniform draws in [0, 1) of the shape of x; the start is x + eps t / max|t| with t = 2 unit - 1. The step is
    2 eps at first and is halved at checkpoints when it rose the loss too seldom, or when nothing was gained since the
    last one; the search then goes on from the best point. As in the authors' program the first loss is compared with
    zero. A fooled image keeps its first fooling point; it leaves the batch at the next checkpoint.
    """
    period, shrink, shortest = (max(int(share * steps), 1) for share in (0.22, 0.03, 0.06))
    answer, fooled = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    index = torch.arange(len(x), device=x.device)
    low, high = (x - eps).clamp_(0, 1), (x + eps).clamp_(0, 1)
    t = 2 * unit - 1
    now = (x + eps * (t / (t.abs().flatten(1).amax(1).view(-1, 1, 1, 1) + 1e-12))).clamp_(0, 1)
    before = now
    gradient, z = oracle.gradient(now, lambda z: loss(z, y, target))
    best, best_gradient, best_loss = now, gradient, loss(z, y, target)
    wrong = z.argmax(1) != y
    kept = now
    step = torch.full_like(best_loss, 2 * eps).view(-1, 1, 1, 1)
    last_loss, last_best = torch.zeros_like(best_loss), best_loss.clone()
    rises, reduced = torch.zeros_like(best_loss), torch.ones_like(best_loss, dtype=torch.bool)
    since = 0
    for i in range(steps):
        keep_going = 1.0 if i == 0 else MOMENTUM
        moved = torch.clamp(now + step * gradient.sign(), low, high)
        moved = torch.clamp(now + (moved - now) * keep_going + (now - before) * (1 - keep_going), low, high)
        before, now = now, moved
        gradient, z = oracle.gradient(now, lambda z: loss(z, y, target))  # noqa: B023 - called at once
        value = loss(z, y, target)
        kept = torch.where(wrong.view(-1, 1, 1, 1), kept, now)
        wrong = wrong | (z.argmax(1) != y)
        better = value > best_loss
        wide = better.view(-1, 1, 1, 1)
        best, best_gradient = torch.where(wide, now, best), torch.where(wide, gradient, best_gradient)
        best_loss = torch.where(better, value, best_loss)
        rises, last_loss, since = rises + (value > last_loss), value, since + 1
        if since < period:
            continue
        halve = (rises <= period * RISES) | (~reduced & (last_best >= best_loss))
        wide = halve.view(-1, 1, 1, 1)
        step = torch.where(wide, step / 2, step)
        now, gradient = torch.where(wide, best, now), torch.where(wide, best_gradient, gradient)
        reduced, last_best, rises = halve, best_loss, torch.zeros_like(rises)
        since, period = 0, max(period - shrink, shortest)
        alive = ~wrong
        if not alive.all():
            answer[index[wrong]], fooled[index[wrong]] = kept[wrong], True
            if not alive.any():
                return answer, fooled.nonzero().squeeze(1)
            kept, wrong = kept[alive], wrong[alive]
            index, y, target, low, high, step, now, before = (
                v[alive] for v in (index, y, target, low, high, step, now, before)
            )
            gradient, best, best_gradient, best_loss, last_loss, last_best, rises, reduced = (
                v[alive] for v in (gradient, best, best_gradient, best_loss, last_loss, last_best, rises, reduced)
            )
    answer[index[wrong]], fooled[index[wrong]] = kept[wrong], True
    return answer, fooled.nonzero().squeeze(1)
