"""The radius part of CFA: Wei et al., CVPR 2023, around any method.

From epoch `begin` on (0-based, of the full-length recipe), with r_c the share of class c's images whose x' was
classified correctly in the epoch before,

    eps_c = (lam + r_c) eps

while the step stays, as in the authors' code. Classes that are hard get smaller balls. r_c is correct / seen of the
class, as in `cfa`: the authors divide as if classes were equally frequent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from bench.api import CalibratedRadii, Context, Enhancer, Inner, register, setting


@register("enhancers")
class CalibratedRadius(Enhancer["CalibratedRadius.Hparams"]):
    """Larger balls for classes that are robust already."""

    name = "cfa-radius"
    paper = "Wei et al., CVPR 2023"
    formula = "eps_c = (lam + r_c) eps,  r_c = last epoch's robust training accuracy of the class"
    differences = (
        "CFA also calibrates TRADES' trade-off and averages weights; those are not part of this enhancer (see cfa).",
        "r_c is taken per class; the authors' C correct_c / N assumes equal classes.",
    )
    claims = frozenset({"radius"})
    off = {"begin": 10000}
    small = {"begin": 1}

    @dataclass(frozen=True)
    class Hparams:
        """Base radius and beginning."""

        lam: float = setting(0.5, low=0.0, help="lambda_1, base radius in units of eps")
        begin: int = setting(10, low=1, help="first calibrated epoch of the full-length recipe, from 0")

    def setup(self, model: nn.Module, context: Context) -> None:
        """Make the rule, which `cfa` follows too."""
        self.radii = CalibratedRadii(self.hp.lam, self.hp.begin, context)

    def inner(self, attack: Inner, context: Context) -> Inner:
        """The radius of each image; a random start is scaled with it."""
        factors = self.radii.factors(context)
        if factors is None or context.labels is None:
            return attack
        return replace(attack, eps=attack.eps * factors[context.labels].view(-1, 1, 1, 1))

    def after_loss(self, model: nn.Module, x: Tensor, x_adv: Tensor, logits: Tensor | None, context: Context) -> None:
        """Count robust predictions by class."""
        if logits is not None and x_adv is not x and context.labels is not None:
            self.radii.see(logits, context.labels, context)

    def after_epoch(self, model: nn.Module, context: Context) -> None:
        """The accuracy of this epoch is the next one's measure."""
        self.radii.end_epoch(context)

    def state(self) -> dict[str, Any]:
        """Counters and robust accuracy."""
        return self.radii.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Put them back."""
        self.radii.load_state(state)
