"""`bench report --paper`: the table of a manuscript, as its author asks for it, compiled."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bench.cli import main
from bench.config import CellSpec, Recipe, ThreatModel
from bench.judge.metrics import metric
from bench.reports.source import Source

GOLDEN = Path(__file__).resolve().parents[2] / "results" / "golden"
CUTS = ["--methods", "at-bsl,taet", "--label", "taet=TAET (ours) & 100 % β"]


def paper(folder, *words, results=GOLDEN):
    with pytest.raises(SystemExit) as ended:
        main(["report", "--paper", "--results", str(results), "--output", str(folder), *map(str, words)])
    return ended.value.code


def rows(folder):
    """label -> cells, of the Markdown."""
    lines = [line for line in (folder / "paper.md").read_text().splitlines() if line.startswith("| ")][2:]
    return {cells[0]: cells[1:] for line in lines if (cells := [c.strip() for c in line.strip("| ").split(" | ")])}


@pytest.fixture
def seeds(tmp_path, make_cell):
    """Two methods with three seeds at two ratios, and a network from elsewhere."""
    for method in ("taet", "at-bsl"):
        for ir in (10.0, 50.0):
            for seed in range(3):
                make_cell(tmp_path / "runs", method, ir=ir, seed=seed)
    return tmp_path / "runs"


def test_order_labels_and_numbers_are_the_authors_and_the_stores(tmp_path, capsys):
    assert paper(tmp_path, *CUTS, "--irs", "20,10", "--columns", "aa,clean") == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "paper.tex"), str(tmp_path / "paper.md")]
    found = rows(tmp_path)
    assert list(found) == ["AT-BSL", "TAET (ours) & 100 % β".replace("&", "&amp;")]
    source = Source(GOLDEN)
    (setting,) = [s for s in source.index if s.model == "" and s.recipe == "paper" and s.test_split == "long-tailed"][
        :1
    ]
    want = []
    for ir in (20.0, 10.0):
        for attack in ("aa", "clean"):
            (one,) = [
                e
                for c in source.configs(setting)
                if (c.label, c.ir, c.model) == ("at-bsl", ir, "small-cnn")
                for e in source.evaluations(setting, c, attack)
            ]
            want.append(f"{100 * float(metric('balanced', one.n, one.correct)):.2f}")
    assert [re.sub(r"[*]|<.*", "", cell) for cell in found["AT-BSL"]] == want


@pytest.mark.parametrize("spread", ["std", "images", "seeds", "none"])
def test_what_stands_behind_the_mean(spread, seeds, tmp_path):
    assert (
        paper(tmp_path, "--methods", "taet", "--irs", "10", "--columns", "clean", "--spread", spread, results=seeds)
        == 0
    )
    (cell,) = rows(tmp_path)["TAET"]
    source = Source(seeds)
    (setting,) = source.index
    found = [
        e
        for c in source.configs(setting)
        if (c.label, c.ir) == ("taet", 10.0)
        for e in source.evaluations(setting, c, "clean")
    ]
    values = np.array([100 * float(metric("balanced", e.n, e.correct)) for e in found])
    known = source.estimate(found, "balanced")
    half = {"std": values.std(ddof=1), "images": 100 * known.sampling.margin, "seeds": 100 * known.seeds.margin}
    assert cell == f"{values.mean():.2f}" + (f" ± {half[spread]:.2f}" if spread in half else "")
    caption = (tmp_path / "paper.md").read_text().splitlines()[0]
    assert {
        "std": "standard deviation over 3 seeds",
        "images": "over test images",
        "seeds": "interval over 3 seeds",
        "none": "mean over 3 seeds",
    }[spread] in caption


def test_the_caption_is_one_line_without_a_command_or_a_path(tmp_path, seeds):
    for results, where in ((GOLDEN, tmp_path / "a"), (seeds, tmp_path / "b")):
        assert paper(where, results=results) == 0
        text = (where / "paper.tex").read_text()
        (caption,) = re.findall(r"\\caption\{(.*)\}\n", text)
        for word in ("Balanced accuracy in", "long-tailed test split", "recipe paper", "AutoAttack", "varepsilon"):
            assert word in caption
        for word in ("bench ", "results/", str(results), "--"):
            assert word not in text.replace("---", "")
    assert "reduced runs (epochs=6 of 100)" in (tmp_path / "a" / "paper.md").read_text()
    assert "reduced" not in (tmp_path / "b" / "paper.md").read_text()


@pytest.mark.parametrize(("columns", "told"), [("clean,pgd-20", True), ("clean,aa", False), ("clean,worst", False)])
def test_a_table_without_autoattack_says_what_that_means(tmp_path, columns, told):
    assert paper(tmp_path, "--methods", "at,at-bsl", "--irs", "10", "--columns", columns) == 0
    caption = (tmp_path / "paper.md").read_text().splitlines()[0]
    assert ("without AutoAttack, so robustness may be overstated" in caption) is told


def test_bold_without_anything_bold_is_not_explained(tmp_path):
    assert paper(tmp_path, "--methods", "at", "--irs", "10", "--columns", "clean,aa") == 0
    text = (tmp_path / "paper.md").read_text()
    assert "bold" not in text
    assert "**" not in text


def test_bold_is_tested_or_the_highest_or_nothing(tmp_path):
    words = ["--methods", "at,at-bsl,ce", "--irs", "10", "--columns", "clean,aa"]
    bold = {}
    for best in ("tested", "highest", "none"):
        assert paper(tmp_path, *words, "--best", best) == 0
        bold[best] = {(name, i) for name, cells in rows(tmp_path).items() for i, c in enumerate(cells) if "**" in c}
    assert bold["none"] == set()
    assert bold["highest"] == {("CE", 0), ("AT", 1)}
    assert bold["tested"] > bold["highest"]  # AT-BSL cannot be told apart from the highest in either column
    assert ("AT-BSL", 1) in bold["tested"]
    assert paper(tmp_path, *words, "--metric", "tail") == 0
    assert "bold: highest mean" in (tmp_path / "paper.md").read_text()


def test_classes_are_weighed_as_a_ratio_would_have_them(seeds, tmp_path):
    words = ("--methods", "taet", "--irs", "50", "--columns", "clean", "--spread", "none")
    shown = {}
    for name in ("standard", "prior-50", "balanced"):
        assert paper(tmp_path, *words, "--metric", name, results=seeds) == 0
        shown[name] = float(rows(tmp_path)["TAET"][0])
    assert abs(shown["prior-50"] - shown["standard"]) < 0.2  # the test images have that ratio, but for whole numbers
    assert abs(shown["prior-50"] - shown["balanced"]) > 1
    assert paper(tmp_path, *words, "--metric", "prior-50", results=seeds) == 0
    assert "Accuracy with classes as frequent as at IR 50 in %" in (tmp_path / "paper.md").read_text()


def test_what_only_some_numbers_are_made_with_is_said_as_such(seeds, tmp_path, make_cell):
    for method in ("ce", "at"):
        make_cell(seeds, method, spec=CellSpec(method, "cifar10lt", 10.0, "resnet18", 0, precision="bf16"))
    for methods, said in (("ce,at", "; bf16;"), ("ce,taet", "; in part bf16;")):
        assert paper(tmp_path, "--methods", methods, "--irs", "10", results=seeds) == 0
        assert said in (tmp_path / "paper.md").read_text()


def test_numbers_of_another_radius_or_length_are_not_ranked_with_the_others(seeds, tmp_path, make_cell):
    short = CellSpec("x", "cifar10lt", 10.0, "resnet18", 0, Recipe(epochs=3))
    near = CellSpec("x", "cifar10lt", 10.0, "resnet18", 0, threat=ThreatModel(2 / 255))
    for seed in range(3):
        make_cell(seeds, "ce", seed=seed, spec=short, level=0.95)
        make_cell(seeds, "trades", seed=seed, spec=near, level=0.9)
        make_cell(seeds, "mart", seed=seed, level=0.3)
    words = ("--methods", "ce,trades,mart,taet,at-bsl", "--irs", "10", "--columns", "clean,aa")
    assert paper(tmp_path, *words, results=seeds) == 0
    shown, text = rows(tmp_path), (tmp_path / "paper.md").read_text()
    bold = {name for name, cells in shown.items() for cell in cells if "**" in cell}
    assert bold
    assert not bold & {"CE", "TRADES", "MART"}
    assert "not ranked with the others: epochs=3 of 100" in text
    assert "not ranked with the others: radius 2/255" in text
    assert "in part reduced runs (epochs=3 of 100)" in text
    assert all("s1" in cell or "s2" in cell for name in ("CE", "TRADES") for cell in shown[name])
    assert not any("s1" in cell or "s2" in cell for name in ("MART", "TAET", "AT-BSL") for cell in shown[name])


def test_several_networks_are_a_column_and_what_is_missing_is_said(tmp_path, capsys):
    assert (
        paper(tmp_path, "--methods", "ce[batch_size=32,lr=0.02],at-bsl", "--irs", "10", "--columns", "clean,pgd-100")
        == 0
    )
    text = (tmp_path / "paper.md").read_text()
    assert "| Method | Network |" in text
    assert "| resnet18-thin |" in text
    assert (
        "missing: ce[batch_size=32,lr=0.02] on resnet18-thin has no number for digitslt, IR 10 under pgd-100"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (["--methods", "teat"], "Did you mean 'taet'"),
        (["--label", "nothing=x"], "names no method of the store; write for instance --label"),
        (["--columns", "pgd-7"], "column 'pgd-7' has no number here"),
        (["--metric", "balance"], "Did you mean 'balanced'"),
        (["--spread", "variance"], "--spread variance is not one of std, images, seeds, none"),
        (["--best", "yes"], "--best yes is not one of"),
        (["--irs", "7"], "--irs 7 is not in the store; it holds 10, 20, 50"),
        (["--dataset", "cifar10lt"], "holds nothing of that choice; it holds digitslt"),
        (["--format", "html"], "--format html is unknown with --paper"),
    ],
)
def test_a_choice_that_cannot_be_filled_is_one_sentence(words, pattern, tmp_path, capsys):
    assert paper(tmp_path, *words) == 2
    error = capsys.readouterr().err.strip()
    assert pattern in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_its_options_mean_nothing_without_it(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["report", "--results", str(GOLDEN), "--output", str(tmp_path), "--label", "taet=Ours"])
    assert ended.value.code == 2
    assert "--label belongs to --paper; add it." in capsys.readouterr().err


@pytest.mark.latex
@pytest.mark.skipif(shutil.which("latexmk") is None, reason="latexmk is not installed")
def test_it_compiles_with_booktabs_alone_and_fits_the_page(tmp_path, seeds):
    assert paper(tmp_path / "a", *CUTS) == 0
    assert paper(tmp_path / "b", "--spread", "seeds", "--label", r"taet=\input{x} $ # _ ^ ~ é", results=seeds) == 0
    body = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{a/paper}\input{b/paper}\end{document}"
    (tmp_path / "own.tex").write_text(body)
    ran = subprocess.run(
        ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "own.tex"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]
    log = (tmp_path / "own.log").read_text(errors="replace")
    assert "Overfull" not in log
    assert "undefined" not in log
    assert (tmp_path / "own.pdf").stat().st_size > 10_000
