"""What changes when a method is trained by its official code's settings instead of the paper's?"""

from __future__ import annotations

from bench.reports.findings.block import RECIPE, SPLIT, Block, Spot, name
from bench.reports.findings.difference import COLUMNS, Difference, differences, told
from bench.reports.findings.layout import missing, points, table
from bench.reports.findings.question import Answer, Question
from bench.reports.source import Config

ATTACKS = ("clean", "pgd-20", "aa")

#: recipe, configuration, attack
Key = tuple[str, Config, str]


def answer(block: Block) -> Answer | None:
    """Every other recipe minus the paper's, for methods as their papers state them."""
    places: dict[Key, tuple[Spot, Spot]] = {
        (recipe, config, attack): (Spot(config, attack, SPLIT, recipe), Spot(config, attack))
        for recipe in block.recipes if recipe != RECIPE
        for config in block.configs(SPLIT, recipe) if not config.params
        for attack in ATTACKS
    }  # fmt: skip
    found = differences(block, places)
    if not found:
        return None
    rows = [
        [block.ratio(config.ir), name(config), recipe, attack, points(one.b), points(one.a), *one.columns()]
        for (recipe, config, attack), one in found.items()
    ]
    absent = [spot for key, spots in places.items() if key not in found for spot in spots if not block.at(spot)]
    return Answer(
        _short(block, found),
        (
            f"The recipe minus the paper's, {SPLIT} test split. [Methods](methods.md) says what each recipe sets.",
            table(["IR", "method", "recipe", "attack", "paper", "recipe's", *COLUMNS], rows),
            *missing(block.commands(absent, block.seeds(config for _, config, _ in places))),
        ),
    )


def _short(block: Block, found: dict[Key, Difference]) -> str:
    strongest = [attack for attack in ATTACKS if any(attack == other for *_, other in found)][-1]
    named = {key: f"{name(key[1])}, {key[2]}, IR {block.ratio(key[1].ir)}" for key in found}
    headline = [label for key, label in named.items() if key[2] == strongest]
    recipes = " or ".join(dict.fromkeys(recipe for recipe, _, _ in found))
    return f"Recipe {recipes} minus {RECIPE}: {told({named[key]: one for key, one in found.items()}, headline)}."


QUESTION = Question(
    "The official recipe",
    "What does the official recipe change?",
    "bench run --preset table5 --recipe paper,official",
    answer,
)
