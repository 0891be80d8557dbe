"""UDR: Bui et al., A Unified Wasserstein Distributional Robustness Framework for Adversarial Training, ICLR 2022.

A soft ball around the inner attack: where |delta| > eps, element by element, a step takes back only a part of it,

    delta <- delta + step sign(gradient);   delta <- delta - lambda (step/tau) (delta - sign(delta) eps);   box

With tau = step the part is lambda: 1 is projection, less lets delta settle outside. lambda starts at 1 and moves by
lambda <- lambda - rate (eps - d), d the mean |delta| of the batches since the last move. As d is a mean of absolute
values and eps a maximum, lambda only falls until d reaches eps: on long-tailed sets by about 0.07 in a whole training.

`paper`: the method's own attack mode. `official`: the authors' script, attacking in train mode with one more forward.
The authors move lambda after batches 0, 10, 20, ... of an epoch (`move=first`), another implementation after every
tenth and at the end of the epoch with a floor of 0 (`move=last,floor=0`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bench.api import Context, Enhancer, Inner, register, setting


@register("enhancers")
class SoftBall(Enhancer["SoftBall.Hparams"]):
    """The radius as a price, not a wall."""

    name = "udr"
    paper = "Bui et al., ICLR 2022"
    formula = (
        "delta <- delta - lambda (step/tau) (delta - sign(delta) eps) outside eps;  lambda -= rate (eps - mean |delta|)"
    )
    differences = (
        "Only the l1 mean distance with an l_inf ball is released; the paper's other costs and bases are not.",
        "The released script attacks in train mode with one more forward, together with AWP (mode=train, official).",
    )
    official = {"mode": "train"}
    claims = frozenset({"ball"})
    off = {"rate": 0.0}

    @dataclass(frozen=True)
    class Hparams:
        """The price and how it moves."""

        lam: float = setting(1.0, help="lambda at the start; 1 is projection")
        tau: float | None = setting(None, above=0.0, help="smoothness on the [0,1] scale; none: the attack's step")
        rate: float = setting(0.02, low=0.0, help="how fast lambda moves; 0: not at all")
        period: int = setting(10, low=1, help="batches between two moves")
        move: Literal["first", "last"] = setting("first", help="after batches 0, p, 2p, ... or p-1, 2p-1, ... and last")
        floor: float | None = setting(None, help="lambda is at least this")
        mode: Literal["base", "train"] = setting("base", help="network's mode during the inner attack")

    def __init__(self, hparams: SoftBall.Hparams | None = None) -> None:
        super().__init__(hparams)
        self.lam: float | Tensor = self.hp.lam
        self.seen: list[Tensor] = []

    def inner(self, attack: Inner, context: Context) -> Inner:
        """The soft ball, in the authors' mode where asked for."""
        share = 1.0 if self.hp.tau is None else attack.step / (self.hp.tau * context.threat.scale)
        changed = replace(attack, pull=self.lam * share)
        return changed if self.hp.mode == "base" else replace(changed, mode="train", look=True)

    def attacked(self, x: Tensor, x_adv: Tensor, context: Context) -> None:
        """Note how far the batch went."""
        self.seen.append((x_adv - x).abs().mean().detach())

    def moved(self, distances: Sequence[Tensor], eps: float) -> None:
        """One move of lambda after batches of these mean distances."""
        self.lam = self.lam - self.hp.rate * (eps - torch.stack(list(distances)).mean())
        if self.hp.floor is not None:
            self.lam = torch.as_tensor(self.lam).clamp_min(self.hp.floor)

    def after_step(self, model: nn.Module, context: Context) -> None:
        """Move lambda when it is time."""
        at = context.batch if self.hp.move == "first" else context.batch + 1
        if self.seen and at % self.hp.period == 0:
            self.moved(self.seen, context.eps)
            self.seen = []

    def after_epoch(self, model: nn.Module, context: Context) -> None:
        """What is left at the end of an epoch counts too, with `move=last`."""
        if self.seen and self.hp.move == "last":
            self.moved(self.seen, context.eps)
            self.seen = []

    def state(self) -> dict[str, Any]:
        """Lambda and the distances since its last move."""
        return {"lam": self.lam, "seen": list(self.seen)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put both back."""
        self.lam, self.seen = state["lam"], list(state["seen"])
