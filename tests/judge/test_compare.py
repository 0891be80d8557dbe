import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from bench.cli import group
from bench.errors import StoreError, UsageError
from bench.judge.compare import compare_methods, compare_stores
from bench.store.schema import SAMPLES


def run(*words):
    result = CliRunner().invoke(group, ["compare", *map(str, words)], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.output


@pytest.fixture
def grid(maker):
    for seed in range(3):
        maker.cell("taet", seed, draw="shared", shift=0.25)
        maker.cell("at-bsl", seed, draw="shared")
    return maker


def test_a_line_for_each_seed_and_one_pooled(grid):
    lines = compare_methods(grid.root, "taet", "at-bsl", attacks=["aa"], test_split="balanced")
    assert [(line.seed, line.seeds) for line in lines] == [(0, (0,)), (1, (1,)), (2, (2,)), (None, (0, 1, 2))]
    pooled = lines[-1].comparison
    assert pooled.per_seed == pytest.approx([line.comparison.difference for line in lines[:3]])
    assert pooled.size == 160  # the images are the same for all seeds
    assert pooled.seeds is not None
    assert all(line.comparison.seeds is None for line in lines[:3])
    assert lines[-1].verdict == "better"


def test_the_difference_is_that_of_the_stored_counts(grid):
    from bench.judge.metrics import summarise
    from bench.store import query

    table = summarise(query.rows(grid.root)).set_index(["method", "seed", "test_split", "attack"])["balanced"]
    for line in compare_methods(grid.root, "taet", "at-bsl"):
        if line.seed is not None:
            key = (line.seed, line.test_split, line.attack)
            assert line.comparison.difference == pytest.approx(table["taet", *key] - table["at-bsl", *key])


def test_holm_over_the_lines_of_the_table(grid):
    one = compare_methods(grid.root, "taet", "at-bsl", attacks=["aa"], test_split="balanced")
    many = compare_methods(grid.root, "taet", "at-bsl")
    same = [line for line in many if (line.attack, line.test_split) == ("aa", "balanced")]
    assert all(b.p >= a.p for a, b in zip(one, same, strict=True))
    assert sum(b.p for b in same) > sum(a.p for a in one)
    assert all(line.p >= line.comparison.p for line in many)


def test_the_worst_case_is_compared_too(grid):
    lines = compare_methods(grid.root, "taet", "at-bsl", attacks=["worst"], test_split="balanced")
    stronger = compare_methods(grid.root, "taet", "at-bsl", attacks=["aa"], test_split="balanced")
    # bits of this store are nested, so the worst case is the strongest attack
    assert [a.comparison.per_seed for a in lines] == [b.comparison.per_seed for b in stronger]


def test_variants_are_methods_of_their_own(grid):
    grid.cell("taet", 0, draw="shared", variant="beta=0.05")
    lines = compare_methods(grid.root, "taet[beta=0.05]", "taet", attacks=["aa"])
    assert {line.seeds for line in lines} == {(0,)}
    with pytest.raises(UsageError, match=r"taet\[beta=9\].*Did you mean 'taet\[beta=0.05\]'"):
        compare_methods(grid.root, "taet[beta=9]", "taet")


def test_cells_of_another_setting_are_not_paired(maker, short_recipe):
    maker.cell("taet", 0, recipe=short_recipe)
    maker.cell("at-bsl", 0)
    with pytest.raises(StoreError, match=r"no evaluations of taet and at-bsl.*bench run --methods taet,at-bsl"):
        compare_methods(maker.root, "taet", "at-bsl")


def test_other_images_are_refused(maker):
    maker.cell("taet", 0)
    folder = maker.cell("at-bsl", 0)
    with np.load(folder / SAMPLES) as archive:
        stored = dict(archive)
    stored["balanced/index"] = stored["balanced/index"] + 1
    np.savez(folder / SAMPLES, **stored)
    with pytest.raises(StoreError, match="not evaluated on the same images"):
        compare_methods(maker.root, "taet", "at-bsl", test_split="balanced")


def test_another_source_is_refused(maker):
    maker.cell("taet", 0)
    maker.cell("at-bsl", 0, source="other pixels")
    with pytest.raises(StoreError, match=r"source differs \(digits, other pixels\)"):
        compare_methods(maker.root, "taet", "at-bsl")


def test_two_stores(grid, another):
    shutil.copytree(grid.root, another.root)
    lines = compare_stores(grid.root, another.root, attacks=["aa"])
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
    assert "images: stratified paired bootstrap" in output
    assert "only at-bsl" in output


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


def test_the_commands_own_refusals(grid):
    with pytest.raises(UsageError, match="two methods are compared, 1 given"):
        run("taet", "--results", grid.root)
    with pytest.raises(UsageError, match="not both"):
        run("taet", "at-bsl", "--stores", grid.root, grid.root)
    with pytest.raises(UsageError, match=r"no finished cell of method 'teat'.*Did you mean 'taet'"):
        run("teat", "at-bsl", "--results", grid.root)
    with pytest.raises(StoreError, match="under mim"):
        run("taet", "at-bsl", "--attack", "mim", "--results", grid.root)


def test_names_are_found_however_their_settings_are_written(grid):
    grid.cell("taet", 0, draw="shared", variant="beta=3,step=2/255", attacks={"clean": 0.8, "pgd-20[steps=5]": 0.5})
    grid.cell("at-bsl", 5, draw="shared", attacks={"clean": 0.8, "pgd-20[steps=5]": 0.5})
    grid.cell("taet", 5, draw="shared", variant="beta=3,step=2/255", attacks={"clean": 0.8, "pgd-20[steps=5]": 0.5})
    for text in ("taet[beta=3,step=2/255]", "taet[beta=3.0,step=2/255]", "taet[ step=0.00784313725490196, beta=3e0 ]"):
        lines = compare_methods(grid.root, text, "at-bsl", attacks=["pgd-20[ steps=5.0 ]"], ir="1e1")
        assert {line.seeds for line in lines} == {(5,)}
    with pytest.raises(UsageError, match="no finished cell of method 'taet\\[beta=inf\\]'"):
        compare_methods(grid.root, "taet[beta=inf]", "at-bsl")
    with pytest.raises(UsageError, match="cannot be read"):
        compare_methods(grid.root, "taet[beta", "at-bsl")
