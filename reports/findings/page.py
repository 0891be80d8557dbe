"""The page: every answer in short, what was measured, then question by question and setting by setting."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.reports.findings import attacks, cost, layout, paired, ranking
from bench.reports.findings.block import Block, Store
from bench.reports.paper import method_label
from bench.reports.render import markdown_environment


@dataclass(frozen=True)
class Question:
    """`topic`: its name at the head of the page, `title`: its heading, `command`: what measures it as the paper does.

    `answer`: typed rows of one block, None when it lacks the cells; its name is that of the template's macros for it.
    """

    topic: str
    title: str
    command: str
    answer: Callable[[Block], object | None]

    @property
    def key(self) -> str:
        """Its name in the template."""
        return self.answer.__name__


QUESTIONS = (
    Question(
        "TAET against AT-BSL under AutoAttack", "Does TAET beat AT-BSL in balanced robustness under AutoAttack?",
        "bench run --preset table5", paired.superiority,
    ),
    Question(
        "The CW columns, and aa-10 against aa", "What do the CW columns measure, and is aa-10 above aa?",
        "bench run --preset table1 --attacks clean,cw-l2,cw-linf,aa,aa-10", attacks.attacks,
    ),
    Question(
        "Long-tailed against balanced test split",
        "Does the ranking change between the long-tailed and the balanced test split?",
        "bench run --preset table1 --test-split long-tailed,balanced", ranking.ranking,
    ),
    Question(
        "TAET against HARL", "HARL against TAET: what do the cross-entropy epochs give?",
        "bench run --methods harl,taet --datasets cifar10lt --irs 10 --models resnet18", paired.stages,
    ),
    Question(
        "The parts of HARL's loss", "Which part of HARL matters?",
        "bench run --methods 'harl,harl[alpha=0],harl[beta=0],harl[gamma=0]' --datasets cifar10lt --irs 10 "
        "--models resnet18", paired.parts,
    ),
    Question(
        "The official recipe", "What does the official recipe change?",
        "bench run --preset table5 --recipe paper,official", paired.recipes,
    ),
    Question("Cost", "What did it cost?", "bench run --preset table1", cost.cost),
)  # fmt: skip


@dataclass(frozen=True)
class Campaign:
    """What a block holds, told: how it is reduced exactly, test images by split, hours of one process."""

    block: Block
    exact: list[str]
    images: list[tuple[str, list[int]]]
    hours: float


def findings(root: Path) -> str:
    """The page for a results folder, as Markdown. Raises StoreError when the folder cannot be read."""
    store = Store(root)
    cells = store.source.cells.values()
    answered = [(q, [(block, a) for block in store.blocks if (a := q.answer(block))]) for q in QUESTIONS]
    bare = {one.cell for block in store.blocks for spot, one in block.evaluations
            if store.pairs.bits(one.cell, spot.split, spot.attack) is None}  # fmt: skip
    page = markdown_environment().get_template("findings.md.j2").render(
        layout=layout, method_label=method_label, paired=paired, attacks=attacks, cost=cost, blocks=store.blocks,
        answered=answered, campaigns=list(map(_campaign, store.blocks)), targets=cost.targets(store),
        cells=len(cells), done=sum(cell["status"] == "done" for cell in cells),
        failed=[cell for cell in cells if cell["status"] == "failed"], bare=sorted(bare),
        flags=sorted(Counter(flag for cell in cells for flag in cell.get("flags", ())).items()),
        problems=" ".join(store.source.problems).replace(f"{store.root}/", ""),
    )  # fmt: skip
    return re.sub(r"\n{3,}", "\n\n", page).strip() + "\n"


def _campaign(block: Block) -> Campaign:
    sizes: dict[str, set[int]] = {}
    for spot, one in block.evaluations:
        sizes.setdefault(spot.split, set()).add(int(one.n.sum()))
    seconds = sum(s["seconds"] for cell in block.runs for s in block.facts(cell).get("stages", {}).values())
    exact = sorted({one.reduced for _, one in block.evaluations if one.reduced})
    return Campaign(block, exact, [(s, sorted(sizes[s])) for s in block.splits if s in sizes], seconds / 3600)
