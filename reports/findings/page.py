"""The page: every answer in short, what was measured, then question by question and setting by setting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.reports.findings import attacks, cost, parts, ranking, recipes, superiority, two_stages
from bench.reports.findings.block import Block, Store
from bench.reports.findings.difference import LEGEND
from bench.reports.findings.layout import ABSENT, between, bullets
from bench.reports.findings.limits import limits
from bench.reports.findings.question import Answer, Question
from bench.reports.text import markdown

QUESTIONS = (
    superiority.QUESTION, attacks.QUESTION, ranking.QUESTION, two_stages.QUESTION, parts.QUESTION, recipes.QUESTION,
    cost.QUESTION,
)  # fmt: skip
#: the block that counts most
PAPER = "Under the paper's own settings (CIFAR-10-LT, ResNet-18, the full recipe)"

#: what each block says to a question; blocks without the cells it needs are left out
Answers = list[tuple[Block, Answer]]


def findings(root: Path) -> str:
    """The page for a results folder, as Markdown. Raises StoreError when the folder cannot be read."""
    store = Store(root)
    answered = [(q, [(block, a) for block in store.blocks if (a := q.answer(block))]) for q in QUESTIONS]
    page = ["# Findings", *_short(store, answered), "## What was measured", *_measured(store)]
    for question, answers in answered:
        page += [f"## {question.title}", *_long(store, question, answers)]
    page += ["## What cannot be said", *limits(store)]
    return "\n\n".join(page) + "\n"


def _short(store: Store, answered: list[tuple[Question, Answers]]) -> Iterator[str]:
    yield "This page is written by `bench findings` from the stored counts; no number in it is typed."
    yield "## In short"
    lone = len(store.blocks) == 1
    if lone:
        yield f"All of it is of one setting: {markdown(store.blocks[0].title)}."
    lines = []
    for question, answers in answered:
        said = [_absent(question)] if not answers else [answers[0][1].short] if lone else []
        closing = [question.closing(store).short] if question.closing else []
        lines.append(" ".join([f"- **{question.topic}.**", *said, *closing]))
        if not lone:
            lines += [f"    - *{_label(b)}, {markdown(b.title)}.* {a.short}" for b, a in answers]
    yield "\n".join(lines)
    if not any(block.own for block in store.blocks):
        yield f"{PAPER}: {ABSENT} (`bench run --preset paper`)."


def _measured(store: Store) -> Iterator[str]:
    cells = store.source.cells.values()
    done = sum(cell["status"] == "done" for cell in cells)
    yield f"{done} cells are done, {len(cells) - done} failed or unfinished."
    if store.blocks:
        yield bullets(f"**{_label(block)}**: {_described(block)}" for block in store.blocks)
    yield LEGEND
    if any(block.setting.dataset.partition(":")[1] for block in store.blocks):
        yield "Commands for a data set that is a file also need `--data-root DIR`, the folder it lies in."


def _label(block: Block) -> str:
    return f"Setting {block.number}"


def _described(block: Block) -> str:
    """The whole setting, and how much of it there is."""
    exact = sorted({one.reduced for _, one in block.evaluations if one.reduced})
    reduced = f" Reduced: {markdown(' or '.join(exact))} ([what limit does](data.md#the-law))." if exact else ""
    sizes: dict[str, set[int]] = {}
    for spot, one in block.evaluations:
        sizes.setdefault(spot.split, set()).add(int(one.n.sum()))
    images = ", ".join(f"{between(sizes[split], 0)} {split}" for split in block.splits if split in sizes)
    hours = sum(s["seconds"] for cell in block.runs for s in block.facts(cell).get("stages", {}).values()) / 3600
    return (
        f"{markdown(block.title)}.{reduced} Test images: {images}. {len(block.runs)} cells, {hours:.1f} hours of one "
        "process."
    )


def _long(store: Store, question: Question, answers: Answers) -> Iterator[str]:
    for block, answer in answers:
        if len(store.blocks) > 1:
            yield f"### {_label(block)}: {markdown(block.title)}"
        yield from answer.body
    if not answers:
        yield _absent(question)
    elif not any(block.own for block, _ in answers):
        yield f"{PAPER}: {ABSENT} (`{question.command}`)."
    if question.closing:
        yield from question.closing(store).body


def _absent(question: Question) -> str:
    return f"N{ABSENT[1:]} (`{question.command}`)."
