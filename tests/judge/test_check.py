import dataclasses
import json
import math
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import pandas as pd
import pytest
from click.testing import CliRunner

from bench.cli import group
from bench.config import Recipe
from bench.errors import StoreError, UsageError
from bench.judge import reference
from bench.judge.check import check_rows
from bench.judge.paper import check_paper
from bench.judge.verdict import judge
from bench.store import query
from bench.store.results import Results
from bench.store.schema import CELL, PER_CLASS, ROWS


def run(*words):
    result = CliRunner().invoke(group, ["check", *map(str, words)], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.return_value, result.output


@pytest.fixture
def two(maker):
    maker.cell("taet")
    maker.cell("at-bsl", 1)
    return maker


def lose(maker, folder, count, attack="clean", split="balanced"):
    """Take `count` correct images of the first class away."""

    def change(frame):
        at = (frame.attack == attack) & (frame.test_split == split) & (frame.class_index == 0)
        frame.loc[at, "correct"] -= count

    maker.edit(folder, change, alone=True)


def test_a_store_against_itself_is_the_same(two):
    status, output = run("--results", two.root, "--against", two.root)
    assert status == 0
    assert "passed" in output
    assert " off" not in output
    outcome = check_rows(Results(two.root).rows, Results(two.root).rows, name="itself")
    assert set(outcome.counts) == {"same"}
    # 2 cells x 2 splits x (4 attacks + worst case) x (5 metrics + 4 classes)
    assert len(outcome.numbers) == 2 * 2 * 5 * 9


def test_both_tolerances_must_be_exceeded(two, another):
    shutil.copytree(two.root, another.root)
    folder = next(another.root.glob("at-bsl*"))
    lose(another, folder, 1)  # one image of 40: 2.5 points in its class, 0.6 balanced
    status, output = run("--results", another.root, "--against", two.root)
    assert status == 0
    outcome = check_rows(Results(another.root).rows, Results(two.root).rows, name="two")
    assert {(n.name, n.verdict) for n in outcome.numbers if n.verdict != "same"} == {
        ("class zero", "within noise"),
        ("head", "within noise"),
        ("balanced", "match"),
        ("standard", "match"),
        ("tail-80", "match"),
    }
    lose(another, folder, 20)  # 21 of 40
    status, output = run("--results", another.root, "--against", two.root)
    assert status == 1
    assert "OFF" in output
    assert "class zero" in output
    assert "failed" in output
    assert run("--results", another.root, "--against", two.root, "--tolerance", 60)[0] == 0


@pytest.mark.parametrize(
    ("difference", "tolerance", "margin", "expected"),
    [
        (0.005, 0.01, 0.0, "match"),
        (-0.01, 0.01, 0.0, "match"),
        (0.02, 0.01, 0.03, "within noise"),
        (-0.04, 0.01, 0.03, "off"),
        (0.04, 0.05, 0.03, "match"),
    ],
)
def test_verdict(difference, tolerance, margin, expected):
    assert judge(difference, tolerance, margin) == expected


def test_exact_asks_for_equal_counts(two, another):
    shutil.copytree(two.root, another.root)
    assert run("--results", another.root, "--against", two.root, "--exact")[0] == 0
    lose(another, next(another.root.glob("taet*")), 1)
    status, output = run("--results", another.root, "--against", two.root, "--exact")
    assert status == 1
    assert output.count("OFF") == 1
    assert "of 40, measured" in output


def test_a_missing_cell_fails_unless_allowed(two, another):
    shutil.copytree(two.root, another.root)
    shutil.rmtree(next(another.root.glob("taet*")))
    status, output = run("--results", another.root, "--against", two.root)
    assert (status, output.count("MISSING")) == (1, 10)
    assert run("--results", another.root, "--against", two.root, "--allow-missing")[0] == 0
    # and what the reference does not have is only counted
    status, output = run("--results", two.root, "--against", another.root)
    assert status == 0
    assert "10 measured evaluations are not in the reference" in output


def test_a_check_of_nothing_does_not_pass(two, another):
    another.cell("mart")
    status, output = run("--results", another.root, "--against", two.root, "--allow-missing")
    assert status == 1
    assert "nothing could be compared: 20 missing" in output
    assert "`bench golden check`" in output
    assert len(output.splitlines()) == 1  # twenty lines that each say the same would hide it
    assert run("--results", another.root, "--against", two.root, "--all")[1].count("MISSING") == 20


def test_cells_that_differ_in_what_is_usually_equal_are_told_apart(two, another):
    two.cell("taet", class_order="reversed", precision="bf16", recipe=dataclasses.replace(Recipe(), name="official"))
    shutil.copytree(two.root, another.root)
    for folder in another.root.glob("taet*"):
        shutil.rmtree(folder)
    _, output = run("--results", another.root, "--against", two.root)
    lines = [line for line in output.splitlines() if line.startswith("MISSING")]
    assert len(lines) == len(set(lines)) == 20
    other = "recipe official bf16 class order reversed"
    assert sum(f"seed 0 {other}, balanced, aa" in line for line in lines) == 1
    assert sum("seed 0, balanced, aa" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("benchmark", "2", "benchmark differs: reference 1, measured 2"),
        ("source", "cifar10-jpeg75", "source differs: reference digits, measured cifar10-jpeg75"),
        ("recipe", "official", "recipe differs"),
        ("reduced", "limit=50", "reduced differs: reference none, measured limit=50"),
        ("precision", "bf16", "precision differs"),
        ("eps", "0.2", "eps differs: reference 0.1, measured 0.2"),
        ("data_hash", "e" * 16, "data_hash differs"),
    ],
)
def test_what_is_not_comparable_is_refused_by_its_field(two, another, column, value, text):
    shutil.copytree(two.root, another.root)
    for folder in another.root.iterdir():
        another.edit(
            folder, lambda frame: frame.__setitem__(column, float(value) if column == "eps" else value), alone=True
        )
    status, output = run("--results", another.root, "--against", two.root)
    assert status == 1
    assert "nothing could be compared: 20 REFUSED (" in output
    assert text in output
    assert len(output.splitlines()) == 1  # the reason stands once
    assert run("--results", another.root, "--against", two.root, "--all")[1].count("REFUSED  ") == 20
    assert run("--results", another.root, "--against", two.root, "--allow-missing")[0] == 1


def test_another_test_split_is_refused(two, another):
    shutil.copytree(two.root, another.root)
    for folder in another.root.iterdir():
        path = folder / ROWS
        frame = query.read_rows(path)
        frame[frame.test_split == "balanced"].to_csv(path, index=False)
        cell = json.loads((folder / CELL).read_text())
        cell["evaluations"] = {k: v for k, v in cell["evaluations"].items() if k.startswith("balanced/")}
        (folder / CELL).write_text(json.dumps(cell))
    _, output = run("--results", another.root, "--against", two.root)
    assert "test_split differs: reference long-tailed, measured balanced" in output


def test_one_file_can_be_the_reference(two, tmp_path):
    path = tmp_path / "stored.csv"
    Results(two.root).rows.to_csv(path, index=False)
    assert run("--results", two.root, "--against", path, "--exact")[0] == 0
    folder = tmp_path / "flat"
    folder.mkdir()
    shutil.copy(path, folder / ROWS)
    assert run("--results", two.root, "--against", folder, "--exact")[0] == 0


def test_the_default_reference_is_the_golden_store(two, tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "shipped", lambda name: tmp_path / name)
    with pytest.raises(StoreError, match="golden does not exist"):
        run("--results", two.root)
    shutil.copytree(two.root, tmp_path / "golden")
    assert run("--results", two.root)[0] == 0


def test_bad_input_is_one_sentence(two, tmp_path):
    with pytest.raises(StoreError, match=r"reference .*nowhere does not exist; .* with --against"):
        run("--results", two.root, "--against", tmp_path / "nowhere")
    with pytest.raises(StoreError, match=r"nowhere does not exist; .* with --results"):
        run("--results", tmp_path / "nowhere", "--against", two.root)
    (tmp_path / "notes.txt").write_text("no counts")
    for words in (("--results", tmp_path / "notes.txt"), ("--results", two.root, "--against", tmp_path / "notes.txt")):
        with pytest.raises(StoreError, match="is a file, not a results folder"):
            run(*words)
    with pytest.raises(UsageError, match=r"tolerance of -1 points"):
        run("--results", two.root, "--against", two.root, "--tolerance", -1)
    with pytest.raises(UsageError, match="--exact needs counts"):
        run("--results", two.root, "--against", "paper", "--exact")
    (next(two.root.glob("taet*")) / ROWS).write_text("cell,method\n1,2\n")
    with pytest.raises(StoreError, match="lacks the column"):
        run("--results", two.root, "--against", two.root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="holds no finished evaluation"):
        run("--results", tmp_path / "empty", "--against", tmp_path / "empty")


@pytest.mark.parametrize("times", [0, 2])
def test_the_same_data_with_other_numbers_of_test_images_is_refused(two, tmp_path, times):
    frame = pd.read_csv(next(two.root.glob("taet*/per_class.csv")), dtype=str, keep_default_na=False)
    for column in ("n", "correct"):
        frame[column] = (frame[column].astype(int) * times).astype(str)
    frame.to_csv(tmp_path / "x.csv", index=False)
    code, text = run("--results", two.root, "--against", tmp_path / "x.csv")
    assert code == 1
    assert f"class 0 has {40 * times} test images in the reference, 40 in the results" in " ".join(text.split())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.replace(",40,", ",40.5,", 1), "line 2: n is '40.5', not a whole number"),
        (lambda t: t.replace(",40,", ",inf,", 1), "line 2: n is 'inf', not a whole number"),
        (lambda t: t.replace(",40,", ",9223372036854775808,", 1), "line 2: n is '9223372036854775808', not a whole"),
        (lambda t: t.replace(",40,", ",NaN,", 1), "line 2: n is 'NaN', not a whole number"),
        (lambda t: t.replace(",10.0,", ",ten,", 1), "line 2: ir is 'ten', not a number"),
        (lambda t: t.replace(",", ";"), "x.csv cannot be read .its columns stand between semicolons, not commas"),
        (lambda t: t.replace(",", "\t"), "x.csv cannot be read .its columns stand between tabs, not commas"),
        (lambda t: t.replace(",correct", ",correct,correct", 1).replace("\n", ",1\n"), "'correct' stands twice"),
    ],
)
def test_a_table_whose_numbers_are_none_is_one_sentence(two, tmp_path, change, says):
    text = next(two.root.glob("taet*/per_class.csv")).read_text()
    (tmp_path / "x.csv").write_text(change(text))
    assert (tmp_path / "x.csv").read_text() != text
    with pytest.raises(StoreError, match=says) as said:
        run("--results", two.root, "--against", tmp_path / "x.csv")
    assert "\n" not in str(said.value)
    next(two.root.glob("taet*/per_class.csv")).write_text(change(text))
    assert "per_class.csv" in " ".join(Results(two.root).problems), "nor does one cell end a whole store"


# ----------------------------------------------------------------------------------------------------- formats


@pytest.fixture
def failing(two, another):
    shutil.copytree(two.root, another.root)
    lose(another, next(another.root.glob("at-bsl*")), 21)
    shutil.rmtree(next(another.root.glob("taet*")))
    return ("--results", another.root, "--against", two.root)


def test_json(failing):
    status, output = run(*failing, "--format", "json")
    body = json.loads(output)
    assert status == 1
    assert body["passed"] is False
    assert body["counts"]["missing"] == 10
    off = [n for n in body["numbers"] if n["verdict"] == "off"]
    assert {"class zero", "balanced"} <= {n["name"] for n in off}
    zero = next(n for n in off if n["name"] == "class zero")
    assert zero["difference"] == pytest.approx(zero["measured"] - zero["reference"])
    assert zero["difference"] == pytest.approx(-52.5)
    assert abs(zero["difference"]) > zero["margin"] > 0
    assert zero["where"]["attack"] == "clean"


def test_junit(failing):
    _, output = run(*failing, "--format", "junit", "--allow-missing")
    suite = ElementTree.fromstring(output.encode()).find("testsuite")
    cases = suite.findall("testcase")
    assert int(suite.get("tests")) == len(cases)
    assert int(suite.get("failures")) == len([c for c in cases if c.find("failure") is not None]) > 0
    assert int(suite.get("skipped")) == len([c for c in cases if c.find("skipped") is not None]) == 10


def test_markdown_and_text(failing):
    _, short = run(*failing, "--format", "markdown")
    _, long = run(*failing, "--format", "markdown", "--all")
    assert short.splitlines()[2].startswith("| verdict | what |")
    assert len(long.splitlines()) > len(short.splitlines()) > 10
    _, text = run(*failing)
    assert "tolerance 1.00, margin" in text
    assert "digitslt IR 10 small-cnn seed 1, balanced, clean, class zero" in text


def test_the_command_line_exit_code_and_no_torch(two):
    code = (
        "import sys; sys.argv = ['bench', 'check', '--results', sys.argv[1], '--against', sys.argv[1]]\n"
        "from bench.cli import main\n"
        "try:\n    main()\nfinally:\n    assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(two.root)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "passed" in done.stdout


# --------------------------------------------------------------------------------------------- against the paper

COUNTS = [int(1000 * 10 ** (-c / 9)) for c in range(10)]
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def cifar(recalls, method="taet", attack="clean", seed=0, **more):
    """Rows of one evaluation on the long-tailed CIFAR-10 test set with these recalls."""
    rows = pd.DataFrame(
        {
            "benchmark": "1",
            "cell": f"{method}-{seed}",
            "method": method,
            "variant": "",
            "recipe": "paper",
            "reduced": "",
            "dataset": "cifar10lt",
            "source": "cifar10",
            "data_hash": "d",
            "ir": 10.0,
            "selection": "seeded",
            "class_order": "natural",
            "model": "resnet18",
            "seed": seed,
            "precision": "fp32",
            "test_split": "long-tailed",
            "attack": attack,
            "engine": "bench",
            "eps": 8 / 255,
            "flags": "",
            "class_index": range(10),
            "class_name": NAMES,
            "train_count": COUNTS,
            "n": COUNTS,
            "correct": [round(n * r) for n, r in zip(COUNTS, recalls, strict=True)],
        }
    ).assign(**more)
    return rows[list(PER_CLASS)].astype(PER_CLASS)


def against_paper(rows, **options):
    outcome = check_paper(rows, reference.paper_tables(), **options)
    return outcome, [n for n in outcome.numbers if n.verdict != "missing"]


def test_only_targets_are_compared_and_the_rest_is_missing():
    outcome, found = against_paper(cifar([0.7467] * 10))
    assert len(outcome.numbers) == 207
    assert {(n.where["table"], n.name) for n in found} == {
        (1, "balanced"),
        (5, "balanced"),
        *((2, f"class {c}") for c in NAMES[5:]),
    }
    balanced = next(n for n in found if n.where["table"] == 1)
    assert balanced.verdict == "match"
    assert balanced.reference == pytest.approx(0.7467)
    assert balanced.margin == pytest.approx(1.96 * 0.0088 * 2**0.5, rel=0.05)  # both test samples
    assert not outcome.passed
    assert against_paper(cifar([0.7467] * 10), allow_missing=True)[0].failing() != outcome.failing()


def test_a_number_far_from_the_paper_is_off_and_one_nearby_is_within_noise():
    _, found = against_paper(cifar([0.73] * 10))
    assert {n.verdict for n in found if n.name == "balanced"} == {"within noise"}
    _, found = against_paper(cifar([0.65] * 10))
    assert {n.verdict for n in found if n.name == "balanced"} == {"off"}


def test_numbers_that_are_no_target_are_never_compared():
    _, found = against_paper(cifar([0.5] * 10, attack="cw-l2"))
    assert found == []
    _, found = against_paper(cifar([0.5] * 10, method="gairat", attack="aa"))
    assert found == []


def test_seeds_are_averaged_and_their_spread_counts():
    rows = pd.concat([cifar([r] * 10, seed=s) for s, r in enumerate((0.60, 0.70, 0.80))])
    _, found = against_paper(rows)
    balanced = next(n for n in found if n.where["table"] == 1)
    assert balanced.measured == pytest.approx(0.70, abs=0.002)
    assert balanced.verdict == "within noise"  # the seeds' t interval is wide
    assert balanced.reason.startswith("3 seeds")


def test_cells_of_several_settings_are_no_seeds_of_one_number():
    rows = pd.concat([cifar([0.7] * 10), cifar([0.8] * 10, selection="official-builder", cell="other")])
    _, found = against_paper(rows)
    assert {(n.verdict, n.measured) for n in found} == {("refused", None)}
    assert all(n.reason.startswith("cells of several settings fit, which differ in selection") for n in found)


def test_a_class_without_test_images_has_no_number_in_json():
    rows = cifar([0.7] * 9 + [0.0])
    rows.loc[rows["class_index"] == 9, ["n", "correct"]] = 0
    numbers = check_rows(rows, rows, name="x", exact=True).numbers
    assert [n.measured for n in numbers if n.name == f"class {NAMES[9]}"] == [None]
    assert not any(n.measured is not None and math.isnan(n.measured) for n in numbers)


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("source", "cifar10-jpeg75", "source differs: reference cifar10, measured cifar10-jpeg75"),
        ("test_split", "balanced", "test_split differs"),
        ("reduced", "epochs=3 of 100", "reduced differs"),
        ("recipe", "official", "recipe differs"),
        ("eps", 0.1, "eps differs"),
    ],
)
def test_a_stand_in_is_refused_beside_the_paper(field, value, text):
    _, found = against_paper(cifar([0.7467] * 10, **{field: value}))
    assert {n.verdict for n in found} == {"refused"}
    assert all(text in n.reason for n in found)


def test_the_paper_on_the_command_line(two):
    status, output = run("--results", two.root, "--against", "paper", "--allow-missing", "--format", "json")
    assert status == 1  # nothing of it was measured
    assert json.loads(output)["counts"] == {"missing": 207}
