"""Does TAET beat AT-BSL in balanced robustness under AutoAttack?"""

from __future__ import annotations

from bench.reports.findings.block import RECIPE, SPLIT, Block, Spot, name
from bench.reports.findings.difference import COLUMNS, Difference, differences, told
from bench.reports.findings.layout import ABSENT, UNPAIRED, missing, points, table
from bench.reports.findings.question import Answer, Question
from bench.reports.footnote import settings_lines
from bench.reports.text import markdown

#: the claim: this method is better than that one, under this attack, at these ratios
OURS, RIVAL, ATTACK, RATIOS = "taet", "at-bsl", "aa", (10.0, 20.0, 50.0, 100.0)

#: test split, ratio
Key = tuple[str, float]


def answer(block: Block) -> Answer | None:
    """The paired difference at every ratio; ratios of the claim that lack a cell are named."""
    ratios = set(block.irs(OURS, RIVAL))
    asked = sorted(ratios if block.setting.natural else ratios | set(RATIOS))
    places: dict[Key, tuple[Spot, Spot]] = {
        (split, ir): (Spot(block.config(ir, OURS), ATTACK, split), Spot(block.config(ir, RIVAL), ATTACK, split))
        for split in block.splits for ir in asked
    }  # fmt: skip
    found = differences(block, places)
    if not found:
        return None
    # The claim is about the long-tailed split; of another one only what was measured is shown.
    shown = [key for key in places if key[0] == SPLIT or key in found]
    lacks = {key: [spot for spot in places[key] if not block.at(spot)] for key in shown if key not in found}
    ours, rival = (name(block.config(ir, method)) for ir in asked[:1] for method in (OURS, RIVAL))
    trained = block.seeds(block.config(ir, method) for ir in ratios for method in (OURS, RIVAL))
    return Answer(
        f"{ours} minus {rival} under {ATTACK}: {_short(block, found, lacks)}.",
        (
            f"{ours} minus {rival}. The attack as it was run: {_as_run(block)}.",
            table(
                ["IR", "test split", rival, ours, *COLUMNS],
                [[block.ratio(ir), split, *_columns(found.get((split, ir)), lacks.get((split, ir)))]
                 for split, ir in shown],
            ),
            *missing(block.commands([spot for spots in lacks.values() for spot in spots], trained)),
        ),
    )  # fmt: skip


def _columns(one: Difference | None, lacks: list[Spot] | None) -> list[str]:
    if one is None:
        return [ABSENT if lacks else UNPAIRED, *[""] * (1 + len(COLUMNS))]
    return [points(one.b), points(one.a), *one.columns()]


def _short(block: Block, found: dict[Key, Difference], lacks: dict[Key, list[Spot]]) -> str:
    claim = {f"IR {block.ratio(ir)}": one for (split, ir), one in found.items() if split == SPLIT}
    absent = [f"IR {block.ratio(ir)}" for (_, ir), spots in lacks.items() if spots]
    return told(claim, claim) + (f"; {ABSENT}: {', '.join(absent)}" if absent else "")


def _as_run(block: Block) -> str:
    used = [one for spot, one in block.evaluations if spot.attack == ATTACK and spot.recipe == RECIPE]
    return markdown(dict(settings_lines(block.store.source, block.place(), used, (ATTACK,))).get("Attacks", ATTACK))


QUESTION = Question(
    "TAET against AT-BSL under AutoAttack",
    "Does TAET beat AT-BSL in balanced robustness under AutoAttack?",
    "bench run --preset table5",
    answer,
)
