"""Coordinates: what is derived from one field each, and an axis that is added in four files."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.options import axes
from bench.config import CellSpec, Recipe, ThreatModel
from bench.engine.grid import parse_ratio
from bench.store.asked import command, crossed, fits, named, read
from bench.store.where import (
    AXES,
    BELONG,
    CONDITIONS,
    FIELDS,
    IDENTITIES,
    PAIRED,
    USUAL,
    Where,
    canonical,
)

SPEC = CellSpec(
    "taet",
    "cifar10lt",
    10.0,
    "resnet18",
    3,
    Recipe(epochs=5),
    (("beta", 0.5),),
    "beta=0.5",
    ThreatModel(0.1),
    class_order="reversed",
    precision="bf16",
    compile=True,
)
PLAIN = CellSpec("ce", "digitslt", None, "small-cnn", 0)


def test_every_coordinate_has_one_role_and_every_stored_one_a_place_in_a_row():
    stored = [name for name, f in FIELDS.items() if f.metadata["stored"]]
    assert sorted((*IDENTITIES, *AXES, *CONDITIONS)) == sorted(stored)
    assert set(Where.of(SPEC).row()) == set(stored)
    assert set(BELONG) < set(stored)


def test_a_row_reads_back_as_the_cell_it_is_of():
    where = Where.of(SPEC, source="cifar10", data_hash="d", test_split="balanced", attack="aa", benchmark="1")
    assert Where.of_row(where.row() | {"n": 1}) == where
    natural = Where.of(PLAIN, train_counts=(90, 40, 9), test_split="balanced")
    assert (natural.ir, natural.ratio) == (10.0, "natural")
    assert Where.of_row(natural.row(), natural=True).key(FIELDS) == natural.key(FIELDS)


def test_what_is_unusual_is_said_and_nothing_else():
    where = Where.of(SPEC, test_split="balanced")
    assert where.said() == {
        "reduced": "REDUCED RUN: epochs=5 of 100",
        "precision": "bf16, compiled",
        "class_order": "class order reversed",
    }
    assert where.heading().startswith("balanced test split, REDUCED RUN")
    assert Where.of(PLAIN).unusual() == {}
    assert set(USUAL) >= {"recipe", "reduced", "precision", "selection", "class_order"}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({}, []),
        ({"eps": 0.1 + 1e-12}, []),
        ({"eps": 0.2}, ["eps"]),
        ({"precision": "fp32"}, ["precision"]),
        ({"source": "x", "benchmark": "2"}, ["source", "benchmark"]),
        ({"seed": 9, "method": "ce"}, []),
    ],
)
def test_conditions_that_differ_are_named(change, names):
    where = Where.of(SPEC)
    assert where.differing(dataclasses.replace(where, **change)) == names


def test_a_command_makes_the_cells_again():
    wheres = [Where.of(SPEC, test_split="balanced", attack=a) for a in ("clean", "aa")]
    assert command(wheres, "--results", "r") == (
        "bench run --methods 'taet[beta=0.5]' --datasets cifar10lt --irs 10 --models resnet18 --attacks clean,aa "
        "--seeds 3 --test-split balanced --epochs 5 --precision bf16 --compile --class-order reversed --results r"
    )
    assert canonical("taet[steps=3,beta=0.50]+ema") == canonical("taet[beta=0.5,steps=3]+ema")


@pytest.mark.parametrize("ir", [10.12345678, 1234567.0, 10.0, 3.3333333333333335, 1e16])
def test_a_command_names_the_very_ratio(ir):
    where = Where.of(dataclasses.replace(SPEC, ir=ir))
    (irs,) = re.findall(r"--irs (\S+)", command([where]))
    assert parse_ratio(irs) == ir
    assert fits(where, "ir", (read("ir", irs),))
    assert Where.of_row(where.row(), natural=False).ratio == irs


def test_what_is_crossed_keeps_to_the_first_ones_conditions():
    places = [Where.of(SPEC), Where.of(PLAIN), Where.of(dataclasses.replace(SPEC, seed=4, init="f" * 16))]
    assert command(crossed(places, ["at+ema", "ce[lr=0.3]"], ["aa"], ["balanced"])) == (
        "bench run --methods 'at+ema,ce[lr=0.3]' --datasets cifar10lt --irs 10 --models resnet18 --attacks aa "
        "--seeds 3 --test-split balanced --epochs 5 --precision bf16 --compile --class-order reversed"
    )
    assert command(crossed(places[2:], ["ce"], [], [])).endswith(f"--class-order reversed --init {'f' * 16}")
    assert command(crossed(places[1:2], ["ce"], [], [])) == (
        "bench run --methods ce --datasets digitslt --irs natural --models small-cnn --seeds 0"
    )
    for text in ("ce", "taet[beta=0.5]", "at[steps=3]+ema[tau=0.9]+smoothing"):
        assert named(text).label == text


@pytest.mark.parametrize(
    ("name", "word", "other"),
    [
        ("method", "taet", "ce"),
        ("method", "taet[beta=0.5]", "taet[beta=1]"),
        ("precision", "bf16", "fp32"),
        ("precision", "compiled", "deterministic"),
        ("reduced", "epochs=5 of 100", "none"),
        ("ir", "10.0", "11"),
        ("seed", "3", "0"),
        ("init", "none", "f"),
        ("class_order", "reversed", "natural"),
    ],
)
def test_a_coordinate_is_chosen_by_a_word_of_the_command_line(name, word, other):
    assert fits(Where.of(SPEC), name, [other, read(name, word)])
    assert not fits(Where.of(SPEC), name, [read(name, other)])


def test_what_can_be_asked_for_is_what_a_grid_has_options_for():
    words = {word for option in axes.AXES for word in option(lambda: None).__click_params__[0].opts}
    given = {f.metadata["option"] for f in FIELDS.values() if isinstance(f.metadata["option"], str)} - {""}
    assert given <= words
    assert words - given == {
        "--preset", "--epochs", "--limit", "--precision", "--compile", "--deterministic", "--track", "--features"
    }  # fmt: skip


def test_pairs_share_all_that_a_specification_decides_but_method_and_seed():
    assert {"dataset", "ir", "model", "recipe", "reduced", "eps", "selection", "class_order", "precision"} <= {*PAIRED}
    assert not {"method", "variant", "seed", "attack", "source"} & {*PAIRED}


# ----------------------------------------------------------------------------------------------- an axis is added

#: file -> (line that stands there, line that is put behind it): the worked example of docs/architecture.md
SHADE = {
    "bench/config.py": (
        '    enhanced: str = setting("", later=True)\n',
        "    shade: float = setting(0.0, low=0.0, high=1.0, later=True)\n",
    ),
    "bench/cli/options/axes.py": (
        '    click.option("--features",',
        '    click.option("--shade", type=float, metavar="0..1", help="How dark the images are."),\n',
    ),
    "bench/store/schema.py": (
        "LATER: dict[str, str] = {",
        '\n    "shade": "Float64",  # 0 to 1\n',
    ),
    "bench/store/where.py": (
        "    benchmark: str = coordinate(",
        '    shade: float = coordinate(CONDITION, 0.0, usual=0.0, words="shade {:g}", option="--shade", digits=6)\n',
    ),
}
USED = """
from pathlib import Path
from bench.cli import main
from bench.store.results import Results

def run(*words):
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        return int(end.code or 0)

cell = ("run", "--methods", "ce,at", "--datasets", "digitslt", "--irs", "10", "--epochs", "1", "--limit", "4",
        "--attacks", "clean,fgsm", "--jobs", "0", "--yes", "--quiet")
assert run(*cell, "--results", "both") == run(*cell, "--shade", "0.5", "--results", "both") == 0
assert run(*cell, "--shade", "0.5", "--results", "dark") == run(*cell, "--results", "light") == 0
assert run(*cell, "--shade", "2", "--results", "both") == 2
found = Results(Path("both"))
assert not found.problems and set(found.rows["shade"]) == {0.0, 0.5}
heads = [(found.folder(cell.id) / "per_class.csv").read_text().splitlines()[0] for cell in found.cells]
assert sorted(head.endswith(",shade") for head in heads) == [False, False, True, True]
assert run("verify", "--results", "both") == 0
assert run("compare", "at", "ce", "--results", "both") == 0  # two pairs, each of one shade
assert run("check", "--results", "dark", "--against", "light", "--allow-missing") == 1
assert run("report", "--results", "both", "--output", "page", "--format", "markdown", "--figures", "none") == 0
"""


def test_an_axis_of_cells_is_added_in_four_files(project: Path, tmp_path: Path) -> None:
    """A copy of the project with four more lines trains, stores, verifies, compares, checks and reports it."""
    for name in ("bench", "baselines", "methods", "enhancers", "reports", "results"):
        source = project / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "measured", "runs")
            shutil.copytree(source, tmp_path / ("bench" if name == "bench" else f"bench/{name}"), ignore=ignored)
    for file, (before, more) in SHADE.items():
        path = tmp_path / file
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, file
        behind = before.endswith(("\n", "{"))
        path.write_text(text.replace(before, before + more if behind else more + before), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", USED],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    assert "shade differs: reference 0, measured 0.5" in done.stdout
    page = (tmp_path / "page" / "report.md").read_text(encoding="utf-8")
    assert "shade 0.5" in page
    assert "--shade 0.5" in page
    assert "at IR 10 small-cnn" not in page  # headings say what is unusual, nothing else


def test_the_page_shows_the_worked_example(project: Path) -> None:
    page = (project / "docs" / "architecture.md").read_text(encoding="utf-8")
    for file, (_, more) in SHADE.items():
        assert f"`{file}`" in page
        assert more.strip() in page
