"""The pictures of docs/reading.md, from the small grid that comes with the project: `python benchmarks/pictures.py`."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.judge import reference
from bench.reports import paper
from bench.reports.drawing import draw
from bench.reports.paired.answer import cards
from bench.reports.source import Source

#: attacks of the second picture, and the methods that were run with all of them
ATTACKS = ("clean", "pgd-20", "cw-linf", "aa", "cw-l2")


def main(folder: Path) -> list[Path]:
    """Write `answer.svg` and `cw.svg`; returns their paths."""
    source = Source(reference.shipped("golden"))
    here = ("paper", "long-tailed", "seeded")
    settings = [s for s in source.index if (s.recipe, s.test_split, s.selection) == here]
    setting = max(settings, key=lambda s: len(source.configs(s)))
    found, _ = cards(source, [setting], ["svg"])
    largest = max((card for card in found if "IR 10" in card.heading), key=lambda card: len(card.figure.alt))
    written = {"answer.svg": largest.figure.files["svg"], "cw.svg": columns(source, setting)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in written.items():
        (folder / name).write_bytes(body)
    return [folder / name for name in written]


def columns(source: Source, setting: object) -> bytes:
    """A group of bars a method: what is left without attack, inside the ball, and under the attack without a bound."""
    chosen = [
        c
        for c in source.configs(setting)
        if c.ir == 10
        and not c.params
        and c.model == "small-cnn"
        and all(source.evaluations(setting, c, a) for a in ATTACKS)
    ]
    with draw.figure(7.2, 3.4) as (made, axes):
        axis = axes[0][0]
        for i, attack in enumerate(ATTACKS):
            values = [100 * source.estimate(source.evaluations(setting, c, attack), "balanced").value for c in chosen]
            places = [j + (i - 2) * 0.16 for j in range(len(chosen))]
            axis.bar(
                places,
                values,
                width=0.15,
                color=draw.COLOURS[i],
                label=paper.attack_label(attack),
                hatch="//" if attack == "cw-l2" else None,
                edgecolor="white",
            )
        axis.set_xticks(range(len(chosen)), [paper.method_label(c.label) for c in chosen], rotation=30, ha="right")
        axis.set_ylabel("balanced accuracy in %")
        made.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=len(ATTACKS))
        return draw.files(made, key="reading-cw", suffixes=["svg"])["svg"]


if __name__ == "__main__":
    for path in main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "pictures"):
        print(path)
