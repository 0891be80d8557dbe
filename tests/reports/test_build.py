"""The numbers of a table against counts written by hand, its ranks, verdicts, marks and missing cells."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.config import BENCHMARK_VERSION, CellSpec
from bench.errors import StoreError, UsageError
from bench.judge.paper import check_paper
from bench.judge.reference import paper_tables
from bench.registry import registry
from bench.reports import paper, text
from bench.reports.model import PaperNumber, Table, Verdict
from bench.reports.pages import DAMAGED
from bench.reports.report import make
from bench.reports.source import Source
from bench.store.provenance.identity import code
from bench.store.results import Results
from bench.store.schema import CELL


def cell_of(table: Table, row: tuple[str, ...], column: str, group: str = "") -> Any:
    at = next(i for i, c in enumerate(table.columns) if c.label == column and c.group in ("", group))
    return next(r for r in table.rows if r.labels == row).cells[at]


def only(root: Path, name: str, **options: Any) -> list[Table]:
    return list(make(root, tables=[name], figures=[], **options).tables)


def counts(root: Path, cell: str, attack: str, split: str = "long-tailed") -> tuple[np.ndarray, np.ndarray]:
    with (root / cell / "per_class.csv").open(encoding="utf-8", newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["attack"] == attack and r["test_split"] == split]
    return np.array([int(r["n"]) for r in rows]), np.array([int(r["correct"]) for r in rows])


def test_every_metric_is_that_of_the_counts(tmp_path: Path, make_cell: Any) -> None:
    ids = [make_cell(tmp_path, "taet", seed=s) for s in (0, 1)]
    both = [counts(tmp_path, i, "pgd-20") for i in ids]
    balanced = 100 * np.mean([np.mean(k / n) for n, k in both])
    standard = 100 * np.mean([k.sum() / n.sum() for n, k in both])
    truck = 100 * np.mean([k[9] / n[9] for n, k in both])
    assert cell_of(only(tmp_path, "table01")[0], ("TAET",), "PGD-20").value == pytest.approx(balanced)
    assert cell_of(only(tmp_path, "table06")[0], ("TAET",), "PGD-20").value == pytest.approx(standard)
    assert cell_of(only(tmp_path, "table02")[0], ("TAET",), "truck", "PGD-20").value == pytest.approx(truck)
    found = {t.caption.split(":")[0]: t for t in only(tmp_path, "overview")}
    tail = 100 * np.mean([np.mean(k[5:] / n[5:]) for n, k in both])
    worst = 100 * np.mean([np.min(k / n) for n, k in both])
    row = ("TAET", "10", "ResNet-18", "2")
    assert cell_of(found["Tail classes"], row, "PGD-20").value == pytest.approx(tail)
    assert cell_of(found["Worst class"], row, "PGD-20").value == pytest.approx(worst)


def test_two_intervals_and_provenance(tmp_path: Path, make_cell: Any) -> None:
    ids = [make_cell(tmp_path, "taet", seed=s) for s in (0, 1, 2)]
    cell = cell_of(only(tmp_path, "table01")[0], ("TAET",), "Clean")
    assert cell.provenance == tuple(ids)
    assert cell.selector == ("long-tailed", "clean")
    for low, high in (cell.sampling, cell.seeds):
        assert low < cell.value < high
    assert cell.paper.printed == "74.67"
    assert cell.difference == pytest.approx(cell.value - 74.67)


def test_what_was_made_by_other_code_than_is_here_says_so(tmp_path: Path, make_cell: Any) -> None:
    for method, mark in (("taet", code("methods", "taet")), ("at-bsl", "another")):
        path = tmp_path / make_cell(tmp_path, method) / CELL
        path.write_text(json.dumps(json.loads(path.read_text()) | {"inputs": {"method": mark}}))
    report = make(tmp_path, tables=["table01"], figures=[])
    told = "made before changes to the code of method 'at-bsl'"
    assert report.versions == f"Benchmark version {BENCHMARK_VERSION}, 2 cells, 1 of them {told}."
    assert dict(report.tables[0].settings)["Code"] == told
    path.write_text(json.dumps(json.loads(path.read_text()) | {"inputs": {}}))
    report = make(tmp_path, tables=["table01"], figures=[])
    assert report.versions.endswith(", 2 cells.")
    assert "Code" not in dict(report.tables[0].settings)


def test_one_seed_has_no_seed_interval_and_is_marked_beside_more(tmp_path: Path, make_cell: Any) -> None:
    make_cell(tmp_path, "taet")
    for seed in (0, 1):
        make_cell(tmp_path, "at-bsl", seed=seed)
    table = only(tmp_path, "table01")[0]
    taet = cell_of(table, ("TAET",), "Clean")
    assert taet.seeds is None
    assert taet.marks == ("§",)
    assert cell_of(table, ("AT-BSL",), "Clean").marks == ()
    assert any(note.mark == "§" and "1" in note.text for note in table.footnotes)


def of_the_paper() -> list[str]:
    return [name for name in registry("tables").names() if name.startswith("table")]


def test_table_order_is_the_papers(tmp_path: Path, make_cell: Any) -> None:
    make_cell(tmp_path, "taet")
    rows = {n: [r.labels for r in only(tmp_path, n)[0].rows] for n in of_the_paper()}
    first = ["AT-BSL", "RoBal", "TRADES", "AT", "MART", "ADT", "REAT", "LAS-AT", "HE", "GAIRAT", "TAET"]
    assert [r[0] for r in rows["table01"]] == first
    assert [r[0] for r in rows["table02"]] == [*first[:4], "ADT", "MART", *first[6:]]
    assert [r[0] for r in rows["table06"]] == [m for m in first if m != "RoBal"]
    assert rows["table05"] == [(ir, m) for ir in ("10", "20", "50", "100") for m in ("AT-BSL", "TAET")]
    assert [r[0] for r in rows["table09"]] == ["5", "10", "20", "30", "40"]
    assert rows["table11"][0] == ("ResNet-50", "AT-BSL")


def test_every_printed_number_has_its_place(tmp_path: Path, make_cell: Any) -> None:
    """All 440 numbers of the paper stand in our tables, each once."""
    make_cell(tmp_path, "taet", dataset="other", source="nobody's")
    tables = [t for n in of_the_paper() for t in only(tmp_path, n) if "." not in t.title]
    shown = [c.paper.printed for t in tables for c in t.cells if c.paper is not None]
    assert sorted(shown) == sorted(n.printed for n in paper.numbers().values())
    assert len(shown) == 440


def test_variants_find_their_row(tmp_path: Path, make_cell: Any) -> None:
    for variant in ("", "beta=0.05", "alpha=0.05,beta=0.05,gamma=0.05", "step=1/255,steps=5", "step=3/255"):
        make_cell(tmp_path, "taet", variant=variant)
    grid = only(tmp_path, "table04")[0]
    assert [[c.value is not None for c in r.cells] for r in grid.rows] == [[1, 0, 0, 0], [1, 0, 0, 1]]
    assert [r.cells[0].value is not None for r in only(tmp_path, "table09")[0].rows] == [1, 0, 0, 0, 0]
    assert [r.cells[0].value is not None for r in only(tmp_path, "table10")[0].rows] == [0, 1, 1]


def test_ranks_with_ties_and_marks_by_rule(tmp_path: Path, make_cell: Any) -> None:
    for method, level in (("at-bsl", 0.5), ("trades", 0.6), ("taet", 0.7)):
        make_cell(tmp_path, method, level=level)
    table = only(tmp_path, "table01")[0]
    ranks = {r.labels[0]: r.cells[0].rank for r in table.rows}
    assert (ranks["TAET"], ranks["TRADES"], ranks["AT-BSL"], ranks["RoBal"]) == (1, 2, 0, 0)


def test_a_tie_is_shared(tmp_path: Path, make_cell: Any) -> None:
    first = make_cell(tmp_path, "taet")
    other = make_cell(tmp_path, "at-bsl")
    copied = (tmp_path / first / "per_class.csv").read_text().replace(first, other).replace(",taet,", ",at-bsl,")
    (tmp_path / other / "per_class.csv").write_text(copied)
    table = only(tmp_path, "table01")[0]
    assert {c.rank for r in table.rows for c in r.cells} == {0}, "two equal numbers have no best"
    make_cell(tmp_path, "trades", level=0.1)
    ranks = {r.labels[0]: r.cells[0].rank for r in only(tmp_path, "table01")[0].rows}
    assert (ranks["TAET"], ranks["AT-BSL"], ranks["TRADES"]) == (1, 1, 0)


@pytest.mark.parametrize(("flag", "best"), [("small-logits", 2), ("unheard-of", 2), ("small-class", 3)])
def test_a_number_that_may_be_no_measure_of_robustness_takes_no_rank(
    tmp_path: Path, make_cell: Any, flag: str, best: int
) -> None:
    methods = ("at-bsl", "trades", "mart", "taet")
    for method, level in zip(methods, (0.3, 0.5, 0.6, 0.7), strict=True):
        make_cell(tmp_path, method, level=level, flags=flag if method == "taet" else "")
    table = only(tmp_path, "table01")[0]
    ranks = {r.labels[0]: cell_of(table, r.labels, "PGD-20").rank for r in table.rows}
    first = {2: "MART", 3: "TAET"}[best]
    second = {2: "TRADES", 3: "MART"}[best]
    assert {name: rank for name, rank in ranks.items() if rank} == {first: 1, second: 2}


def test_seeds_that_agree_have_no_interval(tmp_path: Path, make_cell: Any) -> None:
    first, other = (make_cell(tmp_path, "taet", seed=seed) for seed in (0, 1))
    same = (
        (tmp_path / first / "per_class.csv").read_text().replace(first, other).replace(",resnet18,0,", ",resnet18,1,")
    )
    (tmp_path / other / "per_class.csv").write_text(same)
    table = only(tmp_path, "table01")[0]
    shown = dict(text.intervals(cell_of(table, ("TAET",), "Clean"), "both"))
    assert shown["seeds"] == "equal in 2"
    assert shown["img"].startswith("[")


def test_a_method_stands_before_its_variants(tmp_path: Path, make_cell: Any) -> None:
    for variant in ("alpha=0", "", "beta=0.05"):
        make_cell(tmp_path, "taet", variant=variant)
    rows = [r.labels[0] for r in only(tmp_path, "overview")[0].rows]
    assert rows == ["TAET", "TAET[alpha=0]", "TAET[beta=0.05]"]


def test_images_are_told_by_ratio_and_titles_tell_settings_apart(tmp_path: Path, make_cell: Any) -> None:
    for ir, splits in ((10.0, ("long-tailed", "balanced")), (100.0, ("long-tailed",))):
        make_cell(tmp_path, "taet", ir=ir, splits=splits)
    tables = only(tmp_path, "overview")
    sizes = {dict(t.settings)["Test split"] for t in tables}
    assert sizes == {"balanced, 10000 images", "long-tailed, 4084 images at IR 10, 2478 images at IR 100"}
    assert len({t.heading.partition(" · ")[2] for t in tables}) == len(tables) == 8
    assert [dict(t.settings)["Test split"].partition(",")[0] for t in tables[::4]] == ["long-tailed", "balanced"]


@pytest.mark.parametrize(
    ("value", "paper_value", "standing", "expected"),
    [
        (35.2, "35.15", "target", Verdict.MATCH),
        (33.5, "35.15", "target", Verdict.NOISE),
        (60.0, "35.15", "target", Verdict.OFF),
        (60.0, "35.15", "report", Verdict.REPORT),
        (35.2, "35.15", "never", Verdict.IMPOSSIBLE),
    ],
)
def test_verdicts(value: float, paper_value: str, standing: str, expected: Verdict) -> None:
    n = np.array([1000, 774, 599, 464, 359, 278, 215, 166, 129, 100])
    gap, got = paper.verdict(PaperNumber(paper_value, standing), None, "balanced", n, n * value / 100)
    assert got is expected
    assert gap == pytest.approx(value - 35.15)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "tf32"])
def test_report_and_check_judge_a_run_alike(tmp_path: Path, make_cell: Any, precision: str) -> None:
    for method, seed in itertools.product(("at-bsl", "taet"), (0, 1)):
        spec = CellSpec("x", "cifar10lt", 10.0, "resnet18", 0, precision=precision)
        make_cell(tmp_path, method, seed=seed, spec=spec)
    outcome = check_paper(Results(tmp_path).rows, paper_tables())
    checked = {
        n.where["attack"]: n
        for n in outcome.numbers
        if n.verdict != "missing" and n.where["table"] == 1 and n.where["method"] == "taet"
    }
    rows = [r for t in only(tmp_path, "table01") for r in t.rows if r.labels == ("TAET",)]
    shown = {c.selector[1]: c for r in rows for c in r.cells if c.value is not None}
    assert checked
    assert shown
    for attack, number in checked.items():
        if precision == "fp32":
            assert shown[attack].verdict == number.verdict
            assert shown[attack].difference == pytest.approx(100 * number.difference)
        else:
            assert number.verdict == "refused"
            assert "precision differs" in number.reason
            assert shown[attack].verdict is Verdict.OTHER_SETTINGS
    # CW (l2) is reported, not judged
    assert shown["cw-l2"].verdict in (Verdict.REPORT, Verdict.OTHER_SETTINGS)


def test_no_verdict_on_other_data(tmp_path: Path, make_digits: Any) -> None:
    make_digits(tmp_path)
    tables = only(tmp_path, "table01")
    assert [t.measured for t in tables] == [0, 28, 28]
    assert all(c.verdict is Verdict.MISSING for c in tables[0].cells)
    for table in tables[1:]:
        assert "not the paper's data" in table.data
        assert "REDUCED RUN: epochs=30" in table.data
        assert "CIFAR" not in table.data
        assert {c.verdict for c in table.cells} <= {Verdict.OTHER_DATA, Verdict.MISSING}
        assert all(c.difference is None for c in table.cells)


def test_a_stand_in_source_is_never_the_papers_data(tmp_path: Path, make_cell: Any) -> None:
    for method in ("at-bsl", "taet"):
        make_cell(tmp_path, method, source="cifar10-jpeg75")
    own, other = only(tmp_path, "table05")
    assert own.measured == 0
    assert other.measured > 0
    assert "CIFAR-10-LT" not in other.data
    assert "cifar10-jpeg75" in other.data


@pytest.mark.parametrize("more", [{"splits": ("balanced",)}, {"model": "resnet50"}, {"ir": 20.0}])
def test_other_settings_do_not_fill_the_papers_table(tmp_path: Path, make_cell: Any, more: dict[str, Any]) -> None:
    for method in ("at-bsl", "taet"):
        make_cell(tmp_path, method, **more)
    assert only(tmp_path, "table01")[0].measured == 0


def test_missing_numbers_have_a_command_and_failed_cells_say_so(tmp_path: Path, make_cell: Any) -> None:
    make_cell(tmp_path, "at-bsl")
    failed = make_cell(tmp_path, "taet", status="failed")
    table = only(tmp_path, "table05")[0]
    cell = cell_of(table, ("10", "TAET"), "AA")
    assert cell.note == "failed: the loss became NaN in epoch 3"
    assert cell.provenance == (failed,)
    assert cell.command == (
        "bench run --methods taet --datasets cifar10lt --irs 10 --models resnet18 --attacks aa --seeds 0 "
        f"--results {tmp_path}"
    )
    assert any("--irs 20,50,100" in c for c in table.commands)


def test_flags_become_marks_with_their_text(tmp_path: Path, make_cell: Any) -> None:
    make_cell(tmp_path, "taet", flags="small-class unheard-of")
    table = only(tmp_path, "table01")[0]
    marks = cell_of(table, ("TAET",), "AA").marks
    assert len(marks) == 2
    assert cell_of(table, ("TAET",), "Clean").marks == ()
    texts = {n.mark: n.text for n in table.footnotes}
    assert "fewer than" in texts[marks[0]]
    assert "unheard-of" in texts[marks[1]]


def test_any_dataset_in_any_layout_when_asked(tmp_path: Path, make_digits: Any) -> None:
    make_digits(tmp_path)
    for name in ("overview", *of_the_paper()):
        tables = only(tmp_path, name, dataset="digitslt")
        assert tables, name
        assert all("CIFAR" not in t.data for t in tables)
        assert all(t.measured for t in tables) or name in ("table09", "table11")


def test_a_file_of_rows_is_enough(tmp_path: Path, make_cell: Any) -> None:
    cell = make_cell(tmp_path, "taet")
    table = only(tmp_path / cell / "per_class.csv", "table01")[0]
    assert table.measured == 7


def test_damaged_files_are_named(tmp_path: Path, make_cell: Any) -> None:
    good, bad, broken = (make_cell(tmp_path, m) for m in ("taet", "at-bsl", "trades"))
    (tmp_path / bad / "per_class.csv").write_text("benchmark,cell\n1,2\n")
    (tmp_path / broken / "cell.json").write_text("{")
    report = make(tmp_path, tables=["table01"], figures=[])
    assert report.tables[0].measured == 7
    assert len(report.problems) == 2
    assert any(bad in p for p in report.problems)
    assert any(broken in p for p in report.problems)
    assert {page.id: page.status for page in report.cells} == {good: "done", bad: "done" + DAMAGED}
    assert Source(tmp_path).cells.keys() >= {good}


def test_bad_interval_and_absent_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sampling, seeds, both"):
        make(tmp_path, interval="most")
    with pytest.raises(StoreError, match="does not exist"):
        make(tmp_path / "nowhere")
