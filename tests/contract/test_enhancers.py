"""What an enhancer says of itself, and how one that breaks its contract is told; `test_contract` runs the contract."""

from __future__ import annotations

import dataclasses
import sys

import pytest

from bench.cli.shown.explain import explain_enhancer
from bench.registry import registry
from bench.testing.contract import find, report

BROKEN = """'''An enhancer that does not keep its contract, as some are written.'''
from dataclasses import dataclass
import torch
from bench.api import Enhancer, register, setting


@register("enhancers")
class {name}(Enhancer["{name}.Hparams"]):
    '''One.'''

    name = "{lower}"
    paper = "nobody"
    formula = "w = 1"

    @dataclass(frozen=True)
    class Hparams:
        '''One.'''

        power: float = setting(1.0, low=0.0, help="some")

    {body}
"""


@pytest.mark.parametrize("name", registry("enhancers").names())
def test_an_enhancer_can_be_shown(name):
    cls, shown = registry("enhancers").get(name), explain_enhancer(name)
    assert cls.formula in shown
    assert all(field.name in shown for field in dataclasses.fields(cls.Hparams))


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        ("Unknown", "off = {'force': 0}", "`off` names settings that do not exist: force."),
        ("Idle", "off = {'power': 0.0}", "with its `small` settings it changes nothing"),
        (
            "Loud",
            "off = {'power': 0.0}\n    def image_weights(self, y, context): return torch.full(y.shape, 2.0)",
            "with its `off` settings the training ends with another",
        ),
        (
            "Forgetful",
            "steps = 0\n    def image_weights(self, y, context):\n        self.steps += 1\n"
            "        return torch.full(y.shape, 1.0 / self.steps)",
            "a run resumed after epoch 1 ends with another",
        ),
    ],
)
def test_what_breaks_the_contract_is_one_sentence(tmp_path, monkeypatch, name, body, sentence):
    lower = f"breaker-{name.lower()}"
    module = lower.replace("-", "_") + "_enhancer"
    (tmp_path / f"{module}.py").write_text(BROKEN.format(name=name, lower=lower, body=body))
    monkeypatch.syspath_prepend(str(tmp_path))
    said = [line for line, holds in report(find(f"{module}:{name}")) if not holds]
    sys.modules.pop(module, None)
    assert any(sentence in line for line in said), said
    assert all("\n" not in line and line.endswith(".") for line in said)
