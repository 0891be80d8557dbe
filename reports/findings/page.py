"""The page: an answer to every claim, what was measured, then each question; scales that decide none below a fold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.reports import footnote
from bench.reports.findings import (
    attribution,
    claims,
    cost,
    effects,
    factors,
    marked,
    measures,
    numbers,
    picture,
    questions,
    scales,
    trials,
)
from bench.reports.findings.setting import Setting, settings
from bench.reports.paper import method_label
from bench.reports.render import markdown_environment
from bench.reports.source import Source

#: the drawing of each claim, in a folder beside the page
DRAWINGS = {f"pictures/findings-{claim.key}.svg": claim for claim in claims.CLAIMS}


#: data and network of the paper's main tables, as commands have them
CELLS = "--datasets cifar10lt --irs {} --models resnet18"
#: both methods as their papers state them, and with each trick
TRICKED = ",".join(f"{base}{trick}" for base in ("at-bsl", "taet")
                   for trick in ("", "+ema", "+awp", "+robustlt", "+balanced-sampler"))  # fmt: skip
WITH_TRICKS = f"bench run --methods {TRICKED} {CELLS.format('10,50')}"


@dataclass(frozen=True)
class Question:
    """`title`: its heading, `command`: what measures it as the paper does, `answer`: typed rows of one setting.

    Several commands stand on a line each. The answer is nothing where the setting lacks the cells; its name is that of
    the template's macros for it.
    """

    title: str
    command: str
    answer: Callable[[Setting], Any]

    @property
    def key(self) -> str:
        """Its name in the template."""
        return self.answer.__name__


QUESTIONS = (
    Question("Does TAET beat AT-BSL in balanced robustness under AutoAttack?", "bench run --preset table5",
             questions.superiority),
    Question("Does TAET beat the other methods?",
             f"bench run --preset table1 --irs 10,50\nbench run --methods harl {CELLS.format('10,50')}",
             questions.rivals),
    Question("Does a baseline of this project beat TAET at its cost?",
             f"bench run --methods two-stage-bsl,two-stage-bsl+ema,taet,at-bsl {CELLS.format(10)}", questions.own),
    Question("HARL against TAET: what do the cross-entropy epochs give?",
             f"bench run --methods harl,taet {CELLS.format(10)}", questions.stages),
    Question("Where does the distance between TAET and AT-BSL come from, the loss or the clean epochs?",
             f"bench run --methods at-bsl,two-stage-bsl,harl,taet {CELLS.format(10)}", factors.origin),
    Question("Which part of HARL matters?",
             "bench run --methods 'harl,harl[alpha=0],harl[beta=0],harl[gamma=0],"
             f"taet,taet[alpha=0],taet[beta=0],taet[gamma=0]' {CELLS.format(10)}", factors.parts),
    Question("What do other clean epochs, steps and step sizes change?",
             "bench run --preset fig7\nbench run --preset table9\nbench run --preset table10", factors.varied),
    Question("What does the official recipe change?", "bench run --preset table5 --recipe paper,official",
             questions.recipes),
    Question("With equal tricks, does TAET beat AT-BSL?", WITH_TRICKS, attribution.tricks),
    Question("What is each trick worth, and to which classes?", WITH_TRICKS, attribution.gains),
    Question("Does RobustLT help the rare classes, and what do the frequent ones pay?",
             f"bench run --methods at-bsl,at-bsl+robustlt,taet,taet+robustlt {CELLS.format('10,50')}",
             attribution.rare),
    Question("What do the CW columns measure, and is aa-10 above aa?",
             "bench run --preset table1 --attacks clean,cw-l2,cw-linf,aa,aa-10", measures.attacks),
    Question("Does the ranking change between the long-tailed and the balanced test split?",
             "bench run --preset table1 --test-split long-tailed,balanced", measures.ranking),
    Question("What did it cost?", "bench run --preset table1", cost.cost),
)  # fmt: skip


@dataclass(frozen=True)
class Campaign:
    """What a setting holds, told: how it is reduced exactly, test images by split, hours of one process.

    `older`: what of its code has changed since.
    """

    setting: Setting
    older: str
    exact: list[str]
    images: list[tuple[str, list[int]]]
    hours: float


@dataclass(frozen=True)
class Page:
    """The page as Markdown, and the drawings that it shows, by their path beside it."""

    text: str
    pictures: dict[str, str]


def findings(*roots: Path) -> Page:
    """The page for results folders. Raises StoreError when one cannot be read."""
    sources = [Source(root) for root in roots]
    found = settings(sources)
    groups: dict[Any, list[Setting]] = {}
    for setting in found:
        groups.setdefault(setting.scale, []).append(setting)
    by_key = {question.key: question for question in QUESTIONS}

    @cache
    def asked(key: str, setting: Setting) -> Any:
        return by_key[key].answer(setting)

    def fullest(key: str, some: Sequence[Setting]) -> list[Setting]:
        """The settings that measured most of a question, of data with an imbalance of their own and of others."""
        kinds = {one.where.natural: one for one in sorted(some, key=lambda one: len(asked(key, one)))}
        return list(kinds.values())

    answers = [claims.answer(claim, list(groups.values()), asked) for claim in claims.CLAIMS]
    telling = Counter(one.setting for one in answers if one.setting and one.telling)
    front = [group for group in groups.values() if not telling.keys().isdisjoint(group)] or list(groups.values())[:1]
    shown = [setting for group in front for setting in group]
    for number, setting in enumerate([*shown, *(one for one in found if one not in shown)], 1):
        setting.number = number
    pictures = {
        path: picture.draw([(a.setting, gap) for a in one.seen(shown) if a.setting for gap in a.gaps], one.claim.sides)
        for path, one in zip(DRAWINGS, answers, strict=True)
        if one.setting in shown
    }
    cells = [cell for source in sources for cell in source.cells.values()]
    text = (
        markdown_environment()
        .get_template("findings.md.j2")
        .render(
            numbers=numbers,
            method_label=method_label,
            questions=questions,
            marked=marked,
            measures=measures,
            cost=cost,
            effects=effects,
            claims=claims,
            QUESTIONS=QUESTIONS,
            drawings=dict(zip(claims.CLAIMS, DRAWINGS, strict=True)),
            settings=found,
            front=shown,
            main=max(shown, key=lambda setting: telling[setting], default=None),
            folded=[group for group in groups.values() if group not in front and _answers(group, asked)],
            scales=scales.scales(found),
            trials=trials.together(trials.trials(found)),
            answers=answers,
            asked=asked,
            fullest=fullest,
            campaigns={one: _campaign(one) for one in found},
            targets=[(one, one.measured(found)) for one in cost.TARGETS],
            cells=len(cells),
            done=sum(cell.status == "done" for cell in cells),
            failed=[cell for cell in cells if cell.status == "failed"],
            bare=sorted({cell for setting in found for cell in setting.bare()}),
            flags=sorted(Counter(flag for cell in cells for flag in cell.flags).items()),
            problems=" ".join(p.replace(f"{source.root}/", "") for source in sources for p in source.problems),
        )
    )
    return Page(re.sub(r"\n{3,}", "\n\n", text).strip() + "\n", pictures)


def _answers(group: Sequence[Setting], asked: Callable[[str, Setting], Any]) -> bool:
    """Whether these settings say anything besides what they cost: a trial of a network alone does not."""
    return any(asked(question.key, one) for question in QUESTIONS for one in group if question.answer is not cost.cost)


def _campaign(setting: Setting) -> Campaign:
    sizes: dict[str, set[int]] = {}
    for spot, one in setting.evaluations:
        sizes.setdefault(spot.split, set()).add(int(one.n.sum()))
    seconds = sum(stage.seconds for cell in setting.runs for stage in setting.facts(cell).stages.values())
    exact = sorted({one.where.reduced for _, one in setting.evaluations if one.where.reduced})
    images = [(split, sorted(sizes[split])) for split in setting.splits if split in sizes]
    older = footnote.older(setting.source, [one for _, one in setting.evaluations])
    return Campaign(setting, older, exact, images, seconds / 3600)
