"""What every method keeps, whoever wrote it: ours, the worked example of the documentation, and yours."""

import ast
import dataclasses
import importlib
import io
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import bench.methods
from bench.api import Context, Method
from bench.cli._explain import explain_method
from bench.config import Recipe, ThreatModel, make
from bench.engine.gradients.inner import ascend, plain_gradient
from bench.engine.grid import settle
from bench.errors import UsageError
from bench.registry import Registry, registry
from bench.seeding import StreamNoise, isolated, torch_stream

CLASSES, COUNTS = 4, (40, 20, 10, 5)
#: settings that keep a test small, or that switch a part on which a few steps would not reach
SMALL = {
    "las-at": [{"strategy_width": 2, "every": 1}],
    "adt": [{}, {"variant": "EXP-AM", "generator_width": 2}],
    "robal": [{}, {"variant": "R"}],
    "taet": [{}, {"ce_epochs": 0, "extra_clean_forward": True}],
    "dafa": [{"warm_up": 30}],
    "cfa": [{"begin": 1}, {"base": "at", "begin": 1}],
    "gairat": [{"begin": 1}, {"func": "discrete", "begin": 1}],
    "at": [{}, {"attack_mode": "train"}],
    "ldam": [{}, {"drw_epochs": (0, 50), "drw_betas": (0.0, 0.999)}],
    "focal": [{}, {"form": "softmax"}],
    "cb": [{"form": form} for form in ("focal", "sigmoid", "softmax")],
    "udr": [{}, {"form": "trades"}],
    "tde": [{}, {"record": "always"}],
}
EPOCHS, STEPS = 4, 2


class Tiny(nn.Module):
    """What a method sees of a network: forward, features, head."""

    def __init__(self, head):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        self.head = head

    def features(self, x):
        return self.backbone(x)

    def forward(self, x):
        return self.head(self.features(x))


def variants(cls):
    return SMALL.get(cls.name, [{}])


def prepare(cls, settings, recipe="paper"):
    """(method, network, context) at the start of a short run."""
    resolved, hparams, _ = settle(cls, {"steps": 2, **settings}, recipe, EPOCHS)
    method = cls(make(cls.Hparams, dict(hparams), cls.name))
    with isolated(0, "init"):
        network = Tiny(method.build_head(64, CLASSES) or nn.Linear(64, CLASSES)).train()
    context = Context(torch.tensor(COUNTS), resolved, ThreatModel(), None, ascend, plain_gradient)
    method.setup(network, context)
    return method, network, context


def batch(epoch, step):
    generator = torch_stream(0, "batch", epoch, step)
    x = torch.rand((8, 3, 8, 8), generator=generator)
    return x, torch.randint(CLASSES, (8,), generator=generator)


def run(method, network, context, epochs, between=None):
    """Train as the loop does; `between` is called after each step. Returns the losses."""
    losses = []
    for epoch in epochs:
        context.epoch, context.lr = epoch, 0.05
        context.noise = StreamNoise(torch_stream(0, "inner", epoch), torch.float32)
        for step in range(STEPS):
            context.step = epoch * STEPS + step
            x, y = batch(epoch, step)
            x_adv = x if method.phase(context) == "natural" else method.perturb(network, x, y, context)
            assert x_adv.shape == x.shape
            assert not x_adv.requires_grad
            assert 0 <= float(x_adv.min()) <= float(x_adv.max()) <= 1
            loss, logs = method.loss(network, x, x_adv, y, context)
            assert loss.shape == ()
            assert torch.isfinite(loss)
            assert all(not value.requires_grad and value.numel() == 1 for value in logs.values())
            assert all(module.training for module in network.modules())
            network.zero_grad()
            loss.backward()
            with torch.no_grad():
                for p in network.parameters():
                    p -= context.lr * p.grad
            losses.append(float(loss.detach()))
        method.on_epoch_end(context)
    return losses


def through_a_file(state):
    """The state as a checkpoint gives it back."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


# ---------------------------------------------------------------------------------------------- the contract


def check_words(cls):
    module = sys.modules[cls.__module__]
    assert issubclass(cls, Method)
    assert module.__doc__
    assert cls.__doc__
    for text in (cls.name, cls.paper, cls.formula, cls.licence, cls.cost):
        assert text.strip()
    text = explain_method(cls.name)
    assert cls.formula in text
    assert "paper" in text
    assert "official" in text
    assert all(field.name in text for field in dataclasses.fields(cls.Hparams))


def check_imports(cls):
    path = Path(sys.modules[cls.__module__].__file__)
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
        for name in names:
            assert not name.startswith("bench") or name == "bench.api", f"{path.name} imports {name}"
        if isinstance(node, ast.ImportFrom) and node.level:
            assert (node.module or "").startswith("_"), f"{path.name} imports {node.module}"
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("cuda", "manual_seed"), f"{path.name} uses .{node.attr}"


def check_recipes(cls):
    for recipe in ("paper", "official"):
        resolved, hparams, changed = settle(cls, {}, recipe)
        assert isinstance(resolved, Recipe)
        assert len(resolved.milestones) == len(resolved.factors)
        assert not changed
        forward, backward = cls(make(cls.Hparams, dict(hparams), cls.name)).passes(resolved)
        assert forward >= 1
        assert backward >= 1
        prefix = cls(make(cls.Hparams, dict(hparams), cls.name)).shared_prefix(resolved)
        assert 0 <= prefix <= resolved.epochs
    known = {f.name for f in (*dataclasses.fields(cls.Hparams), *dataclasses.fields(Recipe))}
    assert set(cls.official) <= known


def check_ranges(cls):
    one_sentence = re.compile(r"[^\n]+\.\Z")
    for field in dataclasses.fields(cls.Hparams):
        limits = field.metadata
        wrong = []
        if limits.get("low") is not None:
            wrong.append(limits["low"] - 1)
        if limits.get("high") is not None:
            wrong.append(limits["high"] + 1)
        if limits.get("above") is not None:
            wrong.append(limits["above"])
        if limits.get("choices"):
            wrong.append("no such choice")
        if "float" in str(field.type) or "int" in str(field.type):
            wrong.append("three")
        for value in wrong:
            with pytest.raises(UsageError) as raised:
                settle(cls, {field.name: value}, "paper")
            assert one_sentence.match(str(raised.value))
            assert field.name in str(raised.value)
    with pytest.raises(UsageError, match="has no setting 'no_such_setting'"):
        settle(cls, {"no_such_setting": 1}, "paper")


def check_training(cls, settings):
    method, network, context = prepare(cls, settings)
    before = [p.detach().clone() for p in network.parameters()]
    losses = run(method, network, context, range(EPOCHS))
    assert len(losses) == EPOCHS * STEPS
    assert any(not torch.equal(p, old) for p, old in zip(network.parameters(), before, strict=True))
    network.eval()
    x, _ = batch(0, 0)
    training = network(x)
    method.deploy(network, True)
    assert network(x).shape == (8, CLASSES)
    method.deploy(network, False)
    torch.testing.assert_close(network(x), training)


def check_resumption(cls, settings):
    """A run cut in two after any epoch gives the same weights as one that never stopped."""
    method, network, context = prepare(cls, settings)
    run(method, network, context, range(EPOCHS))
    whole = network.state_dict()
    for cut in range(1, EPOCHS):
        method, network, context = prepare(cls, settings)
        run(method, network, context, range(cut))
        saved = through_a_file({"network": network.state_dict(), "method": method.state()})
        again, other, context = prepare(cls, settings)
        other.load_state_dict(saved["network"])
        if saved["method"]:
            again.load_state(saved["method"])
        run(again, other, context, range(cut, EPOCHS))
        assert all(torch.equal(value, whole[name]) for name, value in other.state_dict().items())


def check_autocast(cls, settings):
    """A step under bfloat16 autocast, as `--precision bf16` runs it."""
    method, network, context = prepare(cls, settings)
    context.noise = StreamNoise(torch_stream(0, "inner"), torch.float32)
    context.epoch = EPOCHS - 1
    x, y = batch(0, 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x_adv = method.perturb(network, x, y, context)
        loss, _ = method.loss(network, x, x_adv, y, context)
    loss.backward()
    assert x_adv.dtype == torch.float32
    assert all(bool(torch.isfinite(p.grad).all()) for p in network.parameters())


NAMES = registry("methods").names()
RUNS = [(name, settings) for name in NAMES for settings in SMALL.get(name, [{}])]
each_method = pytest.mark.parametrize("name", NAMES)
each_run = pytest.mark.parametrize(
    ("name", "settings"), RUNS, ids=lambda v: v if isinstance(v, str) else "-".join(map(str, v.values()))
)


@each_method
def test_words(name):
    check_words(registry("methods").get(name))


@each_method
def test_imports(name):
    check_imports(registry("methods").get(name))


@each_method
def test_recipes(name):
    check_recipes(registry("methods").get(name))


@each_method
def test_ranges(name):
    check_ranges(registry("methods").get(name))


@each_run
def test_training(name, settings):
    check_training(registry("methods").get(name), settings)


@each_run
def test_resumption(name, settings):
    check_resumption(registry("methods").get(name), settings)


@each_run
def test_autocast(name, settings):
    check_autocast(registry("methods").get(name), settings)


# ------------------------------------------------------------------------------------------- the worked example


def test_worked_example_is_one_file_that_the_contract_picks_up(tmp_path, monkeypatch, project):
    page = (project / "docs" / "adding-a-method.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "la_trades.py").write_text(block)
    folders = [*bench.methods.__path__, str(tmp_path)]
    monkeypatch.setattr(bench.methods, "__path__", folders)
    monkeypatch.setattr(bench.methods.__spec__, "submodule_search_locations", folders)
    importlib.invalidate_caches()
    found = Registry("methods")
    assert set(found.names()) - set(NAMES) == {"la-trades"}
    assert found.origin("la-trades").describe().startswith("Logit-adjusted TRADES")
    cls = found.get("la-trades")
    registry("methods").add("la-trades", cls)
    try:
        for check in (check_words, check_imports, check_recipes, check_ranges):
            check(cls)
        for check in (check_training, check_resumption, check_autocast):
            check(cls, {})
    finally:
        registry("methods").discard("la-trades")
        sys.modules.pop("bench.methods.la_trades", None)
