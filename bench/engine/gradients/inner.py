"""The one inner attack of training: sign-gradient ascent inside the l_inf ball and [0,1].

Every method that attacks by PGD goes through `ascend` (see `Context.pgd`); one with a loop of its own takes its
gradients from the same source (`Context.gradient`). What differs between methods is data: the
objective, the start, the network's mode, radius, step and count. How a gradient is computed is pluggable, so a faster
way that gives the same numbers can take its place; nothing here waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from bench.api import Gradient, Mode, Noise, Objective, Start, frozen_statistics
from bench.fields import one_of


def plain_gradient(model: nn.Module, x: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
    """One forward and one backward pass; parameters get no gradient."""
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        logits = model(x)
        (gradient,) = torch.autograd.grad(objective(logits).sum(), x)
    return gradient, logits.detach()


def first_iterate(start: Start, x: Tensor, noise: Noise, eps: float | Tensor, noise_scale: float) -> Tensor:
    """Where the ascent begins; draws from `noise` only if that start is random. Raises UsageError on unknown names."""
    starts: dict[Start, Callable[[], Tensor]] = {
        "gaussian": lambda: x + noise_scale * noise.gaussian(x.shape),
        "uniform": lambda: x + noise.uniform(x.shape, -1.0, 1.0) * eps,
        "uniform-clamped": lambda: (x + noise.uniform(x.shape, -1.0, 1.0) * eps).clamp(0.0, 1.0),
        "one-sided": lambda: x + noise.rand(x.shape) * eps,
        "none": lambda: x,
    }
    return starts[one_of(start, Start, "start of the inner attack")]()


def _like(value: float | Tensor, x: Tensor) -> float | Tensor:
    """A value of each image in the type of the images."""
    return value.to(x) if isinstance(value, Tensor) else value


def ascend(
    model: nn.Module,
    x: Tensor,
    objective: Objective,
    *,
    noise: Noise,
    start: Start = "gaussian",
    mode: Mode = "eval",
    observe: Callable[[Tensor], None] | None = None,
    noise_scale: float = 0.001,
    eps: float | Tensor,
    step: float | Tensor,
    steps: int,
    spread: float | Tensor | None = None,
    pull: float | Tensor = 1.0,
    look: bool = False,
    gradient: Gradient = plain_gradient,
) -> Tensor:
    """`steps` times: x' + step sign(gradient), clamped to [x - eps, x + eps], then to [0,1]. Returns a constant.

    x: N x channels x H x W in [0,1]; `eps`, `step` on the same scale, one number or one an image (N x 1 x 1 x 1).
    With `pull` other than 1 the ball is soft: a step takes back that share of what lies outside it, in [0,1] still.
    `start`, `mode`, `observe` as in `Context.pgd`; `spread`, `look` as in `bench.api.Inner`. The network is in train
    mode afterwards. Raises UsageError on an unknown start or mode.
    """
    one_of(mode, Mode, "mode of the inner attack")
    x = x.detach()
    eps, step = _like(eps, x), _like(step, x)
    # x lies in [0,1], so clamping to the ball and then to [0,1] is one clamp to their intersection
    low, high = (x - eps).clamp(min=0.0), (x + eps).clamp(max=1.0)

    bound = torch.as_tensor(eps, dtype=x.dtype, device=x.device)

    hard = isinstance(pull, float) and pull == 1.0  # a tensor stays on the device

    def taken_back(moved: Tensor) -> Tensor:
        if hard:
            return torch.clamp(moved, low, high)
        offset = moved - x
        return (moved - pull * (offset - torch.clamp(offset, -bound, bound))).clamp(0.0, 1.0)

    adversarial = first_iterate(start, x, noise, eps if spread is None else _like(spread, x), noise_scale)
    model.train(mode != "eval")
    try:
        with frozen_statistics(model) if mode == "train-frozen" else nullcontext():
            for _ in range(steps):
                slope, logits = gradient(model, adversarial, objective)
                if observe is not None:
                    observe(logits)
                adversarial = taken_back(adversarial + step * slope.sign())
            if look and mode == "train":
                with torch.no_grad():
                    model(adversarial)
    finally:
        model.train()
    return (torch.clamp(adversarial, low, high) if hard else adversarial.clamp(0.0, 1.0)).detach()
