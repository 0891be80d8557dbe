"""Every plug-in of the project keeps the contract that `python -m bench.testing contract` runs for anybody's."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch

import bench.methods
from bench.api import Attack, Dataset, Model
from bench.cli.shown.explain import explain_method
from bench.registry import FOLDERS, Registry, registry
from bench.seeding import isolated
from bench.testing.__main__ import main
from bench.testing.contract import BrokenError, Check, Target, checks, contract, find, kinds, methods


@pytest.mark.parametrize("check", [check for kind in kinds() for check in contract(kind)], ids=str)
def test_every_plug_in_keeps_its_contract(check: Check) -> None:
    check()


def test_every_kind_has_a_contract() -> None:
    assert set(FOLDERS) == set(kinds())


@pytest.mark.parametrize("name", registry("methods").names())
def test_a_method_can_be_shown(name: str) -> None:
    cls, text = registry("methods").get(name), explain_method(name)
    for word in (cls.formula, "paper", "official", *cls.Hparams.__dataclass_fields__):
        assert word in text


def test_a_method_is_told_in_its_contract_what_the_loop_tells_it() -> None:
    """Memory an image, for one, goes by `context.index`."""
    told = []

    class Remembers(registry("methods").get("at")):  # type: ignore[misc]
        def loss(self, model, x, x_adv, y, context):  # type: ignore[no-untyped-def]
            assert torch.equal(context.labels, y)
            assert len(context.index.unique()) == len(y)
            assert int(context.index.max()) < int(context.class_counts.sum())
            told.append((context.epoch, context.batch, context.step, context.steps_per_epoch))
            return super().loss(model, x, x_adv, y, context)

    methods.trains(Remembers, {})
    assert told == [(epoch, step, 2 * epoch + step, 2) for epoch in range(4) for step in range(2)]


# ---------------------------------------------------------------------------------- what breaks it, and how it is said

BREAKERS = '''
"""Plug-ins each of which breaks one rule, for the test of the contract."""
from dataclasses import dataclass
import random
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from bench.api import Attack, Method, Model, register, setting

@register("methods")
class {name}(Method):
    """A method."""
    name = "breaker"
    formula = "CE"
    {body}
'''
LOSS = "def loss(self, model, x, x_adv, y, context):\n        {}\n        return cross_entropy(model(x_adv), y), {{}}"


def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> list[str]:
    """What the contract says of a method whose class has `body`."""
    (tmp_path / "breaker_module.py").write_text(BREAKERS.format(name="Breaker", body=body))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "breaker_module", raising=False)
    said = []
    for check in checks(find("breaker_module:Breaker")):
        try:
            with isolated(0, "what a plug-in may draw"):
                check()
        except BrokenError as error:
            said.append(f"{check}: {error}")
    assert "breaker" not in registry("methods").names()
    return said


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (LOSS.format("x_adv.cuda"), "uses .cuda"),
        (LOSS.format("random.random()"), "the global random generator of random moved"),
        (LOSS.format("model.eval()"), "a hook leaves the network in eval mode"),
        (LOSS.format("return cross_entropy(model(x_adv), y, reduction='none'), {}"), "it must be one number"),
        (LOSS.format("float(x.sum())"), "a step waits for the device"),
        (LOSS.format("raise ValueError('so it is')"), "ValueError: so it is (breaker_module.py, line"),
        (LOSS.format("") + "\n    def perturb(self, model, x, y, context): return x + 1", "perturb() leaves [0,1]"),
        (LOSS.format("") + "\n    def phase(self, context): return 'Natural'", "unknown phase of breaker 'Natural'"),
        (LOSS.format("") + "\n    official = {'nothing': 1}", "`official` names settings that do not exist: nothing."),
        (LOSS.format("") + "\n    waits = 'it must'", "gives a reason, and no step waits"),
        (LOSS.format("self.n = getattr(self, 'n', 0) + 1\n        y = (y + self.n // 2) % 4"), "state() lacks"),
        (
            LOSS.format("") + "\n    def deploy(self, model, on):\n        if on: model.head.weight.data.mul_(2)",
            "deploy(False) does not bring back",
        ),
        (
            LOSS.format("")
            + "\n    @dataclass(frozen=True)\n    class Hparams:\n        a: float = setting(1.0, low=0)",
            "the setting 'a' has no help",
        ),
    ],
)
def test_what_breaks_the_contract_is_one_sentence(tmp_path, monkeypatch, body, sentence):
    said = broken(tmp_path, monkeypatch, body)
    assert any(sentence in line for line in said), said
    assert all("\n" not in line and line.endswith(".") for line in said)


@pytest.mark.parametrize(
    "body",
    [
        LOSS.format(""),
        LOSS.format("") + "\n    def setup(self, model, context): model.backbone[0].requires_grad_(False)",
        LOSS.format("")
        + "\n    def build_head(self, features, classes): return nn.Linear(features, classes)"
        + "\n    def deploy(self, model, on): model.head.weight.data.neg_()",
    ],
    ids=["the example of the README", "a frozen part", "a head whose deployed form answers otherwise"],
)
def test_what_is_allowed_holds(tmp_path, monkeypatch, body):
    assert broken(tmp_path, monkeypatch, body) == []


# ------------------------------------------------------------------------------------------------- the command line


def test_the_command_gives_a_line_a_check(capsys):
    assert main(["contract", "clean", "models/small-cnn"]) == 0
    lines = capsys.readouterr().out.splitlines()
    expected = [str(check) for name in ("clean", "small-cnn") for check in checks(find(name))]
    assert [line.removeprefix("holds   ") for line in lines[:-1]] == expected
    assert lines[-1] == f"{len(expected)} of {len(expected)} checks hold."


def test_the_command_fails_for_what_is_broken(tmp_path, monkeypatch, capsys):
    (tmp_path / "breaker_cli.py").write_text(BREAKERS.format(name="Breaker", body="licence = ''"))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["contract", "breaker_cli:Breaker"]) == 1
    out = capsys.readouterr().out
    assert "BROKEN  breaker describes itself: `licence` of Breaker is empty" in out
    assert "Traceback" not in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["contract"], "usage: python -m bench.testing"),
        ([], "usage: python -m bench.testing"),
        (["a.json", "b.json"], "usage: python -m bench.testing"),
        (["contract", "fgsn"], "unknown plug-in 'fgsn'; write a name or module:Class. Did you mean 'fgsm'?"),
        (["contract", "no_such_module:Thing"], "'no_such_module:Thing' cannot be imported: ModuleNotFoundError"),
        (["contract", "bench.api:Method"], "'bench.api:Method' is no plug-in"),
        (["contract", "bench.api:Nothing"], "cannot be imported: AttributeError"),
    ],
)
def test_a_wrong_call_is_one_sentence(arguments, sentence, capsys):
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("kind", "base"), [("attacks", Attack), ("datasets", Dataset), ("models", Model)])
def test_a_class_that_is_no_plug_in_of_its_kind_is_said_to_be_none(kind, base):
    first = checks(Target(kind, "thing", type("Thing", (), {"name": "thing"})))[0]
    with pytest.raises(BrokenError, match=f"Thing is no subclass of {base.__name__}"):
        first()


# ------------------------------------------------------------------------------------------------ the worked example


def test_worked_example_is_one_file_that_the_contract_picks_up(tmp_path, monkeypatch, project):
    page = (project / "docs" / "adding-a-method.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "la_trades.py").write_text(block)
    folders = [*bench.methods.__path__, str(tmp_path)]
    monkeypatch.setattr(bench.methods, "__path__", folders)
    monkeypatch.setattr(bench.methods.__spec__, "submodule_search_locations", folders)
    importlib.invalidate_caches()
    found = Registry("methods")
    assert set(found.names()) - set(registry("methods").names()) == {"la-trades"}
    assert found.origin("la-trades").describe().startswith("Logit-adjusted TRADES")
    cls = found.get("la-trades")
    try:
        for check in checks(Target("methods", "la-trades", cls)):
            check()
    finally:
        sys.modules.pop("bench.methods.la_trades", None)
