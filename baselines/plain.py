"""Plain adversarial training in the frame of RoBal's paper: L = CE(z(x'), y), from which its second stages go on.

The attack starts from x + eps U(0,1), as in all of that paper's rows (see `_robal`); `at` starts elsewhere.
"""

from __future__ import annotations

from bench.api import register

from ._robal import OneSided


@register("methods")
class Plain(OneSided["Plain.Hparams"]):
    """Cross-entropy of adversarial images."""

    name = "plain"
    formula = "L = CE(z(x'), y),  x' from x + eps U(0,1)"
    needs = frozenset()
