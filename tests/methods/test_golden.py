"""Every method, loss and attack gives the golden figures, in float64."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bench.registry import registry
from bench.testing.__main__ import main
from bench.testing.golden import read, run_case
from bench.testing.words import UnsupportedError, which_attack

FOLDER = Path(__file__).parents[1] / "golden"
FILE, SECOND = FOLDER / "losses.json", FOLDER / "losses-2.json"
BODY, MORE = read(FILE), read(SECOND)
FORMS = BODY["tiny_net"]["params"]


@pytest.mark.parametrize("case", [*BODY["cases"], *MORE["cases"]], ids=lambda case: case["id"])
def test_case(case):
    outcome = run_case(case, FORMS)
    assert outcome.matches, outcome.unsupported or outcome.misses


@pytest.mark.parametrize(("body", "count"), [(BODY, 173), (MORE, 231)])
def test_all_cases_are_there(body, count):
    assert len(body["cases"]) == count
    assert len({case["id"] for case in body["cases"]}) == count
    assert body["tiny_net"]["params"] == FORMS


def write(tmp_path, cases, **more):
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({**{k: v for k, v in BODY.items() if k != "cases"}, **more, "cases": cases}))
    return path


def some(kind="loss_only", method="TRADES"):
    return copy.deepcopy(next(c for c in BODY["cases"] if c["kind"] == kind and c["method"] == method))


def test_command_counts_matches(tmp_path, capsys):
    assert main([str(write(tmp_path, [some(), some("weights", "GAIRAT")]))]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 of 2 cases match"


def test_command_reports_a_miss(tmp_path, capsys):
    case = some()
    case["expected"]["kl_mean"] *= 1.001
    assert main([str(write(tmp_path, [case, some()]))]) == 1
    out = capsys.readouterr().out
    assert out.startswith(f"miss {case['id']}: kl_mean: expected ")
    assert out.splitlines()[-1] == "1 of 2 cases match"
    assert "1.0e-03" in out or "1.0e-3" in out


@pytest.mark.parametrize(
    "change",
    [
        {"method": "NOPE"},
        {"kind": "nope"},
        {"params": {"beta": 6.0, "unheard_of": 1}},
        {"params": {"beta": -1.0}},
        {"inputs": {"labels": [0]}},
    ],
)
def test_command_names_an_unsupported_case(tmp_path, capsys, change):
    assert main([str(write(tmp_path, [{**some(), **change}]))]) == 1
    out = capsys.readouterr().out
    assert out.startswith("unsupported ")
    assert out.splitlines()[-1] == "0 of 1 cases match"


def test_missing_figure_is_a_miss():
    case = some()
    case["expected"]["unheard_of"] = 1.0
    assert run_case(case, FORMS).misses == ("unheard_of: expected 1.0, got None",)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"cases": []}', '{"schema": 2, "cases": [{}]}', '{"schema": 1, "cases": [1]}']
)
def test_bad_file_gives_one_sentence(tmp_path, capsys, text):
    path = tmp_path / "bad.json"
    path.write_text(text)
    assert main([str(path)]) == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith("error: ")
    assert "\n" not in err
    assert str(path) in err


def test_absent_file(tmp_path, capsys):
    assert main([str(tmp_path / "none.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_default_type_is_left_alone():
    run_case(some("full_step", "TAET"), FORMS)
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"tolerance_relative": 0}, "tolerance_relative"),
        ({"expected": {}}, "no figure"),
        ({"params": {"beta": 6.0, "mu": 0.5}}, "mu"),  # RoBal's, not TRADES'
    ],
)
def test_a_case_that_says_nothing_is_no_match(change, word):
    assert word in run_case({**some(), **change}, FORMS).unsupported


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), [], "x"])
def test_no_figure_matches_what_is_no_number(value):
    case = some()
    case["expected"]["kl_mean"] = value
    assert len(run_case(case, FORMS).misses) == 1


def test_gairats_infinite_offset_gives_equal_weights():
    case = some("weights", "GAIRAT")
    case["params"]["Lambda"] = float("inf")
    case["expected"] = {"weights": [1.0] * len(case["inputs"]["kappa"])}
    assert run_case(case, FORMS).matches


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({"eps": 0.03}, ("fgsm", {"eps": 0.03})),
        ({"eps": 0.03, "steps": 20, "random_start": False}, ("pgd-20", {"eps": 0.03, "steps": 20, "start": "image"})),
        ({"method": "PGD", "alpha": 10}, ("lsa", {"start": "uniform", "scale": 10})),
        ({"eps": 0.03, "steps": 20, "decay": 1.0}, ("mim", {"eps": 0.03, "steps": 20, "start": "uniform"})),
        ({"method": "CW", "margin": 7}, ("cw-linf", {"start": "uniform", "kappa": 7})),
        ({"method": "FGSM", "eps": 0.03, "step": 0.03, "steps": 1}, ("fgsm", {"eps": 0.03, "start": "gaussian"})),
        ({"c": 1, "steps": 5}, ("cw-l2", {"c": 1, "steps": 5, "stop": "batch"})),
    ],
)
def test_attacks_are_recognised_by_their_settings(params, wanted):
    assert which_attack(params) == wanted


@pytest.mark.parametrize(
    "params",
    [{"method": "FGSM", "eps": 0.03, "steps": 2}, {"eps": 0.03, "steps": 3, "decay": 0.9}, {"eps": 0.03, "init": "?"}],
)
def test_settings_that_ours_cannot_take_are_unsupported(params):
    with pytest.raises(UnsupportedError):
        which_attack(params)


def test_an_unknown_setting_of_an_attack_is_unsupported():
    case = copy.deepcopy(next(c for c in BODY["cases"] if c["kind"] == "attack_only" and "steps" in c["params"]))
    case["params"]["unheard_of"] = 1
    assert "unheard_of" in run_case(case, FORMS).unsupported


@pytest.mark.parametrize("counts", [[5000, 500, 50], [4837, 900, 100], [50, 30, 20, 10, 5], [500, 120, 5]])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0, 4.0])
def test_reats_weights_are_those_of_float32(counts, share):
    """The authors' NumPy types: weights computed in float32 differ from exact ones by more than their tolerance."""
    predicted = [int(share * n) for n in reversed(counts)]
    one = np.float32(1)
    bases = [np.float32((n - 1) / n) for n in counts]
    # a float32 exponent: NumPy 1 would else take the whole numbers for float64
    terms = [(one - b ** np.float32(a)) / (one - b) for b, a in zip(bases, predicted, strict=True)]
    effective = np.array(terms, np.float32)
    weights = one / (effective + np.float32(1e-5))
    wanted = weights / weights.sum() * np.float32(len(counts))
    method = registry("methods").get("reat")()
    method.previous = torch.tensor(predicted)
    got = method.class_weights(SimpleNamespace(class_counts=torch.tensor(counts)), torch.float64)
    assert got.numpy() == pytest.approx(wanted, rel=2e-6)
