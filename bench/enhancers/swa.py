"""SWA: stochastic weight averaging in adversarial training (Chen et al., ICLR 2021; Izmailov et al., UAI 2018).

From epoch 55 of 200 on, once an epoch, avg <- avg n/(n+1) + w/(n+1), and the average is what is evaluated. Its
batch-norm statistics are estimated anew over one pass of the augmented clean training images, each batch weighted by
its size (`statistics=clean`, as released, although the network itself saw adversarial batches), or are the network's
own (`copied`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bench.api import Context, Enhancer, Recipe, register, setting

from ._average import move, parameters_of, reestimate, with_parameters


@register("enhancers")
class WeightAveraging(Enhancer["WeightAveraging.Hparams"]):
    """Evaluate the mean of the weights at the ends of the later epochs."""

    name = "swa"
    paper = "Chen et al., ICLR 2021"
    formula = "avg <- avg n/(n+1) + w/(n+1) at the end of each epoch from a quarter of the training on"
    licence = "MIT"
    differences = ("The released recipe adds distillation from two teachers; left out.",)
    claims = frozenset({"average"})
    off = {"begin": 1.0}
    small = {"begin": 0.3}

    @dataclass(frozen=True)
    class Hparams:
        """When it begins."""

        begin: float = setting(0.275, low=0.0, high=1.0, help="share of the training before the first collected epoch")
        statistics: Literal["clean", "copied"] = setting("clean", help="batch-norm statistics of the average")

    average: dict[str, Tensor] | None = None
    count = 0

    def passes(self, recipe: Recipe) -> tuple[float, float]:
        """One forward of every image in the last epoch, for the statistics."""
        collects = int(self.hp.begin * recipe.epochs) < recipe.epochs
        return (1 / recipe.epochs if collects and self.hp.statistics == "clean" else 0.0), 0.0

    def setup(self, model: nn.Module, context: Context) -> None:
        """Begin with the network's weights."""
        self.average, self.count = parameters_of(model), 0

    def collect(self, model: nn.Module) -> None:
        """Take the network's weights into the mean."""
        assert self.average is not None
        move(self.average, model, self.count / (self.count + 1))
        self.count += 1

    def after_epoch(self, model: nn.Module, context: Context) -> None:
        """Collect, once the time has come."""
        if context.epoch >= int(self.hp.begin * context.recipe.epochs):
            self.collect(model)

    def evaluated(self, model: nn.Module, clean: Callable[[], Iterable[Tensor]]) -> Mapping[str, Tensor] | None:
        """The mean with its statistics; the network itself before the first collected epoch."""
        if self.average is None or self.count == 0:
            return None
        other = with_parameters(model, self.average)
        if self.hp.statistics == "clean":
            reestimate(other, clean())
        return other.state_dict()

    def state(self) -> dict[str, Any]:
        """The mean and how many weights are in it."""
        return {"average": self.average, "count": self.count}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put both back."""
        assert self.average is not None
        self.count = state["count"]
        with torch.no_grad():
            for name, value in state["average"].items():
                self.average[name].copy_(value)
