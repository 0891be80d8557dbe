"""Axes become cells: each once, fully resolved, with an id that changes with everything that decides the weights."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import presets
from bench.config import AttackSpec, canonical_json, cell_from_plain, format_value, parse_value, request_from_plain
from bench.engine.grid import ALL_ATTACKS, Axes, expand, merge, parse_ratio
from bench.engine.settled import settle
from bench.errors import UsageError
from bench.registry import registry

DIGITS = Axes(methods=("ce", "taet"), datasets=("digitslt",), irs=("10", "50"), seeds=(0, 1))


def test_a_grid_is_the_product_of_its_axes_in_a_fixed_order():
    tasks = expand(DIGITS)
    assert [(t.spec.ir, t.spec.method, t.spec.seed) for t in tasks] == [
        (ir, m, s) for ir in (10.0, 50.0) for m in ("ce", "taet") for s in (0, 1)
    ]
    assert len({t.spec.id for t in tasks}) == 8


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 5},
        {"ir": 20.0},
        {"model": "resnet18"},
        {"limit": 3},
        {"precision": "bf16"},
        {"compile": True},
        {"deterministic": True},
        {"selection": "official-builder"},
        {"class_order": "reversed"},
        {"hparams": (("a", 1),)},
    ],
)
def test_everything_that_decides_the_weights_changes_the_id(change):
    spec = expand(DIGITS)[0].spec
    assert dataclasses.replace(spec, **change).digest != spec.digest


def test_wishes_do_not_change_the_id():
    more = expand(
        dataclasses.replace(DIGITS, attacks=("clean",), test_splits=("balanced",), track=("clean",), features=True)
    )
    assert [t.spec.id for t in more] == [t.spec.id for t in expand(DIGITS)]


def test_a_setting_equal_to_the_default_is_the_default_cell():
    plain = expand(dataclasses.replace(DIGITS, methods=("taet",)))
    spelled = expand(dataclasses.replace(DIGITS, methods=("taet[beta=0.1,step=2/255,ce_epochs=40]",)))
    assert [t.spec.id for t in plain] == [t.spec.id for t in spelled]
    assert spelled[0].spec.variant == ""


def test_variants_name_only_what_was_changed():
    spec = expand(dataclasses.replace(DIGITS, methods=("taet[steps=20,step=1/255,beta=0.1]",)))[0].spec
    assert spec.variant == "step=1/255,steps=20"
    assert (spec.recipe.steps, spec.recipe.step) == (20, 1 / 255)


def test_settings_of_the_recipe_are_settings_of_every_method():
    """What a method says itself comes first, and so does what it always has: crt's second stage keeps its length."""
    own = dataclasses.replace(DIGITS, methods=("at[clip=1,lr=0.05]", "trades[clip=2]"))
    common = dataclasses.replace(DIGITS, methods=("at[lr=0.05]", "trades[clip=2]"), recipes=("paper[clip=1]",))
    assert [t.spec for t in expand(common)] == [t.spec for t in expand(own)]
    [*_, crt] = expand(dataclasses.replace(DIGITS, methods=("crt",), recipes=("paper[epochs=50]",)))
    [*_, usual] = expand(dataclasses.replace(DIGITS, methods=("crt",)))
    assert crt.spec.recipe == usual.spec.recipe


def test_specs_survive_json():
    for task in expand(dataclasses.replace(DIGITS, methods=tuple(registry("methods").names()))):
        import json

        assert cell_from_plain(json.loads(canonical_json(task.spec))) == task.spec
        assert request_from_plain(json.loads(canonical_json(task.want))) == task.want


def test_shared_cells_are_merged_with_all_that_is_wanted():
    first = expand(dataclasses.replace(DIGITS, attacks=("clean",)))
    second = expand(
        dataclasses.replace(DIGITS, attacks=("fgsm",), test_splits=("balanced",), seeds=(1, 2), track=("clean",))
    )
    merged = {t.spec.id: t for t in merge([*first, *second])}
    assert len(merged) == 12
    shared = merged[second[0].spec.id].want
    assert [e.key for e in shared.evaluations] == ["long-tailed/clean", "balanced/fgsm"]
    assert shared.track == ("clean",)


@pytest.mark.parametrize("text", ["1", "0.5", "-3", "ten", "nan", "inf", ""])
def test_bad_ratios_are_refused_in_one_sentence(text):
    with pytest.raises(UsageError, match="imbalance ratio") as error:
        parse_ratio(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({"methods": ("teat",)}, "Did you mean 'taet'"),
        ({"methods": ("taet[betta=1]",)}, "no setting 'betta'.*'beta'"),
        ({"methods": ("taet[beta=-1]",)}, "beta=-1.* must be >= 0"),
        ({"methods": ("taet[beta=high]",)}, "beta='high' is not a number"),
        ({"methods": ("taet[beta=1,beta=2]",)}, "stands twice"),
        ({"methods": ("taet[beta",)}, "cannot be read"),
        ({"datasets": ("digitlt",)}, "Did you mean 'digitslt'"),
        ({"models": ("small",)}, "unknown model 'small'"),
        ({"attacks": ("pgd20",)}, "Did you mean 'pgd-20'"),
        ({"attacks": ("pgd-20[steps=0]",)}, "steps=0.* must be >= 1"),
        ({"attacks": ("pgd-20[eps=-0.1]",)}, "eps=-0.1.* must be > 0"),
        ({"recipes": ("papr",)}, "Did you mean 'paper'"),
        ({"test_splits": ("long",)}, "unknown test split 'long'"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
        ({"epochs": 0}, "--epochs 0"),
        ({"limit": 0}, "--limit 0"),
        ({"seeds": ()}, "the grid is empty"),
    ],
)
def test_bad_axes_are_refused_in_one_sentence(change, pattern):
    with pytest.raises(UsageError, match=pattern) as error:
        expand(dataclasses.replace(DIGITS, **change))
    assert "\n" not in str(error.value)


def test_reduced_runs_say_so_and_scale_the_schedule():
    spec = expand(dataclasses.replace(DIGITS, epochs=10, limit=5))[0].spec
    assert spec.reduced == "epochs=10 of 100, limit=5"
    assert [spec.recipe.lr_at(e) for e in (7, 8, 9)] == pytest.approx([0.1, 0.01, 0.001])


def test_official_recipes_of_all_methods_can_be_settled():
    for name in registry("methods").names():
        recipe, _, variant = settle(registry("methods").get(name), {}, "official")
        assert (recipe.name, variant, recipe.reduced) == ("official", "", False)


@given(st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6), st.booleans(), st.none()))
def test_values_are_read_back_as_they_were_written(value):
    back = parse_value(format_value(value))
    assert back == value or back == pytest.approx(value, rel=1e-9, abs=0)


def test_labels_of_attacks_are_read_back():
    spec = AttackSpec.parse("pgd-20[step=2/255, steps=7]")
    assert AttackSpec.parse(spec.label) == spec == AttackSpec("pgd-20", (("step", 2 / 255), ("steps", 7)))


# ------------------------------------------------------------------------------------------------------- presets


def _embedded(grid):
    """The grid on embedded data where its own are a file that need not be here."""
    archives = any(name.startswith("archive:") for name in grid.datasets)
    return dataclasses.replace(grid, datasets=("digitslt",)) if archives else grid


def test_every_preset_expands():
    for name in presets.names():
        tasks = merge([t for grid in presets.grids(name) for t in expand(_embedded(grid))])
        assert tasks, name
        assert not [t for t in tasks if t.skip], name


def test_a_file_of_the_user_is_a_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    head = '[[grids]]\nmethods = ["ce"]\ndatasets = ["digitslt"]\n'
    (tmp_path / "mine.toml").write_text(head + 'irs = [10, "50"]\nseeds = [0, 1]\nepochs = 1\nattacks = ["clean"]')
    (grid,) = presets.grids("mine.toml")
    assert (grid.irs, grid.seeds, grid.epochs, grid.recipes) == (("10", "50"), (0, 1), 1, ("paper",))
    assert len(expand(grid)) == 4
    (tmp_path / "both.toml").write_text('include = ["mine.toml", "quick"]')
    assert presets.grids("both.toml") == [grid, *presets.grids("quick")]


def test_what_a_file_includes_lies_beside_it_wherever_the_command_is_given(tmp_path, monkeypatch):
    head = '[[grids]]\nmethods = ["ce"]\ndatasets = ["digitslt"]\n'
    (tmp_path / "home" / "mine" / "more").mkdir(parents=True)
    (tmp_path / "home" / "mine" / "top.toml").write_text('include = ["more/a.toml", "~/b.toml"]')
    (tmp_path / "home" / "mine" / "more" / "a.toml").write_text('include = ["../c.toml"]')
    (tmp_path / "home" / "mine" / "c.toml").write_text(head + "irs = [3]")
    (tmp_path / "home" / "b.toml").write_text(head + "irs = [4]")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert [grid.irs for grid in presets.grids("~/mine/top.toml")] == [("3",), ("4",)]
    (tmp_path / "home" / "mine" / "c.toml").write_text('include = ["more/../top.toml"]')
    with pytest.raises(UsageError, match=r"includes itself \(home/mine/top\.toml -> .*c\.toml -> .*top\.toml\)"):
        presets.grids("home/mine/top.toml")


def test_a_ratio_of_a_file_is_taken_to_its_last_digit(tmp_path):
    text = '[[grids]]\nmethods = ["ce"]\ndatasets = ["digitslt"]\nirs = [10, 10.0, 10.12345678, 1234567, 1.5e1]'
    (tmp_path / "x.toml").write_text(text)
    (grid,) = presets.grids(str(tmp_path / "x.toml"))
    assert [float(ir) for ir in grid.irs] == [10, 10, 10.12345678, 1234567, 15]
    assert grid.irs[:2] == ("10", "10")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[grids]", "x.toml is no TOML"),
        ('[[grids]]\nmethods = "ce"\ndatasets = ["digitslt"]', "Expected `array`, got `str` - at `.*methods"),
        ('[[grids]]\nmethods = ["ce"]', "missing required field `datasets`"),
        ('[[grids]]\nmethods = ["ce"]\ndatasets = ["digitslt"]\nseeds = ["0"]', "Expected `int`, got `str`"),
        ('[[grids]]\nmethod = ["ce"]', "unknown axis 'method'. Did you mean 'methods'"),
        ('[grids]\nmethods = ["ce"]', "'grids' is {"),
        ("grid = []", "unknown key 'grid'. Did you mean 'grids'"),
        ("", "holds no grid"),
        ('include = ["x.toml"]', "includes itself"),
        ('include = ["y.toml"]', "y.toml cannot be read"),
        ('include = ["nope"]', "unknown preset 'nope'"),
        ("grids = " + "[" * 3000, "x.toml is no TOML"),
    ],
)
def test_a_file_that_is_no_preset_is_one_sentence(tmp_path, monkeypatch, text, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(UsageError, match=says) as said:
        presets.grids("x.toml")
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("ratio", ["1" + "0" * 400, "inf", "1.0", "true"])
def test_a_ratio_of_a_file_that_is_none_is_one_sentence(tmp_path, ratio):
    text = f'[[grids]]\nmethods = ["ce"]\ndatasets = ["digitslt"]\nirs = [{ratio}]'
    (tmp_path / "x.toml").write_text(text)
    (grid,) = presets.grids(str(tmp_path / "x.toml"))
    with pytest.raises(UsageError, match="not a number above 1"):
        expand(grid)


def test_presets_hold_exactly_the_cells_of_the_tables():
    def cells(name):
        return merge([t for grid in presets.grids(name) for t in expand(grid)])

    sizes = {f"table{i}": n for i, n in zip(range(1, 12), (11, 11, 5, 8, 8, 10, 8, 8, 5, 3, 4), strict=True)}
    assert {name: len(cells(name)) for name in sizes} == sizes
    tables = merge([t for name in sizes for t in cells(name)])
    # 48 runs a seed in paper/README.md's count, which allows one fewer because 2/255 is the default run (Table 10)
    assert len(tables) == 47
    paper = {t.spec.id for t in cells("paper")}
    assert {t.spec.id for t in tables} <= paper
    assert paper == {t.spec.id for name in presets.names() if name.startswith(("table", "fig")) for t in cells(name)}


def test_the_quick_preset_is_what_the_readme_says():
    tasks = merge([t for grid in presets.grids("quick") for t in expand(grid)])
    assert {t.spec.method for t in tasks} == {"ce", "at", "at-bsl", "taet"}
    assert {(t.spec.ir, t.spec.seed) for t in tasks} == {(ir, s) for ir in (10.0, 50.0) for s in (0, 1, 2)}
    assert all([e.attack.name for e in t.want.evaluations] == list(ALL_ATTACKS) for t in tasks)


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"datasets": ("digitslt:foo",)}, "data set 'digitslt' takes no argument"),
        ({"datasets": ("digitslt:",)}, "data set 'digitslt' takes no argument"),
        ({"datasets": ("archive",)}, "data set 'archive' lacks its argument; write archive:NAME"),
        ({"datasets": ("medmnist:",)}, "lacks its argument"),
        ({"models": ("resnet18:foo",)}, "model 'resnet18' takes no argument"),
        ({"models": ("timm",)}, "model 'timm' lacks its argument; write timm:NAME"),
        ({"models": ("timm:no_such_net",)}, "timm has no model 'no_such_net'"),
    ],
)
def test_an_argument_is_given_exactly_where_one_is_taken(axes, words):
    with pytest.raises(UsageError, match=words):
        expand(Axes(**{"methods": ("at",), "datasets": ("digitslt",), "irs": ("10",), **axes}))
