"""EMA: exponential moving average of the weights (Gowal et al., 2020; Rebuffi et al., 2021).

After every optimiser step, over parameters only, with the step counted from 1 after it,

    avg <- d avg + (1 - d) w,   d = 0 before step S, else min(tau, (1 + k) / (10 + k)),   k = step - S
    S = warmup * epochs * steps of an epoch

and the average is what is evaluated. tau binds only from k = 1790 on (0.995): short trainings never reach it. Batch
norm: at the end of every epoch the average takes over the network's running statistics (`statistics=copied`, as the
code of Gowal's paper that is public does), or they are estimated anew over the clean training images (`clean`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bench.api import Context, Enhancer, register, setting

from ._average import move, parameters_of, reestimate, with_parameters


@register("enhancers")
class MovingAverage(Enhancer["MovingAverage.Hparams"]):
    """Evaluate a moving average of the weights."""

    name = "ema"
    paper = "Gowal et al., 2020 (arXiv 2010.03593)"
    formula = "avg <- d avg + (1-d) w after each step,  d = min(tau, (1+k)/(10+k)) from the warm-up on"
    licence = "MIT"
    differences = (
        "The public code counts steps from 50,000 images, too long on long-tailed sets; here the true number counts.",
        "It sets batch norm's momentum to 1.0 in the first step and 0.01 after, and clips nothing; left out.",
    )
    claims = frozenset({"average"})
    off = {"tau": 0.0}

    @dataclass(frozen=True)
    class Hparams:
        """How long the memory is."""

        tau: float = setting(0.995, low=0.0, high=1.0, help="largest decay; 0: the network's own weights")
        warmup: float = setting(0.025, low=0.0, high=1.0, help="share of the training before which nothing is averaged")
        dynamic: bool = setting(True, help="a smaller decay in the first steps after the warm-up")
        statistics: Literal["copied", "clean"] = setting("copied", help="batch-norm statistics of the average")

    average: dict[str, Tensor] | None = None

    def setup(self, model: nn.Module, context: Context) -> None:
        """Begin with the network's weights."""
        self.average = parameters_of(model)
        self.buffers = {name: b.detach().clone() for name, b in model.named_buffers()}

    def decay(self, step: int, context: Context) -> float:
        """D of a step, counted from 1."""
        k = step - self.hp.warmup * context.recipe.epochs * context.steps_per_epoch
        if k < 0:
            return 0.0
        return min(self.hp.tau, (1 + k) / (10 + k)) if self.hp.dynamic else self.hp.tau

    def after_step(self, model: nn.Module, context: Context) -> None:
        """Follow the weights."""
        assert self.average is not None
        move(self.average, model, self.decay(context.step + 1, context))

    def after_epoch(self, model: nn.Module, context: Context) -> None:
        """Take over the running statistics."""
        self.buffers = {name: b.detach().clone() for name, b in model.named_buffers()}

    def evaluated(self, model: nn.Module, clean: Callable[[], Iterable[Tensor]]) -> Mapping[str, Tensor] | None:
        """The average and its statistics."""
        assert self.average is not None
        if self.hp.statistics == "copied":
            return {**self.average, **self.buffers}
        other = with_parameters(model, self.average)
        reestimate(other, clean())
        return other.state_dict()

    def state(self) -> dict[str, Any]:
        """The average and its statistics."""
        return {"average": self.average, "buffers": self.buffers}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put both back."""
        assert self.average is not None
        with torch.no_grad():
            for name, value in state["average"].items():
                self.average[name].copy_(value)
            for name, value in state["buffers"].items():
                self.buffers[name].copy_(value)
