"""Entries of a leaderboard as they would be submitted, from counts that are easy to reckon with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.board.derive import numbers
from bench.board.entry import AttackFacts, Class, Entry, Run, written
from bench.board.submit import file_name

N = (100, 50, 20, 10)
WHERE = {
    "method": "taet", "variant": "", "dataset": "cifar10lt", "ir": 10.0, "model": "resnet18", "source": "cifar10",
    "data_hash": "d" * 16, "test_split": "long-tailed", "recipe": "paper", "reduced": "", "precision": "fp32",
    "eps": 8 / 255, "selection": "seeded", "class_order": "natural", "benchmark": "1",
}  # fmt: skip


def make(
    method: str = "taet",
    aa: tuple[tuple[int, ...], ...] = ((60, 20, 6, 2),),
    *,
    weights: str = "a1b2c3d4e5f60718",
    code: str = "https://example.org/code",
    flags: tuple[str, ...] = (),
    extra_data: str = "",
    paper: str = "One",
    url: str = "https://example.org/paper",
    **where: object,
) -> Entry:
    """An entry of four classes; `aa`: correct images a class of each seed."""
    runs = [
        Run(
            seed,
            f"{method}-cell-s{seed}",
            weights,
            {"clean": [90, 40, 14, 6], "aa": list(correct)},
            {"clean": [], "aa": list(flags)},
        )
        for seed, correct in enumerate(aa)
    ]
    facts = {"clean": AttackFacts("bench", "none", None, {}, []), "aa": AttackFacts("bench", "linf", 8 / 255, {}, [])}
    classes = [Class(i, name, 5000 // 2**i, n) for i, (name, n) in enumerate(zip("abcd", N, strict=True))]
    made = Entry(1, WHERE | {"method": method, **where}, False, paper, url, code, extra_data, classes, facts, runs, {})
    made.numbers = numbers(made)
    return made


@pytest.fixture
def entry() -> Callable[..., Entry]:
    return make


def fill(folder: Path, *entries: Entry) -> Path:
    """A leaderboard's folder with these entries."""
    (folder / "entries").mkdir(parents=True, exist_ok=True)
    for made in entries:
        (folder / "entries" / file_name(made)).write_bytes(written(made))
    return folder


SEEDS = ((60, 22, 7, 3), (61, 21, 8, 3), (62, 22, 7, 4))
BOARD = (
    make("at-bsl+ema", SEEDS),
    make("taet", ((52, 20, 5, 2), (50, 19, 4, 2), (53, 18, 5, 1))),
    make("trades", ((60, 21, 7, 3), (60, 22, 7, 3), (61, 22, 7, 3))),
    make(
        "<b>bold</b>",
        ((90, 40, 14, 6),),
        weights="",
        extra_data="1M generated images",
        paper="<script>alert(1)</script>",
    ),
    make("hard", ((80, 30, 10, 5),), flags=("zero-gradient", "small-class")),
    make("short", ((40, 10, 2, 0),), model="wrn-34-10", reduced="epochs=5 of 100"),
    make("ce", ((0, 0, 0, 0),)),
    make("taet", ((30, 12, 3, 1),), ir=50.0),
)
