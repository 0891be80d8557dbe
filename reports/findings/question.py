"""What the page is made of: a question, how a block answers it, and what measures the cells it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.reports.findings.block import Block, Store


@dataclass(frozen=True)
class Answer:
    """`short`: what the head of the page says, one sentence or two. `body`: paragraphs and tables."""

    short: str
    body: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """`topic`: its name at the head of the page, `title`: its heading, `command`: what measures it as the paper does.

    `answer`: what one block says, None when it lacks the cells. `closing`: what is said of the whole store in the end.
    """

    topic: str
    title: str
    command: str
    answer: Callable[[Block], Answer | None]
    closing: Callable[[Store], Answer] | None = None
