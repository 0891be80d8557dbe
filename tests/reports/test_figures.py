"""Figures are drawn from what is there, say what is missing, and give the same bytes each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.registry import registry
from bench.reports.model import Figure
from bench.reports.source import Source


def drawn(root: Path, name: str, **options: Any) -> list[Figure]:
    return list(registry("figures").get(name)().figures(Source(root), **options))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    import importlib.util

    spec = importlib.util.spec_from_file_location("synthetic", Path(__file__).parent / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    synthetic = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(synthetic)
    folder = tmp_path_factory.mktemp("figures")
    for method in ("at-bsl", "taet", "trades", "at"):
        synthetic.write_cell(folder, method, epochs=True, features=True, names=("a_b", "$x$", "猫", "d%", "e", "f"))
    synthetic.write_cell(folder, "harl", epochs=True, names=("a_b", "$x$", "猫", "d%", "e", "f"))
    for variant in ("ce_epochs=0", "alpha=0", "step=1/255", "step=1/255,steps=5"):
        synthetic.write_cell(folder, "taet", variant=variant, epochs=True)
    return folder


@pytest.mark.parametrize("number", range(1, 10))
def test_drawn_or_said_to_be_missing(root: Path, number: int) -> None:
    figure = drawn(root, f"fig{number}", suffixes=("svg",))[0]
    assert figure.title == f"Figure {number}"
    if number == 5:
        assert figure.files == {}
        assert figure.commands == (f"bench run --preset fig5 --results {root}",)
    else:
        assert figure.files["svg"].lstrip().startswith(b"<?xml")
        assert len(figure.alt) > 30


@pytest.mark.parametrize("number", [1, 3, 4, 9])
def test_same_bytes(root: Path, number: int) -> None:
    first, second = (drawn(root, f"fig{number}")[0].files for _ in range(2))
    assert first.keys() == {"svg", "pdf"}
    assert first == second


def test_missing_runs_are_named_with_their_command(root: Path) -> None:
    figure = drawn(root, "fig7", suffixes=())[0]
    assert "clean, pgd-20, aa of TAET[ce_epochs=10]" in figure.missing[0]
    assert "--methods 'taet[ce_epochs=10]," in figure.commands[0]


def test_curves_are_the_counts_over_the_test_counts(root: Path) -> None:
    source = Source(root)
    figure = registry("figures").get("fig2")()
    panel = next(iter(figure.panels(source, None, None)))
    config = next(c for c in source.configs(panel.setting) if c.method == "taet" and not c.params)
    epochs, recall = figure.tracked(source, panel, config, "pgd-20")
    frame = figure.curves(source, panel, config)[0]
    counts = np.asarray(next(iter(source.cells.values())).seen.test_counts["long-tailed"])
    assert list(epochs) == list(range(1, 21))
    expected = 100 * frame[[f"pgd-20:{c}" for c in range(6)]].to_numpy() / counts
    np.testing.assert_allclose(recall, expected)


def test_seconds_of_figure_9_are_those_of_the_log(root: Path) -> None:
    assert "5 steps 54, 10 steps 85" in drawn(root, "fig9", suffixes=())[0].alt


def test_nothing_measured_gives_the_preset(tmp_path: Path) -> None:
    for number in (1, 2, 3, 5, 6, 7, 8, 9):
        figure = drawn(tmp_path, f"fig{number}")[0]
        assert figure.files == {}
        assert figure.commands == (f"bench run --preset fig{number} --results {tmp_path}",)
        assert figure.missing
    assert "curves (clean, pgd-20) of AT-BSL, TAET" in drawn(tmp_path, "fig2")[0].missing[0]


def test_memory_only_of_runs_that_know_their_own_peak_and_time_of_adversarial_epochs(
    tmp_path: Path, make_cell: Any
) -> None:
    _, old, plain = (make_cell(tmp_path, m, epochs=True) for m in ("taet", "at", "at-bsl"))
    edit = tmp_path / old / "cell.json"
    edit.write_text(edit.read_text().replace('"weights"', '"no_weights"'))
    curves = tmp_path / plain / "epochs.csv"
    curves.write_text(curves.read_text().replace("adversarial", "natural"))
    figure = drawn(tmp_path, "fig6", suffixes=("svg",))[0]
    assert "TAET 85 s, 1940 MiB" in figure.alt
    assert "AT 85 s;" in figure.alt.replace(".", ";")
    assert "AT-BSL" not in figure.alt
    assert [line for line in figure.missing if line.startswith("memory")] == [
        "memory of AT: these runs hold the peak of their whole process only"
    ]


def test_cost_is_told_once_for_all_test_splits(tmp_path: Path, make_cell: Any) -> None:
    for method in ("taet", "at"):
        make_cell(tmp_path, method, source="another", splits=("long-tailed", "balanced"), epochs=True)
    splits = [f.data for f in drawn(tmp_path, "fig6", suffixes=("svg",)) if f.files]
    assert len(splits) == 1
    assert "long-tailed test split" in splits[0]
