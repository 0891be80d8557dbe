"""What the page says first: who is highest under attack, who is not told apart from it, and what chance would give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.judge.paired import compare, holm
from bench.reports import render
from bench.reports.model import Card
from bench.reports.paired.pairing import Pairs
from bench.reports.report import make
from bench.reports.source import Source
from bench.store.flags import FLAGS

from .test_findings import measured

#: levels far enough apart to be told, on 1,000 images
LEVELS = {"at": 0.9, "taet": 0.88, "trades": 0.4}


def opened(root: Path, **more: Any) -> Any:
    return make(root, tables=["overview", "table01"], figures=[], suffixes=("svg",), **more)


def said(card: Card) -> str:
    return " ".join(card.sentences).replace("\u00a0", " ")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answers")
    for method, level in LEVELS.items():
        for seed in (0, 1, 2):
            measured(folder, method, seed=seed, level=level)
    return folder


def test_the_card_says_what_the_paired_test_says(root: Path) -> None:
    (card,) = opened(root).cards
    source = Source(root)
    (setting,) = source.index
    found = {c.method: source.evaluations(setting, c, "aa") for c in source.configs(setting)}
    means = {m: 100 * source.estimate(some, "balanced").value for m, some in found.items()}
    best = max(means, key=lambda m: means[m])
    pairs = Pairs(source)
    results = {
        m: compare(
            [
                (pairs.bits(a.cell, "long-tailed", "aa"), pairs.bits(b.cell, "long-tailed", "aa"))  # type: ignore[misc]
                for a, b in zip(found[best], some, strict=True)
            ]
        )
        for m, some in found.items()
        if m != best
    }
    verdicts = dict(
        zip(
            results,
            (r.verdict(p) for r, p in zip(results.values(), holm([r.p for r in results.values()]), strict=True)),
            strict=True,
        )
    )
    assert verdicts["trades"] == "better"
    assert said(card).startswith(f"Highest under AA: {best.upper()}, {means[best]:.2f} % balanced accuracy")
    worse = said(card).split("Worse: ")[1].split(". ")[0]
    assert f"TRADES ({means['trades'] - means[best]:.2f})".replace("-", "−") in worse
    other = next(m for m in ("at", "taet") if m != best)
    if verdicts[other] == "not distinguishable":
        assert f"Not distinguishable from it: {other.upper()} (" in said(card)
    assert card.figure.files["svg"]
    assert f"{best.upper()} " in card.figure.alt


def test_only_what_is_tested_is_marked_in_the_page(root: Path, tmp_path: Path) -> None:
    report = opened(root)
    table = report.tables[0]
    words = {
        (row.labels[0], column.attack): render.stands(report, cell)
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
    }
    assert sorted(words[m, "aa"] == "best" for m in ("AT", "TAET", "TRADES")) == [False, False, True]
    assert words["TRADES", "aa"] == "worse"
    assert {word for (_, attack), word in words.items() if attack not in ("clean", "aa")} == {""}
    (page,) = render.html(report, tmp_path)
    shown = page.read_text(encoding="utf-8")
    assert shown.index('id="answers"') < shown.index('id="overview"')
    assert shown.count("●") > 1


def test_the_strongest_attack_stands_first(root: Path) -> None:
    table = render.by_strength(opened(root).tables[0])
    assert [c.attack for c in table.columns][:2] == ["clean", "aa"]
    assert [c.attack for c in table.columns][-2:] == ["fgsm", "cw-l2"]
    first, second = (
        {(c.selector, c.value) for row in t.rows for c in row.cells} for t in (table, opened(root).tables[0])
    )
    assert first == second


def test_numbers_that_stand_twice_are_open_once(root: Path) -> None:
    report = opened(root)
    own = {t.key for t in report.tables if not t.is_overview}
    balanced = next(t.key for t in report.tables if t.is_overview)
    assert not own & report.folded
    assert balanced in report.folded, "Table 1 holds all of it"


def test_chance_is_that_of_a_constant_answer(tmp_path: Path) -> None:
    names = tuple("abcde")
    measured(tmp_path, "at", names=names, level=0.2, attacks=("clean", "aa"))
    measured(tmp_path, "ce", names=names, level=0.9, attacks=("clean", "aa"))
    report = opened(tmp_path)
    balanced, standard = (next(t for t in report.tables if t.caption.startswith(kind)) for kind in ("Bal", "Sta"))
    n = np.array([int(100 * 10 ** (-i / 4)) for i in range(5)])
    assert {cell.chance for cell in balanced.cells} == {20.0}
    assert {round(cell.chance or 0, 9) for cell in standard.cells} == {round(100 * n.max() / n.sum(), 9)}
    assert "At or below a constant answer (20.00 %): AT." in said(report.cards[0])
    (page,) = render.html(report, tmp_path)
    low = [c for c in balanced.cells if c.value is not None and c.value <= 20]
    assert low
    assert page.read_text().count("≤ chance</small>") >= len(low)


def test_a_flagged_number_is_never_highest(tmp_path: Path) -> None:
    flag = next(f.name for f in FLAGS if f.invalid)
    measured(tmp_path, "at", level=0.9, flags=flag)
    measured(tmp_path, "taet", level=0.4)
    measured(tmp_path, "trades", level=0.3)
    (card,) = opened(tmp_path).cards
    assert "Highest under AA: TAET" in said(card)
    assert any(note.text.endswith("AT; takes no part") for note in card.flags)


def test_the_best_may_have_no_clean_number(tmp_path: Path) -> None:
    for method, level in (("at", 0.3), ("trades", 0.4)):
        measured(tmp_path, method, level=level)
    measured(tmp_path, "taet", level=0.9, attacks=("aa",))
    (card,) = opened(tmp_path).cards
    assert "all are flagged" not in said(card)
    assert "Highest under AA: TAET" in said(card)
    assert "(not measured clean)" in said(card)
    assert "TAET" not in card.figure.alt


def test_a_rival_that_is_better_on_shared_seeds_is_not_called_alike(tmp_path: Path) -> None:
    measured(tmp_path, "taet", seed=0, level=0.5)
    for seed, level in enumerate((0.9, 0.1, 0.1)):
        measured(tmp_path, "at-bsl", seed=seed, level=level)
    (card,) = opened(tmp_path).cards
    assert "Highest under AA: TAET" in said(card)
    assert "Better on the seeds that both have, though its mean over all its seeds is lower: AT-BSL (+" in said(card)
    assert "Not distinguishable" not in said(card)


def test_without_bits_nothing_is_said_of_differences(tmp_path: Path, make_cell: Any) -> None:
    for method in ("at", "taet"):
        make_cell(tmp_path, method)
    report = opened(tmp_path)
    (card,) = report.cards
    assert "Nothing is said of differences" in said(card)
    assert "Not distinguishable" not in said(card)
    assert set(report.standing.values()) == {"best", "not paired"}
