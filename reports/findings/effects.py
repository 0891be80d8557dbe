"""Where the gain of a trick lies: in all classes, in the frequent and the rare half, and in the worst class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.judge.attribution import SCOPES, Gain
from bench.reports.findings.gap import BETTER, WORSE
from bench.reports.findings.numbers import points
from bench.reports.findings.setting import RECIPE, SPLIT, Setting
from bench.reports.paper import method_label
from bench.reports.tables.attribution import SIGN, grouped


@dataclass(frozen=True)
class Effect:
    """What a trick does at a method under one attack on the long-tailed split: a gain for each of `SCOPES`.

    None where no class of a scope has test images; those of all classes have.
    """

    ratio: str
    trick: str
    method: str
    attack: str
    runs: int
    gains: Sequence[Gain | None]

    @property
    def columns(self) -> list[str]:
        """The row of the table."""
        values = [f"{points(g.value, signed=True)} {_mark(g)}".strip() if g else "—" for g in self.gains]
        return [self.ratio, self.trick, method_label(self.method), self.attack, str(self.runs), *values]


def effects(setting: Setting) -> list[Effect]:
    """The gains of tricks at methods as their papers state them, clean and under the strongest attack of each."""
    found: dict[tuple[float, str, str, str], dict[str, Gain]] = {}
    for gains in grouped(setting.source, None, SPLIT).values():
        for gain in gains:
            runs = [setting.runs.get(cell) for cell in gain.cells]
            if gain.of_enhancer and all(run and run[1] == RECIPE for run in runs) and "[" not in gain.at:
                ir = runs[0][0].ir if runs[0] else 0.0
                found.setdefault((ir, gain.what, gain.at, gain.attack), {})[gain.scope] = gain
    top: dict[tuple[float, str, str], str] = {}
    for attack in setting.attacks:  # the weakest first
        top |= {key[:3]: attack for key in found if key[3] == attack}
    return [
        Effect(setting.ratio(ir), what, at, attack, by_scope[SCOPES[0]].runs, [*map(by_scope.get, SCOPES)])
        for (ir, what, at, attack), by_scope in sorted(found.items(), key=lambda one: (one[0][0], one[0][2], one[0][1]))
        if attack in (setting.attacks[0], top.get((ir, what, at)))
    ]


def _mark(gain: Gain) -> str:
    """▲ or ▼ where both of its intervals lie on one side of 0."""
    known = [i for i in (gain.images, gain.seeds) if i is not None]
    if len(known) < 2:
        return ""
    if all(i.low > 0 for i in known):
        return SIGN[BETTER]
    return SIGN[WORSE] if all(i.high < 0 for i in known) else ""
