"""Audited AutoAttack: aa's own stages on a sample fixed before looking, with an interval."""

from __future__ import annotations

from dataclasses import dataclass, fields

from bench.api import AttackSpec, AuditGoal, register, setting

from ._autoattack import Chain


@register("attacks")
class AuditedAutoAttack(Chain):
    """Same stages, same bits, fewer images: the rest is not attacked, and the interval says what that may hide.

    `widening`: standard error allowed, in those of the full evaluation; `half_width` (points of the 95 % interval over
    test images) or `budget` (passes an image of the set) in its place. `aa` asked for later goes on from the audit.
    """

    name = "aa-audited"
    strength = None

    @dataclass(frozen=True)
    class Params(Chain.Params):
        """AutoAttack's parameters, and what the sample is for."""

        widening: float = setting(1.1, above=1.0, help="standard error allowed, in those of the full evaluation")
        half_width: float = setting(0.0, low=0.0, high=100.0, help="half-width allowed, in points; 0: by the widening")
        budget: float = setting(0.0, low=0.0, help="passes an image of the set; 0: by the widening")

    def goal(self) -> AuditGoal:
        """What the sample is for."""
        p = self.params
        return AuditGoal(p.widening, p.half_width / 100 or None, p.budget or None)

    def continues(self) -> AttackSpec:
        """The full attack of the same settings."""
        changed = {
            f.name: getattr(self.params, f.name)
            for f in fields(Chain.Params)
            if getattr(self.params, f.name) != f.default
        }
        return AttackSpec("aa", tuple(sorted(changed.items())))

    def notes(self) -> tuple[str, ...]:
        """That it is a sample."""
        return (*super().notes(), "an audit: stages on a sample of the images, never AutoAttack itself")
