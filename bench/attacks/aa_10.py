"""AA-10: the weaker chain of the torchattacks wrapper: 10 iterations instead of 100, all other classes targeted."""

from __future__ import annotations

from dataclasses import dataclass

from bench.api import register, setting

from ._autoattack import Chain


@register("attacks")
class AutoAttack10(Chain):
    """Releases 3.3 and later of torchattacks leave APGD, APGD-T and FAB at 10 iterations and target all C - 1 classes.

    Its Square squeezes the schedule of 10,000 queries into its 5000. The released notebook of the paper most likely ran
    this; what it leaves standing is an upper bound of AutoAttack's robust accuracy, never the same column.
    """

    name = "aa-10"
    rescaled = True

    @dataclass(frozen=True)
    class Params(Chain.Params):
        """As for AutoAttack, with 10 iterations; there is only our engine."""

        steps: int = setting(10, low=1, help="iterations of APGD and FAB")
        engine: str = setting("lean", choices=("lean",), help="ours")

    def targets(self) -> int:
        """Every class but the true one."""
        return self.num_classes - 1

    def notes(self) -> tuple[str, ...]:
        """What every reader must know, then what AutoAttack's notes say of replaced losses and random numbers."""
        weaker = f"{self.params.steps} iterations instead of 100: weaker than AutoAttack, an upper bound"
        return (weaker, *(n for n in super().notes() if "instead of" not in n))
