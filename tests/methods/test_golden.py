"""Every method, loss and attack gives the golden figures, in float64."""

import copy
import json
from pathlib import Path

import pytest
import torch

from bench.testing.__main__ import main
from bench.testing.golden import read, run_case

FILE = Path(__file__).parents[1] / "golden" / "losses.json"
BODY = read(FILE)
FORMS = BODY["tiny_net"]["params"]


@pytest.mark.parametrize("case", BODY["cases"], ids=lambda case: case["id"])
def test_case(case):
    outcome = run_case(case, FORMS)
    assert outcome.matches, outcome.unsupported or outcome.misses


def test_all_cases_are_there():
    assert len(BODY["cases"]) == 173
    assert len({case["id"] for case in BODY["cases"]}) == 173


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
