"""What an attack may do to an image: its radius, and whether an answer keeps to it, measured in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.api import Attack
from bench.config import REFERENCE_EPS
from bench.errors import ModelError

#: slack of the radius for the rounding of x + delta in single precision
TOLERANCE = 1e-6


def radius(attack: Attack) -> float | None:
    """The l_inf radius an attack must keep, or None when it has none: its `eps` parameter, scaled, or the threat's."""
    if attack.norm != "linf":
        return None
    stated = getattr(attack.params, "eps", None)
    return attack.threat.eps if stated in (None, REFERENCE_EPS) else float(stated) * attack.threat.scale


def within(answer: Tensor, x: Tensor, attack: Attack) -> Tensor:
    """Bool N: whether each answer is finite, in [0,1] and within the attack's radius, computed in float64.

    A clean "answer" is always accepted: it is the image itself.
    """
    if attack.norm == "none":
        return torch.ones(len(x), dtype=torch.bool, device=x.device)
    wide, eps = answer.double().flatten(1), radius(attack)
    accepted = torch.isfinite(wide).all(1) & (wide >= 0).all(1) & (wide <= 1).all(1)
    if eps is not None:
        accepted &= (wide - x.double().flatten(1)).abs().amax(1) <= eps + TOLERANCE
    return accepted


def check_refused(label: str, stage: str, refused: int, attacked: int) -> None:
    """Raise ModelError when most answers were refused: the clean verdicts that stand in measure no attack."""
    if 2 * refused > attacked:
        raise ModelError(
            f"attack '{label}' failed: {refused} of {attacked} answers of its stage '{stage}' lie outside the radius "
            "or [0,1] or are not finite, so it measured nothing; mend the attack, or give images in [0,1] "
            "(bench evaluate --normalize)."
        )
