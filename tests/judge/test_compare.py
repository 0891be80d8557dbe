import json
import re
import shlex
import shutil
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from click.testing import CliRunner

from bench.cli import group
from bench.cli.options.common import comma_list
from bench.config import CellSpec
from bench.engine.grid import Axes, expand
from bench.errors import StoreError, UsageError
from bench.judge.attribution import attribution
from bench.judge.compare import compare_across, compare_methods, compare_stores
from bench.judge.pairs.wanted import Wanted
from bench.judge.selected import called, run_command
from bench.store.schema import SAMPLES


def run(*words):
    result = CliRunner().invoke(group, ["compare", *map(str, words)], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.output


@dataclass(frozen=True)
class Specified:
    spec: CellSpec


@pytest.fixture
def grid(maker):
    for seed in range(3):
        maker.cell("taet", seed, draw="shared", shift=0.25)
        maker.cell("at-bsl", seed, draw="shared")
    return maker


def test_a_line_for_each_seed_and_one_pooled(grid):
    lines = compare_methods(grid.root, "taet", "at-bsl", Wanted(attacks=("aa",), test_split="balanced"))
    assert [(line.seed, line.seeds) for line in lines] == [(0, (0,)), (1, (1,)), (2, (2,)), (None, (0, 1, 2))]
    pooled = lines[-1].comparison
    assert pooled.per_seed == pytest.approx([line.comparison.difference for line in lines[:3]])
    assert pooled.size == 160  # the images are the same for all seeds
    assert pooled.seeds is not None
    assert all(line.comparison.seeds is None for line in lines[:3])
    assert lines[-1].verdict == "better"


def test_the_difference_is_that_of_the_stored_counts(grid):
    from bench.judge.metrics import summarise
    from bench.store.results import Results

    table = summarise(Results(grid.root).rows).set_index(["method", "seed", "test_split", "attack"])["balanced"]
    for line in compare_methods(grid.root, "taet", "at-bsl"):
        if line.seed is not None:
            key = (line.seed, line.test_split, line.attack)
            assert line.comparison.difference == pytest.approx(table["taet", *key] - table["at-bsl", *key])


def test_holm_over_the_lines_of_the_table(grid):
    one = compare_methods(grid.root, "taet", "at-bsl", Wanted(attacks=("aa",), test_split="balanced"))
    many = compare_methods(grid.root, "taet", "at-bsl")
    same = [line for line in many if (line.attack, line.test_split) == ("aa", "balanced")]
    assert all(b.p >= a.p for a, b in zip(one, same, strict=True))
    assert sum(b.p for b in same) > sum(a.p for a in one)
    assert all(line.p >= line.comparison.p for line in many)


def test_the_worst_case_is_compared_too(grid):
    lines = compare_methods(grid.root, "taet", "at-bsl", Wanted(attacks=("worst",), test_split="balanced"))
    stronger = compare_methods(grid.root, "taet", "at-bsl", Wanted(attacks=("aa",), test_split="balanced"))
    # bits of this store are nested, so the worst case is the strongest attack
    assert [a.comparison.per_seed for a in lines] == [b.comparison.per_seed for b in stronger]


def test_variants_are_methods_of_their_own(grid):
    grid.cell("taet", 0, draw="shared", variant="beta=0.05")
    lines = compare_methods(grid.root, "taet[beta=0.05]", "taet", Wanted(attacks=("aa",)))
    assert {line.seeds for line in lines} == {(0,)}
    with pytest.raises(UsageError, match=r"taet\[beta=9\].*Did you mean 'taet\[beta=0.05\]'"):
        compare_methods(grid.root, "taet[beta=9]", "taet")


def test_cells_of_another_setting_are_not_paired(maker, short_recipe):
    maker.cell("taet", 0, recipe=short_recipe)
    maker.cell("at-bsl", 0)
    with pytest.raises(
        StoreError, match=r"that belong together: epochs is 3 in taet, 100 in at-bsl; run `bench"
    ) as caught:
        compare_methods(maker.root, "taet", "at-bsl")
    assert shlex.split(str(caught.value).partition("`")[2].partition("`")[0]) == [
        "bench", "run", "--methods", "taet,at-bsl", "--datasets", "digitslt", "--irs", "10", "--models", "small-cnn",
        "--attacks", "aa,clean,fgsm,pgd-20", "--seeds", "0", "--test-split", "balanced,long-tailed", "--epochs", "3",
        "--results", str(maker.root),
    ]  # fmt: skip


def test_the_advised_run_makes_the_missing_cell(tmp_path):
    axes = Axes(("taet",), ("digitslt",), limit=5, epochs=2, recipes=("official",), class_order="reversed")
    spec = expand(axes)[0].spec
    command = run_command([Specified(spec)], ("taet", "trades[beta=3]"), ["aa", "worst"], ["balanced"], tmp_path)
    words = shlex.split(command)
    given = dict(zip(words[2::2], words[3::2], strict=True))
    lists = {name: comma_list(given[f"--{name}"], name) for name in ("methods", "datasets", "irs", "models")}
    advised = Axes(
        **lists,
        recipes=(given["--recipe"],),
        limit=int(given["--limit"]),
        epochs=int(given["--epochs"]),
        class_order=given["--class-order"],
    )
    mine, partner = (task.spec for task in expand(advised))
    assert mine == spec
    assert partner.method == "trades"
    assert given["--attacks"] == "aa"
    assert given["--test-split"] == "balanced"


def test_other_images_are_refused(maker):
    maker.cell("taet", 0)
    folder = maker.cell("at-bsl", 0)
    with np.load(folder / SAMPLES) as archive:
        stored = dict(archive)
    stored["balanced/index"] = stored["balanced/index"] + 1
    np.savez(folder / SAMPLES, **stored)
    with pytest.raises(StoreError, match="not evaluated on the same images"):
        compare_methods(maker.root, "taet", "at-bsl", Wanted(test_split="balanced"))


def test_another_source_is_refused(maker):
    maker.cell("taet", 0)
    maker.cell("at-bsl", 0, source="other pixels")
    with pytest.raises(StoreError, match=r"source differs \(digits, other pixels\)"):
        compare_methods(maker.root, "taet", "at-bsl")


def test_two_stores(grid, another):
    shutil.copytree(grid.root, another.root)
    lines = compare_stores(grid.root, another.root, Wanted(attacks=("aa",)))
    assert {line.where["method"] for line in lines} == {"taet", "at-bsl"}
    assert all(line.comparison.difference == 0 and line.p == 1 for line in lines)
    for folder in another.root.iterdir():
        shutil.rmtree(folder)
    with pytest.raises(StoreError, match="share no evaluation"):
        compare_stores(grid.root, another.root)


def test_text_says_what_it_is(grid):
    output = run("taet", "at-bsl", "--attack", "aa", "--results", grid.root, "--classes")
    assert "taet minus at-bsl, balanced accuracy in percent points" in output
    assert "pooled (3)" in output
    assert "better" in output
    assert "images: melded bounds" in output
    assert "only at-bsl" in output


def test_what_all_lines_share_stands_once(grid):
    output = run("taet", "at-bsl", "--results", grid.root, "--test-split", "balanced")
    _, head, table = output.split("\n\n")[:3]
    assert "digitslt, IR 10, small-cnn, balanced" in head
    assert "digitslt" not in table
    assert max(map(len, output.splitlines())) <= 120
    table = run("taet", "at-bsl", "--results", grid.root).split("\n\n")[2]
    assert "long-tailed" in table
    assert "digitslt" not in table


def test_over_how_many_lines_p_is_corrected_is_said(grid):
    words = ("taet", "at-bsl", "--results", grid.root, "--test-split", "balanced")
    output = run(*words, "--attack", "aa,fgsm")
    assert "interval is that of its line alone" in " ".join(output.split())
    assert "among the 6 lines of one seed and among the 2 lines pooled" in " ".join(output.split())
    for fact in json.loads(run(*words, "--attack", "aa,fgsm", "--format", "json"))["comparisons"]:
        assert fact["p_lines"] == (2 if fact["seed"] is None else 6)


def test_one_seed_is_not_pooled(maker):
    for seed, methods in ((0, ("taet", "at-bsl")), (1, ("taet",))):
        for method in methods:
            maker.cell(method, seed)
    output = run("taet", "at-bsl", "--attack", "aa", "--results", maker.root)
    assert "pooled (" not in output
    assert "seeds 95%" not in output
    facts = json.loads(run("taet", "at-bsl", "--attack", "aa", "--results", maker.root, "--format", "json"))
    assert [fact["seed"] for fact in facts["comparisons"]] == [0, 0]


def test_class_counts_and_differences_are_what_the_page_says(grid):
    words = ("taet", "at-bsl", "--attack", "aa", "--test-split", "balanced", "--results", grid.root)
    *single, pooled = json.loads(run(*words, "--format", "json"))["comparisons"]
    for fact in single:
        for one in fact["classes"]:
            assert one["difference"] == pytest.approx(100 * (one["only_a"] - one["only_b"]) / one["images"])
    for i, one in enumerate(pooled["classes"]):
        seeds = [fact["classes"][i]["difference"] for fact in single]
        assert one["difference"] == pytest.approx(sum(seeds) / len(seeds))
        assert one["only_a"] <= sum(fact["classes"][i]["only_a"] for fact in single)
    assert "more often taet" in run(*words, "--classes")


def test_json_and_markdown_hold_the_same_numbers(grid):
    words = ("taet", "at-bsl", "--attack", "aa,pgd-20", "--test-split", "long-tailed", "--results", grid.root)
    body = json.loads(run(*words, "--format", "json", "--gap", 2))
    table = run(*words, "--format", "markdown")
    assert len(body["comparisons"]) == 8
    pooled = [c for c in body["comparisons"] if c["seed"] is None]
    for fact in pooled:
        assert f"{fact['difference']:+.2f}" in table
        low, high = fact["images_interval"]
        assert low <= fact["difference"] <= high
        assert fact["gap"] == 2
        assert fact["images_needed"] > fact["images"]
        assert fact["seeds_needed"] >= 2
        assert fact["p_holm"] >= max(fact["p_images"], fact["p_seeds"])
    assert [c["class"] for c in pooled[0]["classes"]] == ["zero", "one", "two", "three"]


def test_a_sentence_holds_both_intervals_and_what_is_of_older_code_is_noted(grid):
    words = ("taet", "at-bsl", "--attack", "aa", "--test-split", "long-tailed", "--results", grid.root)
    body = json.loads(run(*words, "--format", "json"))
    (pooled,) = (c for c in body["comparisons"] if c["seed"] is None)
    both = [*pooled["images_interval"], *pooled["seeds_interval"]]
    assert f"({min(both):+.2f} to {max(both):+.2f}, p " in body["sentences"][0]
    folder = next(grid.root.glob("taet*"))
    grid.write(folder, grid.read(folder) | {"inputs": {"method": "another"}})
    assert "note: some cells were made before changes to the code of method 'taet'.\n" in run(*words)
    grid.write(folder, grid.read(folder) | {"inputs": {}})
    other = grid.cell("trades")
    grid.write(other, grid.read(other) | {"inputs": {"method": "another"}})
    assert "note:" not in run(*words), "cells that are not compared"


def test_the_commands_own_refusals(grid):
    with pytest.raises(UsageError, match="two methods are compared, 1 given"):
        run("taet", "--results", grid.root)
    with pytest.raises(UsageError, match="not both"):
        run("taet", "at-bsl", "--stores", grid.root, grid.root)
    with pytest.raises(UsageError, match=r"no finished cell of method 'teat'.*Did you mean 'taet'"):
        run("teat", "at-bsl", "--results", grid.root)
    with pytest.raises(
        StoreError, match=r"at-bsl under mim that belong .*: taet was evaluated under aa, .* --attacks aa,mim "
    ):
        run("taet", "at-bsl", "--attack", "mim,aa", "--results", grid.root)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "digits"], r"no finished cell with --dataset digits. Did you mean 'digitslt'\?"),
        (["--ir", "7"], r"no finished cell with --ir 7. Known: 10."),
        (["--dataset", "digitslt", "--ir", "natural"], r"no finished cell of digitslt with --ir natural. Known: 10."),
        (["--ir", "-1"], "--ir '-1' is not a number above 1"),
        (["--ir", "1"], "--ir '1' is not a number above 1"),
        (["--ir", "ten"], "--ir 'ten' is not a number above 1"),
        (["--ir", ""], "--ir '' names nothing"),
        (["--dataset", " "], "--dataset ' ' names nothing"),
        (["--attack", ""], "--attack '' names nothing"),
        (["--attack", "aa,foo"], "unknown attack 'foo'.*Known: aa, clean, fgsm, pgd-20, worst"),
        (["--gap", "0"], "--gap 0 cannot be looked for; give a difference other than 0"),
        (["--gap", "nan"], "--gap nan cannot be looked for"),
    ],
)
def test_a_filter_that_leaves_nothing_is_named(grid, words, message):
    with pytest.raises(UsageError, match=message):
        run("taet", "at-bsl", "--results", grid.root, *words)


def test_where_a_method_is_to_be_found_is_said(grid):
    grid.cell("mart", ir=20.0)
    with pytest.raises(UsageError, match=r"leave no finished cell of method 'mart'; it has some of digitslt 20\."):
        run("taet", "mart", "--results", grid.root, "--ir", 10)


def test_an_empty_store_and_a_file_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="empty holds no finished evaluation"):
        run("taet", "at-bsl", "--results", tmp_path / "empty")
    with pytest.raises(StoreError, match="is a file, not a results folder"):
        run("taet", "at-bsl", "--results", tmp_path / "file")


def test_names_are_found_however_their_settings_are_written(grid):
    grid.cell("taet", 0, draw="shared", variant="beta=3,step=2/255", attacks={"clean": 0.8, "pgd-20[steps=5]": 0.5})
    grid.cell("at-bsl", 5, draw="shared", attacks={"clean": 0.8, "pgd-20[steps=5]": 0.5})
    grid.cell("taet", 5, draw="shared", variant="beta=3,step=2/255", attacks={"clean": 0.8, "pgd-20[steps=5]": 0.5})
    for text in ("taet[beta=3,step=2/255]", "taet[beta=3.0,step=2/255]", "taet[ step=0.00784313725490196, beta=3e0 ]"):
        lines = compare_methods(grid.root, text, "at-bsl", Wanted(attacks=("pgd-20[ steps=5.0 ]",), ir="1e1"))
        assert {line.seeds for line in lines} == {(5,)}
    with pytest.raises(UsageError, match="no finished cell of method 'taet\\[beta=inf\\]'"):
        compare_methods(grid.root, "taet[beta=inf]", "at-bsl")
    with pytest.raises(UsageError, match="cannot be read"):
        compare_methods(grid.root, "taet[beta", "at-bsl")


def test_it_opens_with_a_sentence_a_pair(grid):
    sentence = " ".join(
        run("taet", "at-bsl", "--results", grid.root, "--test-split", "balanced").split("\n\n")[0].split()
    )
    assert re.fullmatch(
        r"taet against at-bsl \(digitslt, IR 10, small-cnn, balanced, 3 seeds\): better under aa by [\d.]+ points "
        r"\(\+[\d.]+ to \+[\d.]+, p <?[\d.]+\); better clean by [\d.]+ points \(.*\)\.",
        sentence,
    )
    body = json.loads(run("taet", "at-bsl", "--results", grid.root, "--json"))
    assert len(body["sentences"]) == 2  # a test split each
    alone = json.loads(run("taet", "at-bsl", "--results", grid.root, "--test-split", "balanced", "--json"))
    assert alone["sentences"] == [sentence]


def test_what_would_tell_two_apart_is_said(maker):
    for seed in range(2):
        maker.cell("taet", seed, draw="a")
        maker.cell("at-bsl", seed, draw="b")
    told = json.loads(run("taet", "at-bsl", "--results", maker.root, "--test-split", "balanced", "--json"))
    (sentence,) = told["sentences"]
    needs = r"telling it takes \d+ test images instead of 160 and \d+ seeds instead of 2"
    assert re.search(rf"not distinguishable under aa: [+-][\d.]+ points \(.*; {needs}\)", sentence)
    same = json.loads(run("--stores", maker.root, maker.root, "--attack", "aa", "--json"))
    assert all("no difference was found" in sentence for sentence in same["sentences"])


def test_other_attacks_cost_autoattack_nothing(grid):
    words = ("taet", "at-bsl", "--results", grid.root, "--test-split", "balanced")
    facts = json.loads(run(*words, "--json"))["comparisons"]
    assert {fact["attack"] for fact in facts if fact["primary"]} == {"aa", "clean"}
    few = json.loads(run(*words, "--attack", "aa,clean", "--json"))["comparisons"]
    p = {(fact["attack"], fact["seed"]): (fact["p_holm"], fact["p_lines"]) for fact in facts}
    assert all(p[fact["attack"], fact["seed"]] == (fact["p_holm"], fact["p_lines"]) for fact in few)
    for fact in facts:  # the others pay for all lines
        assert fact["primary"] or fact["p_lines"] == (15 if fact["seed"] is not None else 5)
    said = " ".join(run(*words).split())
    assert "among the 6 primary lines of one seed and among the 2 primary lines pooled" in said
    assert "among the 15 lines of all attacks of one seed and among the 5 lines of all attacks pooled" in said


def test_default_settings_written_out_are_the_default(tmp_path):
    usual, changed = (expand(Axes((text,), ("digitslt",)))[0].spec for text in ("taet", "taet[alpha=0.2]"))
    for text in ("taet", "taet[alpha=0.1]", "taet[alpha=0.1,gamma=0.1]", "taet[lr=0.1]"):
        assert called(usual, text)
    for text in ("taet[alpha=0.2]", "taet[lr=0.3]", "taet[nothing=1]", "at-bsl", "taet+ema"):
        assert not called(usual, text)
    assert called(changed, "taet[alpha=0.2]")
    assert called(changed, "taet[alpha=0.2,gamma=0.1]")
    assert not called(changed, "taet")
    assert not called(changed, "taet[gamma=0.1]")
    with_ema = expand(Axes(("at+ema",), ("digitslt",)))[0].spec
    decay = dict(dict(with_ema.enhancers)["ema"])
    assert called(with_ema, f"at+ema[tau={decay['tau']}]")
    assert not called(with_ema, "at+ema[tau=0.123]")


@pytest.mark.parametrize("metric", ["standard", "head", "tail", "worst-class"])
def test_other_metrics_are_those_of_the_counts(grid, metric):
    from bench.judge.metrics import summarise
    from bench.store.results import Results

    table = summarise(Results(grid.root).rows).set_index(["method", "seed", "test_split", "attack"])[metric]
    for line in compare_methods(grid.root, "taet", "at-bsl", Wanted(metric=metric)):
        if line.seed is not None:
            key = (line.seed, line.test_split, line.attack)
            assert line.comparison.difference == pytest.approx(table["taet", *key] - table["at-bsl", *key])
        images = line.comparison.images
        assert images.low <= line.comparison.difference <= images.high
        assert (line.comparison.p_images < 0.05) == (images.low > 0 or images.high < 0)


def test_what_keeps_cells_apart_is_named_with_both_values(maker):
    maker.cell("taet", 0, ir=10.0)
    maker.cell("at-bsl", 1, ir=50.0)
    with pytest.raises(
        StoreError, match="together: ir is 10 in taet, 50 in at-bsl; seed is 0 in taet, 1 in at-bsl; run"
    ):
        compare_methods(maker.root, "taet", "at-bsl")


def test_one_method_is_compared_across_a_setting_of_the_protocol(maker, short_recipe):
    for seed in (0, 1):
        maker.cell("taet", seed, draw="shared")
        maker.cell("taet", seed, draw="shared", shift=-0.3, precision="bf16")
    maker.cell("taet", 0, recipe=short_recipe)
    maker.cell("at-bsl", 0, precision="bf16")
    lines = compare_across(maker.root, "taet", "precision=fp32,bf16", Wanted(attacks=("aa",), test_split="balanced"))
    (pooled,) = [line for line in lines if line.seed is None]
    assert pooled.seeds == (0, 1)
    assert "precision" not in pooled.where
    assert pooled.comparison.difference > 0.1
    mirrored = compare_across(maker.root, "taet", "precision=bf16,fp32", Wanted(attacks=("aa",), test_split="balanced"))
    assert [-line.comparison.difference for line in mirrored] == [line.comparison.difference for line in lines]
    told = run("taet", "--across", "precision=fp32,bf16", "--results", maker.root)
    assert "taet with precision=fp32 minus taet with precision=bf16" in told
    assert "taet with precision=fp32 against taet with precision=bf16 (digitslt" in told


def test_cells_of_two_limits_are_no_seeds_of_one_comparison(maker, short_recipe):
    for limit, shift in ((50, 0.3), (100, -0.3)):
        maker.cell("taet", 0, draw="shared", limit=limit, shift=shift, recipe=short_recipe)
        maker.cell("taet", 0, draw="shared", limit=limit)
    lines = compare_across(maker.root, "taet", "epochs=3,100", Wanted(attacks=("aa",), test_split="balanced"))
    assert {line.where["reduced"] for line in lines} == {"limit=50", "limit=100"}
    assert all(len(line.seeds) == 1 for line in lines)


def test_a_sentence_says_of_how_many_seeds_a_part_of_it_is_and_what_is_flagged(maker):
    for seed in range(3):
        attacks = {"clean": 0.8, "aa": 0.4} if seed == 0 else {"aa": 0.4}
        maker.cell("taet", seed, draw="shared", shift=0.4, attacks=attacks, flags=("collapse", "small-class"))
        maker.cell("at-bsl", seed, draw="shared", attacks=attacks, flags=("small-class",))
    told = " ".join(run("taet", "at-bsl", "--results", maker.root, "--test-split", "balanced").split())
    assert "3 seeds): better under aa by" in told
    assert "clean with 1 seed by" in told or "clean with 1 seed:" in told
    assert "A number of taet may be no measure of robustness (collapse)." in told
    assert "number of at-bsl" not in told
    facts = json.loads(run("taet", "at-bsl", "--results", maker.root, "--json"))["comparisons"]
    assert {(*fact["flags_a"], "", *fact["flags_b"]) for fact in facts} == {("collapse", "")}


def test_a_part_without_test_images_is_a_sentence_and_no_gain(maker, monkeypatch):
    monkeypatch.setitem(sys.modules[type(maker).__module__].TEST_COUNTS, "long-tailed", [40, 20, 0, 0])
    for method in ("taet", "at-bsl"):
        maker.cell(method, draw="shared")
    maker.cell("taet", draw="shared", shift=0.1, enhancers=(("ema", ()),), enhanced="+ema")
    with pytest.raises(StoreError, match="no class of the tail has test images in taet"):
        compare_methods(maker.root, "taet", "at-bsl", Wanted(metric="tail", test_split="long-tailed"))
    scopes = {gain.scope for gain in attribution(maker.root) if gain.test_split == "long-tailed"}
    assert scopes == {"balanced", "head", "worst-class"}


def test_other_networks_may_be_compared_on_the_same_images(maker):
    maker.cell("taet", 0, draw="shared", shift=0.1)
    maker.cell("taet", 0, draw="shared", model="wide")
    told = run("taet", "--across", "model=small-cnn,wide", "--results", maker.root)
    assert "taet with model=small-cnn against taet with model=wide (digitslt, IR 10" in told


@pytest.mark.parametrize(
    ("across", "said"),
    [
        ("precison=bf16,fp32", "Did you mean 'precision'"),
        ("seed=0,1", "names no coordinate"),
        ("limit=50,100", "limit chooses other images, and nothing is paired"),
        ("precision=bf16", "has not two values"),
        ("precision=bf16,bf16", "has not two values"),
        ("precision=bf16,tf32", "no finished cell has precision 'bf16'; what there is has fp32"),
    ],
)
def test_what_cannot_be_compared_across_is_said(maker, across, said):
    maker.cell("taet", 0)
    with pytest.raises(UsageError, match=said):
        compare_across(maker.root, "taet", across)


def test_cells_that_differ_in_more_than_the_setting_are_named(maker, short_recipe):
    maker.cell("taet", 0, precision="bf16")
    maker.cell("taet", 0, recipe=short_recipe)
    with pytest.raises(
        StoreError, match="differ in precision alone: epochs is 100 in precision bf16, 3 in precision fp32"
    ):
        compare_across(maker.root, "taet", "precision=bf16,fp32")
