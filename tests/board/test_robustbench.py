"""Entries under RobustBench's field names: all, as text, standard accuracies as theirs, ours beside them."""

from __future__ import annotations

import json

import pytest

from bench.board.robustbench import model_info
from bench.cli import main

from .conftest import SEEDS, N, fill

#: what its files hold, and what some of them hold besides
FIELDS = {
    "link", "name", "authors", "additional_data", "number_forward_passes", "dataset", "venue", "architecture", "eps",
    "clean_acc", "reported", "autoattack_acc", "footnote", "unreliable",
}  # fmt: skip


def test_its_fields_and_ours(entry):
    told = json.loads(model_info(entry("at-bsl", SEEDS)))
    assert set(told) > FIELDS
    standard = 100 * sum(map(sum, SEEDS)) / 3 / sum(N)
    balanced = 100 * sum(k / n for seed in SEEDS for k, n in zip(seed, N, strict=True)) / 3 / len(N)
    assert told["autoattack_acc"] == f"{standard:.2f}"
    assert told["balanced_autoattack_acc"] == f"{balanced:.2f}"
    low, high = map(float, told["balanced_autoattack_interval_95"])
    assert low < balanced < high
    assert (told["eps"], told["additional_data"], told["unreliable"]) == ("8/255", False, False)


def test_a_link_is_an_address_or_nothing(entry):
    """Code of this project is a version and a commit; it stands under a name of our own."""
    own = "robust-longtail-bench 0.1.0"
    told = json.loads(model_info(entry(code=own, url="")))
    assert (told["link"], told["code"]) == ("", own)
    assert json.loads(model_info(entry(code=own, url="https://a.test/1")))["link"] == "https://a.test/1"
    assert json.loads(model_info(entry(code="https://a.test/code", url="")))["link"] == "https://a.test/code"


def test_doubt_and_extra_data_are_said(entry):
    told = json.loads(model_info(entry(flags=("zero-gradient",), extra_data="1M images", code="")))
    assert told["unreliable"] is True
    assert told["additional_data"] is True
    assert "zero-gradient" in told["footnote"]
    assert "Claimed, not measured: no code." in told["footnote"]


def test_the_verb_writes_one_file_an_entry(entry, tmp_path):
    board = fill(tmp_path / "board", entry(), entry("trades", ((50, 20, 6, 2),)))
    with pytest.raises(SystemExit) as caught:
        main(["leaderboard", str(board), "--robustbench", str(tmp_path / "info")])
    assert caught.value.code == 0
    assert {json.loads(p.read_text())["name"] for p in (tmp_path / "info").iterdir()} == {"taet", "trades"}
