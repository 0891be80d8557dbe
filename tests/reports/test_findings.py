"""The findings page: numbers from the store, settings never mixed, open questions with a command that works."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from bench.cli import group
from bench.cli.findings import STORES
from bench.config import CellSpec, Recipe
from bench.judge.compare import compare_methods
from bench.judge.metrics import summarise
from bench.judge.paired import Bits, compare
from bench.judge.pairs.wanted import Wanted
from bench.judge.reference import shipped
from bench.reports.findings import QUESTIONS, factors
from bench.reports.findings import findings as answered
from bench.reports.findings.claims import CLAIMS, EQUAL, FAILS, HOLDS, OPEN, verdict
from bench.reports.findings.gap import BETTER, WORSE, Case, Gap
from bench.reports.findings.measures import rank_correlation
from bench.reports.findings.numbers import points, span
from bench.reports.findings.questions import OTHERS
from bench.reports.findings.setting import _autoattack
from bench.reports.marks import flag
from bench.reports.paired.pairing import Pair
from bench.reports.paper import method_label
from bench.reports.text import markdown
from bench.store import query
from bench.store.folders import read_cell, read_record
from bench.store.provenance.identity import code
from bench.store.results import Results
from bench.store.rows import rows_text
from bench.store.schema import CELL, CURVES, EPOCHS, ROWS, SAMPLES

from .conftest import ATTACKS, write_cell

TITLES = {question.key: question.title for question in QUESTIONS}
SUPERIORITY, CW, RANKING, STAGES, PARTS, RECIPES, COST = (
    TITLES[key] for key in ("superiority", "attacks", "ranking", "stages", "parts", "recipes", "cost")
)
#: a short run of a small network, beside the full one of the fixtures
REDUCED = CellSpec("x", "cifar10lt", 10.0, "small-cnn", 0, Recipe(epochs=12), limit=500)


def measured(root: Path, method: str, *, phases: tuple[str, ...] = ("adversarial",), **more: Any) -> str:
    """A cell with the bits of its images: of n images of a class with k correct, the first k."""
    cell = write_cell(root, method, **{"largest": (500, 100)} | more)
    rows = query.read_rows(root / cell / ROWS)
    held: dict[str, np.ndarray] = {}
    for (split, attack), part in rows.groupby(["test_split", "attack"]):
        n, correct = part["n"].to_numpy(np.int64), part["correct"].to_numpy(np.int64)
        held[f"{split}/label"] = np.repeat(part["class_index"].to_numpy(np.int64), n)
        held[f"{split}/index"] = np.arange(n.sum())
        held[f"{split}/{attack}"] = np.concatenate([np.arange(m) < k for m, k in zip(n, correct, strict=True)])
    np.savez(root / cell / SAMPLES, **held)
    (root / cell / ROWS).write_text(rows_text(read_record(root / cell), held))
    lines = [",".join(EPOCHS)]
    for epoch, phase in enumerate(phases):
        row = {"epoch": epoch, "phase": phase, "seconds": 10 + epoch}
        lines.append(",".join(str(row.get(column, 1)) for column in EPOCHS))
    (root / cell / CURVES).write_text("\n".join(lines) + "\n")
    return cell


def change(root: Path, cell: str, **facts: Any) -> None:
    """Other values at the top of a cell.json."""
    path = root / cell / CELL
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def findings(*roots: Path) -> str:
    return answered(*roots).text


def section(page: str, title: str) -> str:
    return page.split(f"\n## {title}\n")[1].split("\n## ")[0]


def folded(page: str, title: str) -> str:
    """What is said of a question at the other scales, below the fold."""
    return page.split("<details")[1].split(f"\n### {title}\n")[1].split("\n### ")[0]


def claim(page: str, key: str) -> str:
    """The line that answers a claim."""
    (text,) = (one.text for one in CLAIMS if one.key == key)
    (line,) = (one for one in section(page, "Answers").splitlines() if f"</span>**{text}**" in one)
    return line


def table_rows(text: str, *first: str) -> list[list[str]]:
    """The cells of the table lines whose first cells are these."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    return [row for row in rows if row[: len(first)] == list(first)]


def row(page: str, title: str, *first: str) -> list[str]:
    (found,) = table_rows(section(page, title), *first)
    return found


def accuracy(root: Path, metric: str = "balanced", **where: Any) -> float:
    """The mean accuracy of the lines with these values, as a fraction."""
    lines = summarise(Results(root).rows)
    for column, value in where.items():
        lines = lines[lines[column].eq(value)]
    assert len(lines)
    return float(lines[metric].mean())


# ------------------------------------------------------------------------------------- what is not measured


def commands(page: str) -> set[str]:
    return set(re.findall(r"`bench (run [^`]*)`", page))


def works(command: str, root: Path) -> None:
    words = [*shlex.split(command), "--dry-run", "--results", str(root), "--data-root", str(root)]
    done = CliRunner().invoke(group, words)
    assert done.exit_code == 0, f"{command}: {done.output}"


def test_an_empty_store_answers_every_question_with_a_command_that_exists(tmp_path: Path) -> None:
    page = findings(tmp_path)
    for question in QUESTIONS:
        told = ", ".join(f"`{command}`" for command in question.command.splitlines())
        assert f"Not measured at this scale. As the paper does it: {told}." in section(page, question.title)
    for one in CLAIMS:
        assert ": **not measured**; at the scale of the paper: `bench run " in claim(page, one.key)
    assert page.startswith("# Findings: nothing measured yet")
    for command in commands(page):
        works(command, tmp_path)


def test_ratios_that_lack_cells_are_named_with_a_command_for_just_these(tmp_path: Path) -> None:
    for method in ("taet", "at-bsl"):
        measured(tmp_path, method, spec=REDUCED, model="small-cnn", seed=3)
    page = findings(tmp_path)
    third = {ir: row(page, SUPERIORITY, ir)[2] for ir in ("10", "20", "50", "100")}
    assert [ir for ir, cell in third.items() if cell == "not measured yet"] == ["20", "50", "100"]
    (command,) = (c for c in commands(section(page, SUPERIORITY)) if "--irs" in c)
    for words in ("--irs 20,50,100", "--epochs 12", "--limit 500", "--models small-cnn", "--attacks aa", "--seeds 3"):
        assert words in command
    works(command, tmp_path)


def test_failed_cells_are_named_with_their_reason_where_they_say_one(tmp_path: Path) -> None:
    measured(tmp_path, "taet")
    told, silent = (write_cell(tmp_path, "at-bsl", seed=seed, status="failed") for seed in (0, 1))
    change(tmp_path, silent, failure=None)
    (line,) = (one for one in findings(tmp_path).splitlines() if one.startswith("Failed cells: "))
    assert f"{told} (the loss became NaN in epoch 3)" in line
    assert silent in line
    assert "None" not in line


def test_the_page_in_the_documentation_is_the_stored_numbers(project: Path) -> None:
    page = answered(*filter(Path.is_dir, map(shipped, STORES)))
    assert (project / "docs" / "findings.md").read_text() == page.text
    drawn = {f"pictures/{one.name}": one.read_text() for one in (project / "docs" / "pictures").glob("findings-*.svg")}
    assert drawn == page.pictures


def test_every_store_of_the_page_is_packaged_and_told_of(project: Path) -> None:
    packaged = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for name in STORES:
        assert f"{name}/**/*" in packaged["bench.results"]
        assert f"| `{name}/` |" in (project / "results" / "README.md").read_text()


# ------------------------------------------------------------------------------------------------- settings


@pytest.fixture
def two_settings(tmp_path: Path) -> Path:
    """The same two methods in full on the paper's data, and reduced on a small network."""
    for method in ("taet", "at-bsl"):
        measured(tmp_path, method, level=0.8, splits=("long-tailed", "balanced"))
        cell = measured(
            tmp_path, method, level=0.3, spec=REDUCED, model="small-cnn", splits=("long-tailed", "balanced")
        )
        facts = read_cell(tmp_path / cell)
        change(tmp_path, cell, stages={"train": facts["stages"]["train"] | {"seconds": 10.0}})
    return tmp_path


def test_a_full_and_a_reduced_cell_never_share_a_row(two_settings: Path) -> None:
    page = findings(two_settings)
    for method in ("taet", "at-bsl"):
        where = {"method": method, "test_split": "long-tailed"}
        own = {
            model: [
                points(accuracy(two_settings, **where, model=model, attack=attack))
                for attack in ("clean", "cw-l2", "cw-linf")
            ]
            for model in ("resnet18", "small-cnn")
        }
        for part, model, seconds in ((section, "resnet18", "100"), (folded, "small-cnn", "10")):
            (found,) = table_rows(part(page, CW), "10", method_label(method))
            assert found[2:5] == own[model]
            (trained,) = table_rows(part(page, COST), "10", method_label(method), "1")
            assert trained[3] == seconds
    mixed = points(accuracy(two_settings, method="taet", attack="aa", test_split="long-tailed"))
    assert mixed not in page


def test_every_row_stands_under_its_setting(two_settings: Path) -> None:
    page = findings(two_settings)
    for title in (SUPERIORITY, CW, COST):
        assert re.findall(r"^### Setting \d\n\n\*(.*)\*$", section(page, title), re.M) == ["CIFAR-10-LT, ResNet-18"]
        (small,) = re.findall(r"^#### Setting \d\n\n\*(.*)\*$", folded(page, title), re.M)
        assert small == "CIFAR-10-LT, small-cnn, epochs=12, limit=500"
    assert "epochs=12 of 100" not in section(page, "What was measured")
    assert "epochs=12 of 100, limit=500" in section(page, "Other scales")


def test_stores_are_told_together_the_largest_scale_first(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    for seed, (method, level) in product((0, 1, 2), (("taet", 0.9), ("at-bsl", 0.3))):
        measured(small, method, seed=seed, spec=REDUCED, model="small-cnn", level=level)
        measured(
            large,
            method,
            spec=CellSpec("x", "cifar10lt", 10.0, "resnet10-slim", 0, Recipe(epochs=20)),
            seed=seed,
            model="resnet10-slim",
            level=1.2 - level,
        )
    page = findings(small, large)
    assert page == findings(large, small)
    first, scale, setting = page.splitlines()[0:5:2]
    assert first == "# Findings with CIFAR-10-LT, resnet10-slim, epochs=20"
    assert scale.startswith("**Scale**: not the paper's (CIFAR-10-LT, ResNet-18, 100 epochs)")
    assert setting == "1. CIFAR-10-LT, resnet10-slim, epochs=20"
    assert ": **fails**. aa: worse" in claim(page, "superiority")
    assert row(page, SUPERIORITY, "10")[-1] == "worse"
    assert table_rows(folded(page, SUPERIORITY), "10")[0][-1] == "better"
    (large / "none").mkdir()
    assert findings(large / "none", small).startswith("# Findings with CIFAR-10-LT, small-cnn, epochs=12, limit=500")


def test_a_claim_is_answered_at_the_scale_that_measured_most_of_it(tmp_path: Path) -> None:
    wide, deep, both = tmp_path / "wide", tmp_path / "deep", (0, 1, 2)
    for seed, (method, level) in product(both, (("taet", 0.3), ("at-bsl", 0.9))):
        for ir in (10.0, 20.0, 50.0, 100.0):
            measured(wide, method, seed=seed, level=level, ir=ir, spec=REDUCED, model="small-cnn")
        large = CellSpec("x", "cifar10lt", 10.0, "resnet10-slim", 0, Recipe(epochs=20))
        measured(deep, method, seed=seed, level=level, spec=large, model="resnet10-slim")
    made = answered(wide, deep)
    page, drawing = made.text, made.pictures["pictures/findings-superiority.svg"]
    assert [f"IR 10, setting {n}" in drawing for n in (1, 2)] == [True, True]
    assert "**fails** (setting 1). aa: worse, IR 10" in claim(page, "superiority")
    assert "**fails** (setting 2). aa: better at 0, worse at 4 of 4" in claim(page, "ratios")
    assert "Setting 1 (fails), aa: worse, IR 10 (" in claim(page, "ratios")
    settings = ["1. CIFAR-10-LT, resnet10-slim, epochs=20", "2. CIFAR-10-LT, small-cnn, epochs=12, limit=500"]
    assert page.splitlines()[4:6] == settings
    assert "Other scales" not in page
    missing = section(page, SUPERIORITY).split("what measures it:")
    assert len(missing) == 1, "nothing is asked for at one scale that another has measured"


def test_what_a_scale_gives_for_its_cost(tmp_path: Path) -> None:
    wanted = {}
    for epochs, variant, level in ((12, "", 0.5), (30, "", 0.8), (12, "schedule=cosine", 0.6)):
        spec = CellSpec("x", "cifar10lt", 10.0, "small-cnn", 0, Recipe(epochs=epochs))
        more = {"spec": spec, "variant": variant, "level": level, "splits": ("balanced",)}
        cell = measured(tmp_path, "at-bsl", model="small-cnn", **more)
        facts = read_cell(tmp_path / cell)["stages"]
        facts["train"] |= {"seconds": 60.0 * epochs, "forward": 5e5 * epochs, "backward": 5e5 * epochs}
        change(tmp_path, cell, stages=facts)
        name = f"AT-BSL\\[{variant}\\]" if variant else "AT-BSL"
        where = {"cell": cell, "test_split": "balanced"}
        wanted[name, epochs] = [points(accuracy(tmp_path, attack=attack, **where)) for attack in ("clean", "pgd-20")]
    rows = table_rows(section(findings(tmp_path), "What was measured"), "cifar10lt", "small-cnn")
    assert {(r[2], int(r[3].removeprefix("epochs="))): r[8:] for r in rows} == wanted
    assert [r[6:8] for r in rows] == [["12.00", "12.0"], ["12.00", "12.0"], ["30.00", "30.0"]]


# ----------------------------------------------------------------------------------------------- the claims


def test_a_claim_holds_fails_or_cannot_be_told(tmp_path: Path) -> None:
    words = {}
    for name, ours, rival in (("up", 0.9, 0.3), ("down", 0.3, 0.9), ("same", 0.9, 0.9), ("chance", 0.0, 0.0)):
        for seed in (0, 1, 2):
            for method, level in (("taet", ours), ("at-bsl", rival)):
                measured(tmp_path / name, method, seed=seed, level=level)
        words[name] = claim(findings(tmp_path / name), "superiority")
    found = {name: re.search(r": \*\*(.*?)\*\*", line.split("points)")[1])[1] for name, line in words.items()}  # type: ignore[index]
    assert found == {"up": "holds", "down": "fails", "same": "cannot be told here", "chance": "cannot be told here"}
    size = r"A difference of \d\.\d\d points \(IR 10; measured, or at least the 1 below which two numbers match\)"
    need = r" would show with roughly [\d,]+ test images \(there are 403\) and \d+ seeds \(there are 3\)\."
    assert re.search(size + need, words["same"])
    assert "Not counted: IR 10, of which neither number is above a constant answer" in words["chance"]
    assert "would show" not in words["chance"]
    assert "constant answer" not in words["up"]
    # one seed is about two networks
    for method, level in (("taet", 0.3), ("at-bsl", 0.9)):
        measured(tmp_path / "alone", method, level=level)
    page = findings(tmp_path / "alone")
    line = claim(page, "superiority")
    assert "**cannot be told here**. aa: worse" in line
    assert "Not counted: IR 10, of one seed. One seed is about these networks" in line
    (glance,) = table_rows(page, "[TAET is better than AT-BSL under AutoAttack at IR 10](#claim-superiority)")
    low, high = row(page, SUPERIORITY, "10")[6].split(" to ")
    assert glance[-1] == f"{row(page, SUPERIORITY, '10')[5]} ({low} to {high}, one seed)"
    # one ratio of four is not every ratio
    assert "**cannot be told here**" in claim(findings(tmp_path / "up"), "ratios")
    assert "Not measured: IR 20; IR 50; IR 100." in claim(findings(tmp_path / "up"), "ratios")


def test_all_answers_stand_in_one_table_each_with_both_its_intervals(tmp_path: Path) -> None:
    levels = (("taet", 0.3), ("at-bsl", 0.9), ("harl", 0.6))
    for seed, (method, level) in product((0, 1, 2), levels):
        measured(tmp_path, method, seed=seed, level=level)
    page = findings(tmp_path)
    glance = {claim.key: table_rows(page, f"[{claim.text}](#claim-{claim.key})") for claim in CLAIMS}
    assert {len(rows) for rows in glance.values()} == {1}
    assert all(page.count(f'<span id="claim-{key}"></span>') == 1 for key in glance), "a row leads to its answer"
    assert glance["tricks"][0][1:] == ["—", "– not measured", "—"]
    assert glance["rivals"][0][2:] == [
        "✘ fails",
        re.search(r"better at \d, worse at \d of 2; values from [^|]*?(?= \|)", page)[0],
    ]  # type: ignore[index]
    found = row(page, SUPERIORITY, "10")
    ends = [float(x.replace("−", "-")) for cell in found[6:8] for x in cell.split(" to ")]
    low, high = (points(end / 100, signed=True) for end in (min(ends), max(ends)))
    assert glance["superiority"][0][1:] == ["+5.31", "✘ fails", f"{found[5]} ({low} to {high})"]


def test_a_claim_is_not_decided_by_a_network_that_collapsed(tmp_path: Path) -> None:
    for seed, (method, level) in product((0, 1, 2), (("taet", 0.9), ("at-bsl", 0.3))):
        flags = "collapse" if (method, seed) in {("at-bsl", 0), ("at-bsl", 1)} else ""
        measured(tmp_path, method, seed=seed, level=level, flags=flags)
    line = claim(findings(tmp_path), "superiority")
    assert "**cannot be told here**. aa: better, IR 10" in line
    assert "Not counted: IR 10, of which a number has a [flag]" in line
    assert "would show" not in line


def test_a_claim_is_corrected_over_its_own_differences_only(tmp_path: Path) -> None:
    for seed, (method, level) in product(range(4), (("taet", 0.7), ("at-bsl", 0.5), *((m, 0.6) for m in OTHERS))):
        measured(tmp_path, method, seed=seed, level=level)
    page = findings(tmp_path)
    assert row(page, TITLES["rivals"], "10", "AT-BSL")[-1] == "not distinguishable", "one of seven"
    assert "**holds**. aa: better, IR 10" in claim(page, "superiority"), "the only one"


def test_recipes_that_differ_fail_to_be_the_same(tmp_path: Path) -> None:
    official = CellSpec("x", "cifar10lt", 10.0, "resnet18", 0, Recipe(name="official"))
    for seed in (0, 1, 2):
        for method in ("taet", "at-bsl"):
            measured(tmp_path, method, seed=seed, level=0.8, attacks=("clean", "pgd-20"))
            measured(tmp_path, method, seed=seed, level=0.4, spec=official, attacks=("clean", "pgd-20"))
    line = claim(findings(tmp_path), "recipes")
    assert "**fails**. pgd-20: better at 0, worse at 2 of 2" in line  # the strongest attack that was run


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ((0.9, 0.3, 0.8), r" would show with roughly \d+ seeds \(there are 3\)\."),
        (
            (0.6,),
            r" would show with roughly [\d,]+ test images \(there are 4,084\)\. More seeds are needed: there is one\.",
        ),
    ],
)
def test_only_what_lacks_is_asked_for(tmp_path: Path, levels: tuple[float, ...], said: str) -> None:
    for seed, level in enumerate(levels):
        measured(tmp_path, "taet", seed=seed, level=level, largest=(5000, 1000))
        measured(tmp_path, "at-bsl", seed=seed, level=0.6, largest=(5000, 1000))
    line = claim(findings(tmp_path), "superiority")
    assert "**cannot be told here**" in line
    assert re.search(said, line)


@pytest.mark.parametrize(("images", "seeds", "word"), [(2000, 2, HOLDS), (2000, 1, OPEN), (5, 2, OPEN)])
def test_things_are_the_same_where_both_intervals_stay_within_the_tolerance(images: int, seeds: int, word: str) -> None:
    label = np.repeat(np.arange(10), images)
    bits = Bits(np.arange(len(label)), label, label % 2 == 0)
    gap = Gap(Case((), None, None), Pair(0.5, 0.5, compare([(bits, bits)] * seeds)), "not distinguishable")  # type: ignore[arg-type]
    assert verdict(EQUAL, [gap], incomplete=False) == word
    assert verdict(EQUAL, [gap], incomplete=True) == OPEN
    none = FAILS if word == HOLDS else OPEN  # a part is not needed without which the numbers match
    assert [verdict(expected, [gap], incomplete=True) for expected in (BETTER, WORSE)] == [none, none]


def test_tricks_are_compared_where_both_methods_have_them(tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        for method, level in (("taet", 0.5), ("at-bsl", 0.4), ("taet+ema", 0.9), ("at-bsl+ema", 0.3)):
            measured(tmp_path, method, seed=seed, level=level)
    page = findings(tmp_path)
    gap = accuracy(tmp_path, method="taet+ema", attack="aa") - accuracy(tmp_path, method="at-bsl+ema", attack="aa")
    found = row(page, TITLES["tricks"], "10", "TAET+ema", "AT-BSL+ema", "aa")
    assert found[7] == points(gap, signed=True)
    assert len(table_rows(section(page, TITLES["tricks"]), "10")) == 2 * 3, "plain, and with the trick"
    assert row(page, TITLES["gains"], "10", "TAET+ema", "TAET", "aa")[-1] == "better"
    gains = {r[2]: r[5:] for r in table_rows(section(page, TITLES["gains"]), "10", "+ema") if r[3] == "aa"}
    assert gains.keys() == {"TAET", "AT-BSL"}
    balanced, head, tail, _ = (float(text.split()[0].replace("−", "-")) for text in gains["TAET"])
    assert balanced == pytest.approx((head + tail) / 2, abs=0.011)
    assert gains["TAET"][0].endswith("▲")
    assert gains["AT-BSL"][0] == "−2.46", "its interval over seeds holds 0"
    assert "**holds**" in claim(page, "tricks")


def test_each_gain_is_under_the_strongest_attack_that_it_has(tmp_path: Path) -> None:
    for seed, method in product((0, 1), ("at-bsl", "at-bsl+ema", "at-bsl+awp", "taet", "taet+ema")):
        attacks = ("clean", "pgd-20", "aa") if method in ("at-bsl", "at-bsl+ema", "taet") else ("clean", "pgd-20")
        measured(tmp_path, method, seed=seed, level=0.5, attacks=attacks)
    found = [r for r in table_rows(section(findings(tmp_path), TITLES["gains"]), "10") if r[1].startswith("+")]
    attacks = {(method, trick): [r[3] for r in found if r[1:3] == [trick, method]] for _, trick, method, *_ in found}
    assert attacks == {
        ("AT-BSL", "+ema"): ["clean", "aa"],
        ("AT-BSL", "+awp"): ["clean", "pgd-20"],
        ("TAET", "+ema"): ["clean", "pgd-20"],
    }


def test_tricks_that_nobody_was_given_are_asked_for(tmp_path: Path) -> None:
    for method in ("taet", "at-bsl"):
        measured(tmp_path, method)
    page = findings(tmp_path)
    assert "--methods taet+awp,at-bsl+awp" in section(page, TITLES["tricks"])
    assert not table_rows(section(page, TITLES["tricks"]), "10"), "the plain methods are another question's"
    for command in commands(section(page, TITLES["tricks"])):
        works(command, tmp_path)


def test_a_trick_for_the_rare_classes_is_judged_by_their_recall(tmp_path: Path) -> None:
    for seed, (method, level) in product(range(5), (("taet", 0.5), ("at-bsl", 0.4), ("taet+robustlt", 0.9))):
        measured(tmp_path, method, seed=seed, level=level)
    page = findings(tmp_path)
    assert "**cannot be told here**" in claim(page, "rare")
    assert "Not measured: tail-80, AT-BSL, aa, IR 10." in claim(page, "rare")
    for classes in ("tail-80", "tail", "head"):
        plain, tricked = (accuracy(tmp_path, classes, method=m, attack="aa") for m in ("taet", "taet+robustlt"))
        found = row(page, TITLES["rare"], "10", "TAET", classes, "aa")
        assert found[4:8] == [points(plain), points(tricked), "5", points(tricked - plain, signed=True)]
    for seed in range(5):
        measured(tmp_path, "at-bsl+robustlt", seed=seed, level=0.8)
    assert "**holds**. aa: better at 2, worse at 0 of 2" in claim(findings(tmp_path), "rare")


def test_the_projects_own_baseline_is_no_rival_of_the_paper_and_how_it_was_found_is_told(tmp_path: Path) -> None:
    methods = {"taet": 0.4, "taet+ema": 0.8, "at-bsl": 0.6, "two-stage-bsl": 0.7, "two-stage-bsl+ema": 0.9}
    for seed, (method, level) in product((0, 1, 2), methods.items()):
        measured(tmp_path / "test", method, seed=seed, level=level)
    held = Recipe(validation=0.2, select="best[pgd-20]")
    for method, curve in (("taet", (0.2, 0.3)), ("two-stage-bsl+ema", (0.45, 0.4))):
        spec = CellSpec("x", "cifar10lt", 10.0, "resnet18", 0, held)
        cell = measured(tmp_path / "search", method, spec=spec, phases=("natural", "adversarial"), attacks=("clean",))
        log = pd.read_csv(tmp_path / "search" / cell / CURVES)
        log.assign(validation=curve).to_csv(tmp_path / "search" / cell / CURVES, index=False)
    page = findings(tmp_path / "test", tmp_path / "search")
    assert "**holds**" in claim(page, "own")
    line = claim(page, "rivals")
    assert ", AT-BSL, IR 10 (" in line
    assert "two-stage" not in line
    own = section(page, TITLES["own"])
    assert table_rows(own, "10", "two-stage-bsl", "AT-BSL", "long-tailed", "aa")
    assert table_rows(own, "10", "two-stage-bsl+ema", "TAET+ema", "long-tailed", "aa"), "what its trick alone gives"
    assert not table_rows(own, "10", "two-stage-bsl", "TAET+ema"), "one without a trick against one with it"
    assert [r[0] for r in table_rows(own) if r[-2:] in (["40.00", "45.00"], ["30.00", "30.00"])] == [
        "two-stage-bsl+ema",
        "TAET",
    ]
    assert "pgd-20 on 20 % of each class's training images" in own
    told = [line for line in page.splitlines() if line.startswith("- **Setting ")]
    assert ["held out of all of them" in line for line in told] == [False, True]


def test_the_loss_and_the_stages_are_each_changed_alone(tmp_path: Path) -> None:
    levels = {"at-bsl": 0.8, "two-stage-bsl": 0.7, "harl": 0.4, "taet": 0.5}
    for seed, (method, level) in product(range(3), levels.items()):
        measured(tmp_path, method, seed=seed, level=level)
    page = findings(tmp_path)
    mean = {method: accuracy(tmp_path, "balanced", method=method, attack="aa") for method in levels}
    for what, (a, b) in factors.FACTORS.items():
        found = row(page, TITLES["origin"], "10", what, method_label(a), method_label(b), "aa")
        assert found[5:9] == [points(mean[b]), points(mean[a]), "3", points(mean[a] - mean[b], signed=True)]
    assert "**fails**. aa: better at 0, worse at 2 of 2" in claim(page, "loss"), (
        "only those that change the loss decide"
    )


def test_the_ends_of_the_training_attacks_settings_are_compared_with_each_other(tmp_path: Path) -> None:
    levels = {"": 0.6, "step=1/255": 0.5, "step=3/255": 0.8, "step=1/255,steps=30": 0.5}
    for seed, (variant, level) in product(range(5), levels.items()):
        measured(tmp_path, "taet", seed=seed, level=level, variant=variant)
    page = findings(tmp_path)
    assert "(paper: +6.57 points): **holds**" in claim(page, "sizes"), "of the paper's 31.17 and 37.74"
    assert "**holds**" not in claim(page, "steps")
    label = method_label("taet")
    first, second = f"{label}\\[step=3/255\\]", f"{label}\\[step=1/255\\]"
    assert table_rows(section(page, TITLES["varied"]), "10", first, second, "aa")
    assert table_rows(section(page, TITLES["varied"]), "10", first, label, "aa")


def test_a_setting_says_what_of_its_code_has_changed_since(tmp_path: Path) -> None:
    for method in ("taet", "at-bsl"):
        cell = measured(tmp_path, method)
        change(tmp_path, cell, inputs={"method": code("methods", method)})
    assert "made before changes" not in findings(tmp_path)
    change(tmp_path, cell, inputs={"method": "another"})
    campaign = section(findings(tmp_path), "What was measured")
    assert "Some cells were made before changes to the code of method 'at-bsl' (" in campaign


def test_drawings_show_chance_and_their_text_is_text(tmp_path: Path) -> None:
    for seed in (0, 1):
        for method, level in (("taet", 0.8), ("at-bsl", 0.5)):
            measured(tmp_path, method, seed=seed, level=level)
    made = answered(tmp_path)
    svg = ElementTree.fromstring(made.pictures["pictures/findings-superiority.svg"])
    texts = [one.text for one in svg.iter("{http://www.w3.org/2000/svg}text")]
    for word in ("TAET", "AT-BSL", "IR 10", "constant answer", "difference, points"):
        assert word in texts
    width = float(svg.attrib["width"])
    for line in svg.iter("{http://www.w3.org/2000/svg}line"):
        assert all(0 <= float(line.attrib[end]) <= width for end in ("x1", "x2"))
    assert "(pictures/findings-superiority.svg)" in made.text
    assert made.pictures == answered(tmp_path).pictures


def test_a_drawing_is_of_the_seeds_that_both_have(tmp_path: Path) -> None:
    for seed, (method, level) in product((0, 1), (("taet", 0.8), ("at-bsl", 0.5))):
        measured(tmp_path, method, seed=seed, level=level)
    shared = answered(tmp_path).pictures["pictures/findings-superiority.svg"]
    measured(tmp_path, "taet", seed=2, level=0.2)
    assert answered(tmp_path).pictures["pictures/findings-superiority.svg"] == shared


def test_stand_in_pixels_are_another_setting_with_their_mark(tmp_path: Path) -> None:
    for source in ("cifar10", "drawn at random"):
        spec = CellSpec(
            "x", "cifar10lt", 10.0, "resnet18", 0, selection="seeded:1" if source != "cifar10" else "seeded"
        )
        for method in ("taet", "at-bsl"):
            measured(tmp_path, method, source=source, spec=spec)
    page = findings(tmp_path)
    heads = re.findall(r"^### (.*)\n\n\*(.*)\*$", section(page, CW), re.M)
    data = ["CIFAR-10-LT, ResNet-18", "cifar10lt, ResNet-18, not the paper's data"]
    assert heads == list(zip(["Setting 1", "Setting 2"], data, strict=True))
    (told,) = (line for line in page.splitlines() if line.startswith("- **Setting 2**"))
    assert "pixels from drawn at random — not the paper's data" in told


def test_the_papers_own_settings_are_missed_until_they_are_there(tmp_path: Path) -> None:
    for method in ("taet", "at-bsl"):
        measured(tmp_path, method, spec=REDUCED, model="small-cnn")
    assert "Under the paper's own settings" in section(findings(tmp_path), SUPERIORITY)
    for method in ("taet", "at-bsl"):
        measured(tmp_path, method)
    page = findings(tmp_path)
    assert "Under the paper's own settings" not in section(page, SUPERIORITY)


@pytest.mark.parametrize(
    ("key", "where", "others", "absent"),
    [
        (
            "medical",
            {"dataset": "dermamnist", "source": "dermamnist", "ir": 58.66, "natural": True},
            "adt,mart,trades",
            "ADT",
        ),
        ("rivals", {}, "at,harl,mart,reat,robal,trades", "AT, IR 10"),
        ("rivals-50", {"ir": 50.0}, "at,harl,mart,reat,robal,trades", "AT, IR 50"),
    ],
)
def test_better_than_all_others_takes_all_others(
    tmp_path: Path, key: str, where: Any, others: str, absent: str
) -> None:
    for seed in range(5):
        for method, level in (("taet", 0.9), ("at-bsl", 0.2)):
            measured(tmp_path, method, seed=seed, level=level, **where)
    line = claim(findings(tmp_path), key)
    assert "**cannot be told here**" in line
    assert f"Not measured: {absent}" in line
    for seed in range(5):
        for method in others.split(","):
            measured(tmp_path, method, seed=seed, level=0.2, **where)
    assert "**holds**" in claim(findings(tmp_path), key)


def test_a_claim_does_not_hold_of_what_could_not_be_paired(tmp_path: Path) -> None:
    for ir, seed, (method, level) in product((10.0, 20.0, 50.0, 100.0), range(5), (("taet", 0.9), ("at-bsl", 0.2))):
        measured(tmp_path, method, seed=seed + (5 if (ir, method) == (50.0, "taet") else 0), ir=ir, level=level)
    line = claim(findings(tmp_path), "ratios")
    assert "**cannot be told here**" in line
    assert "Not paired, for want of seeds, images or bits that both have: IR 50." in line


def test_a_claim_about_medical_images_is_about_no_others_and_about_no_method_of_this_project(tmp_path: Path) -> None:
    ham = {"dataset": "archive:ham", "source": "HAM10000, in another size", "ir": 58.66, "natural": True}
    for seed in range(5):
        for method in ("taet", "adt", "at-bsl", "mart", "trades", "two-stage-bsl"):
            level = 0.9 if method == "taet" else 0.95 if method == "two-stage-bsl" else 0.2
            measured(tmp_path / "digits", method, seed=seed, level=level, **ham | {"source": "digits"})
            measured(tmp_path / "ham", method, seed=seed, level=level, **ham)
    assert "**not measured**" in claim(findings(tmp_path / "digits"), "medical")
    assert "**holds**" in claim(findings(tmp_path / "ham"), "medical")


@pytest.mark.parametrize(
    ("often", "audits", "said"),
    [
        ({"clean": 9, "aa": 1, "aa-audited": 6}, ["aa-audited"], "aa-audited"),
        ({"clean": 9, "aa": 6, "aa-audited": 6}, ["aa-audited"], "aa"),
        ({"clean": 9, "pgd-20": 9}, [], "aa"),
    ],
)
def test_autoattack_of_a_few_does_not_hide_the_audits_of_all(often: Any, audits: Any, said: str) -> None:
    assert _autoattack(often, audits) == said


def test_a_perfect_order_of_few_rows_is_no_certainty() -> None:
    r, low, high = rank_correlation([1, 2, 3, 4, 5], [1, 2, 3, 4, 5])  # type: ignore[misc]
    assert (r, high) == (1.0, 1.0)
    assert low < 0.5
    assert rank_correlation([1, 2, 3, 4, 5], [5, 4, 3, 2, 1]) == (-1.0, -1.0, -low)


def test_data_with_their_own_imbalance_have_a_ratio_too(tmp_path: Path) -> None:
    for method in ("taet", "at-bsl"):
        measured(tmp_path, method, dataset="dermamnist", source="dermamnist", ir=58.66, natural=True)
    page = findings(tmp_path)
    for title in (SUPERIORITY, CW, COST):
        assert table_rows(section(page, title), "natural (62.5)")
        assert not table_rows(section(page, title), "0")
    assert not table_rows(section(page, SUPERIORITY), "20")


# ---------------------------------------------------------------------------------------------- the answers


def test_a_paired_difference_is_that_of_the_judge_and_of_the_rows(tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        measured(tmp_path, "taet", seed=seed, level=0.4)
        measured(tmp_path, "at-bsl", seed=seed, level=0.8)
    page = findings(tmp_path)
    (line,) = (one for one in compare_methods(tmp_path, "taet", "at-bsl", Wanted(attacks=("aa",))) if one.seed is None)
    ours, rival = (accuracy(tmp_path, method=method, attack="aa") for method in ("taet", "at-bsl"))
    gap, found = points(ours - rival, signed=True), line.comparison
    assert line.verdict == "worse"
    assert row(page, SUPERIORITY, "10") == [
        "10", "long-tailed", points(rival), points(ours), "3", gap, span(found.images), span(found.seeds), "worse",
    ]  # fmt: skip
    short = section(page, SUPERIORITY)
    assert "**better at 0, worse at 1 of 1**" in short
    assert f"worse: IR 10 ({gap}; images {span(found.images)}; 3 seeds {span(found.seeds)})" in short
    assert "not measured yet: IR 20, IR 50, IR 100" in short


def test_the_numbers_of_a_difference_have_their_marks_and_the_table_says_what_they_mean(tmp_path: Path) -> None:
    attacks = ("clean", "pgd-20", "aa", "aa-10")
    for seed in (0, 1):
        measured(tmp_path, "taet", seed=seed, level=0.8, attacks=attacks, flags="collapse" if seed else "")
        measured(tmp_path, "harl", seed=seed, level=0.0, attacks=attacks)
    measured(tmp_path, "harl", seed=2, level=0.0, attacks=attacks, flags="few")  # in no difference
    page = findings(tmp_path)
    two, one = (
        points(np.mean([accuracy(tmp_path, method=m, attack="aa", seed=s) for s in (0, 1)])) for m in ("taet", "harl")
    )
    mark, text = flag("collapse").mark, flag("collapse").text
    assert row(page, STAGES, "10", "long-tailed", "aa")[3:5] == [f"{one} ≤", f"{two} {mark}"]
    assert row(page, STAGES, "10", "long-tailed", "clean")[4] == points(
        accuracy(tmp_path, method="taet", attack="clean")
    )
    told = section(page, STAGES).split("| 10 | long-tailed | aa |")[1].splitlines()[2:4]
    assert told == [f"- {mark}: {markdown(text)}", "- ≤: at or below a constant answer"]
    (weak,) = (r for r in table_rows(section(page, CW), "10", "TAET") if len(r) == 8)
    assert [cell.split(" ", 1)[1] for cell in weak[2:4]] == [mark, mark]
    assert "≤" not in section(page, TITLES["cost"])


def test_attacks_are_compared_on_the_same_checkpoint(tmp_path: Path) -> None:
    measured(tmp_path, "at", attacks=(*ATTACKS, "aa-10"))
    page = findings(tmp_path)
    found = {a: accuracy(tmp_path, attack=a) for a in (*ATTACKS, "aa-10")}
    wide, weak = table_rows(section(page, CW), "10", "AT")
    assert wide[2:5] == [points(found[a]) for a in ("clean", "cw-l2", "cw-linf")]
    assert wide[6] == points(found["cw-l2"] - found["cw-linf"], signed=True)
    assert wide[9] == points(found["aa"])
    assert [*weak[2:4], weak[5]] == [
        points(found["aa"]),
        points(found["aa-10"]),
        points(found["aa-10"] - found["aa"], signed=True),
    ]


def test_what_was_trained_without_attack_is_known_by_its_epochs_not_by_its_name(tmp_path: Path) -> None:
    official = CellSpec("ce", "cifar10lt", 10.0, "resnet18", 0, Recipe(name="official"))
    plain = [
        measured(tmp_path, "ce", phases=("natural",)),
        measured(tmp_path, "ce", phases=("natural",), spec=official),
    ]
    attacked = [
        measured(tmp_path, method, phases=("natural", "adversarial"))
        for method in ("taet", "harl", "at", "trades", "mart")
    ]
    for i, cell in enumerate([*plain, *attacked]):
        change(tmp_path, cell, probes={"long-tailed": {"margin": 0.1 * (i + 1)}})
    assert "over the 5 adversarially trained ones" in section(findings(tmp_path), CW)


def test_a_cell_without_a_logit_margin_shows_a_dash_and_is_in_no_correlation(tmp_path: Path) -> None:
    methods = ("taet", "harl", "at", "trades", "mart", "at-bsl", "gairat")
    cells = [measured(tmp_path, method) for method in methods]
    for i, cell in enumerate(cells[:6]):
        change(tmp_path, cell, probes={"long-tailed": {"margin": 0.1 * (i + 1)}})
    change(tmp_path, cells[5], probes={"long-tailed": {"margin": None}})
    page = findings(tmp_path)
    assert not re.search(r"\bnan\b", page, re.IGNORECASE)
    assert row(page, CW, "10", "GAIRAT")[10] == row(page, CW, "10", "AT-BSL")[10] == "—"
    assert row(page, CW, "10", "TAET")[10] == "0.1"
    assert "over the 5 adversarially trained ones" in section(page, CW)


def test_a_ranking_that_turns_is_told_with_the_pair_that_turned(tmp_path: Path) -> None:
    levels = {"at": 0.9, "taet": 0.6, "trades": 0.3}
    for method, level in levels.items():
        measured(tmp_path, method, splits=("long-tailed", "balanced"), level=level, attacks=("clean",))
    same = section(findings(tmp_path), RANKING)
    line = table_rows(same, "10", "clean")[0]
    assert line[2:4] == ["+1.00", "0 of 3"]
    assert line[5:] == ["AT, TAET, TRADES"] * 2
    turned = tmp_path / "turned"
    for method, level in levels.items():
        cell = measured(turned, method, splits=("long-tailed", "balanced"), level=level, attacks=("clean",))
        other = measured(
            tmp_path / "other", method, splits=("long-tailed", "balanced"), level=1.2 - level, attacks=("clean",)
        )
        join_splits(turned / cell, tmp_path / "other" / other)
    page = findings(turned)
    line = table_rows(section(page, RANKING), "10", "clean")[0]
    assert line[2:4] == ["−1.00", "3 of 3"]
    assert line[5:] == ["AT, TAET, TRADES", "TRADES, TAET, AT"]
    pair = table_rows(section(page, RANKING), "10", "clean", "AT minus TRADES")
    assert [(one[3], one[-1]) for one in pair] == [("long-tailed", "better"), ("balanced", "worse")]
    assert "3 of 3 pairs of methods change places, 3 distinguishably" in section(page, RANKING)


def join_splits(folder: Path, other: Path) -> None:
    """Give a cell the balanced split of another one."""
    mine, theirs = ((f / "per_class.csv").read_text().splitlines() for f in (folder, other))
    kept = [line for line in mine if ",balanced," not in line]
    (folder / "per_class.csv").write_text("\n".join([*kept, *(x for x in theirs if ",balanced," in x)]) + "\n")
    bits, others = query.samples(folder), query.samples(other)
    np.savez(folder / SAMPLES, **bits | {k: v for k, v in others.items() if k.startswith("balanced/")})


def test_two_stages_are_compared_with_one_and_their_passes_counted(tmp_path: Path) -> None:
    for method, passes in (("taet", 600), ("harl", 1000)):
        cell = measured(tmp_path, method, splits=("long-tailed", "balanced"))
        train = read_cell(tmp_path / cell)["stages"]["train"]
        change(tmp_path, cell, stages={"train": train | {"forward": passes, "backward": passes}})
    page = findings(tmp_path)
    two, one = (accuracy(tmp_path, method=m, attack="aa", test_split="balanced") for m in ("taet", "harl"))
    assert row(page, STAGES, "10", "balanced", "aa")[3:7] == [
        points(one),
        points(two),
        "1",
        points(two - one, signed=True),
    ]
    assert row(page, STAGES, "10", "2000")[:4] == ["10", "2000", "1200", "0.600"]
    assert "TAET trains with 0.600 of the passes of HARL" in section(page, STAGES)


@pytest.mark.parametrize("method", ["taet", "harl"])
def test_recipes_and_parts_are_compared_seed_by_seed(tmp_path: Path, method: str) -> None:
    official = CellSpec(method, "cifar10lt", 10.0, "resnet18", 0, Recipe(name="official"))
    for seed in (0, 1):
        measured(tmp_path, method, seed=seed, level=0.8)
        measured(tmp_path, method, seed=seed, level=0.6, spec=official)
        measured(tmp_path, method, seed=seed, level=0.4, variant="beta=0")
        measured(tmp_path, method, seed=seed, level=0.5, variant="beta=0.2")  # weighs the part, does not leave it out
    measured(tmp_path, method, seed=2, level=0.1)  # without a partner, so in no difference
    page, lines = findings(tmp_path), summarise(Results(tmp_path).rows)
    mean = lines[lines["attack"].eq("aa") & lines["seed"].lt(2)].groupby(["recipe", "variant", "seed"])["balanced"]
    found = mean.first().unstack("seed")
    whole = found.loc["paper", ""]
    label = method_label(method)
    for title, other, first in (
        (RECIPES, found.loc["official", ""], ("10", label, "official", "aa")),
        (PARTS, found.loc["paper", "beta=0"], ("10", label, "HDL", "aa")),
    ):
        gap = (other - whole).mean()
        assert row(page, title, *first)[4:7] == [points(whole.mean()), points(other.mean()), "2"]
        assert row(page, title, *first)[7] == points(gap, signed=True)
    assert not table_rows(section(page, PARTS), "10", label, "")
    absent = "HARL" if method == "taet" else "TAET"
    assert f"not measured yet: {absent}" in section(page, PARTS)


def test_costs_are_those_of_the_stages(tmp_path: Path) -> None:
    cell = measured(tmp_path, "taet", phases=("natural", "adversarial"))
    stages = read_cell(tmp_path / cell)["stages"]
    aa = {"seconds": 4.0, "peak_memory_mib": 700.0, "forward": 60, "backward": 20, "images": 4084}
    change(tmp_path, cell, stages=stages | {"long-tailed/aa": aa})
    page = findings(tmp_path)
    # (1000 + 900) passes in 100 s; epochs of 10 and 11 s
    assert row(page, COST, "10", "TAET")[3:] == ["100", "19", "512", "10.0", "11.0"]
    assert row(page, COST, "10", "long-tailed", "aa")[3:] == ["1", "4084", "4.0", "20", "700"]


def test_a_peak_that_is_not_known_is_a_dash(tmp_path: Path) -> None:
    cell = measured(tmp_path, "taet")
    train = read_cell(tmp_path / cell)["stages"]["train"]
    change(tmp_path, cell, stages={"train": train | {"peak_memory_mib": None}})
    page = findings(tmp_path)
    assert row(page, COST, "10", "TAET")[5] == "—"
    assert "a training took 100 s at 19 passes/s." in section(page, COST)


def test_targets_are_met_or_missed_only_by_the_card_they_are_for(tmp_path: Path) -> None:
    target = "100 epochs of AT"
    cell = measured(tmp_path, "at")
    assert row(findings(tmp_path), COST, target)[2] == "not measured yet"  # a CPU says nothing of the target
    change(tmp_path, cell, device={"kind": "cuda", "name": "NVIDIA H100 80GB HBM3"})
    assert row(findings(tmp_path), COST, target)[2:] == ["100", "19", "512", "NVIDIA H100 80GB HBM3", "fp32", "yes"]
    assert "the full recipe, batches of 128): met 1 of 3." in section(findings(tmp_path), COST)
    change(tmp_path, cell, device={"kind": "cuda", "name": "another"})
    assert row(findings(tmp_path), COST, target)[-1] == "another card"
    train = read_cell(tmp_path / cell)["stages"]["train"]
    change(tmp_path, cell, device={"kind": "cuda", "name": "H100"}, stages={"train": train | {"seconds": 181.0}})
    assert row(findings(tmp_path), COST, target)[-1] == "no"


# ------------------------------------------------------------------------------------- what cannot be said


def test_a_failed_cell_is_named_with_its_reason(tmp_path: Path) -> None:
    measured(tmp_path, "at")
    name = write_cell(tmp_path, "mart", status="failed")
    assert f"{name} (the loss became NaN in epoch 3)" in section(findings(tmp_path), "What cannot be said")


def test_a_cell_without_bits_is_named_and_in_no_difference(tmp_path: Path) -> None:
    measured(tmp_path, "taet")
    bare = write_cell(tmp_path, "at-bsl")
    page = findings(tmp_path)
    assert bare in section(page, "What cannot be said").split("without the bit of each image")[1]
    assert not table_rows(section(page, CW), "10", "AT-BSL")
    assert table_rows(section(page, CW), "10", "TAET")
