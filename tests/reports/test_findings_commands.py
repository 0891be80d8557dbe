"""The commands that the findings page names for the paper's own settings measure what it says they do."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench.cli import run
from bench.cli.options.grid import price
from bench.config import Task
from bench.engine.grid import Axes
from bench.reports.findings import QUESTIONS
from bench.reports.findings.claims import CLAIMS, OURS, Claim, answer
from bench.reports.findings.page import Question
from bench.reports.findings.setting import Setting, settings
from bench.reports.source import Source

from .test_findings import measured

BY_KEY = {question.key: question for question in QUESTIONS}
#: of data with an imbalance of their own
NATURAL = {"dermamnist": 58.66}


def planned(command: str, root: Path) -> list[Task]:
    """The cells of the commands, one a line, as a dry run has them."""
    found = []
    for line in command.splitlines():
        made = run.command.make_context("run", shlex.split(line)[2:])
        axes: dict[str, Any] = {name: made.params[name] for name in Axes.__dataclass_fields__ if name in made.params}
        found += price(made.params["preset"], root, root, "cpu", axes).tasks
    return found


def filled(command: str, root: Path) -> Setting:
    """The one setting of a results folder in which everything has been run that the commands name."""
    for task in planned(command, root / "data"):
        spec = task.spec
        own = NATURAL.get(spec.dataset)
        measured(
            root / "store",
            spec.method + spec.enhanced,
            spec=spec,
            variant=spec.variant,
            model=spec.model,
            dataset=spec.dataset,
            source=spec.dataset.removesuffix("lt"),
            ir=own or spec.ir,
            natural=own is not None,
            splits=tuple(dict.fromkeys(one.test_split for one in task.want.evaluations)),
            attacks=tuple(dict.fromkeys(one.attack.label for one in task.want.evaluations)),
            largest=(500, 20),
        )
    (setting,) = settings([Source(root / "store")])
    return setting


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Setting]:
    """`filled`, once for each of the commands."""
    return cache(lambda command: filled(command, tmp_path_factory.mktemp("filled")))


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda one: one.key)
def test_what_a_question_names_answers_it_in_the_papers_own_settings(
    stores: Callable[[str], Setting], question: Question
) -> None:
    setting = stores(question.command)
    assert setting.own
    assert len(question.answer(setting)) > 0
    assert any(config.method == OURS for config, _ in setting.runs.values())


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda one: one.key)
def test_what_is_named_for_a_claim_leaves_nothing_of_it_unmeasured(
    stores: Callable[[str], Setting], claim: Claim
) -> None:
    setting = stores(claim.command or BY_KEY[claim.question].command)
    assert setting.medical if claim.medical else setting.own
    told = answer(claim, [[setting]], lambda key, one: BY_KEY[key].answer(one))
    assert told.gaps
    assert not told.lacking
