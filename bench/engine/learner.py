"""What learns: a network with its method, enhancers and optimiser; and what a checkpoint holds of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from bench.api import Enhancer, Method
from bench.engine.best import Best


@dataclass
class Progress:
    """Where training is: everything besides the weights that a resumed run needs."""

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    images: int = 0
    curves: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Learner:
    """All that changes while a cell is trained. `best`: the judge of `select=best`."""

    network: nn.Module
    method: Method
    enhancers: Sequence[Enhancer]
    optimizer: torch.optim.Optimizer
    best: Best | None = None

    @property
    def parts(self) -> tuple[Method | Enhancer, ...]:
        """The method, then its enhancers: the order in which they are asked."""
        return (self.method, *self.enhancers)

    def state(self, at: Progress) -> dict[str, Any]:
        """For the checkpoint; `restore` puts it back."""
        own = {enhancer.name: enhancer.state() for enhancer in self.enhancers}
        return {
            "epoch": at.epoch,
            "step": at.step,
            "seconds": at.seconds,
            "images": at.images,
            "curves": at.curves,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "method": self.method.state(),
            **({"enhancers": own} if own else {}),
            **({} if self.best is None else {"best": self.best.state()}),
        }

    def restore(self, state: Mapping[str, Any]) -> Progress:
        """Put back what `state` gave; where training was."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["method"]:
            self.method.load_state(state["method"])
        for enhancer in self.enhancers:
            if own := state.get("enhancers", {}).get(enhancer.name):
                enhancer.load_state(own)
        if self.best is not None:
            self.best.load_state(state["best"])
        return Progress(state["epoch"], state["step"], state["seconds"], state["images"], list(state["curves"]))
