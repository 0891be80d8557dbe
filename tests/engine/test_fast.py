"""The fast gradient is the plain one: over whole trainings in float64, per gradient in float32, and when recorded."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bench.api import Method
from bench.config import CellSpec, Recipe
from bench.engine import train
from bench.engine.gradients import graphs
from bench.engine.gradients.fast import FastInner, NetworkGradient, twin
from bench.engine.gradients.graphs import Eager, Replayed
from bench.engine.gradients.inner import ascend, plain_gradient
from bench.engine.images.invented import invented
from bench.engine.images.subset import CellData
from bench.engine.nets.fold import fold
from bench.engine.nets.network import Network, build_network
from bench.engine.settled import settle
from bench.errors import ModelError
from bench.plugins import make_method
from bench.registry import registry
from bench.seeding import StreamNoise, isolated, torch_stream

CPU = torch.device("cpu")
PLAIN = SimpleNamespace(ascend=ascend, gradient=plain_gradient)


class Rerun:
    """A recorder for the CPU: replaying is running again, into the same output."""

    def __init__(self, fail: bool = False) -> None:
        self.fail, self.recorded, self.replayed = fail, 0, 0

    def record(self, code):
        if self.fail:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.recorded += 1
        out = code().detach().clone()

        def replay() -> None:
            self.replayed += 1
            with torch.enable_grad():
                out.copy_(code().detach())

        return replay, out


def draw(*shape: int, name: str = "x") -> torch.Tensor:
    return torch.rand(*shape, generator=torch_stream(0, name))


def images(n: int, channels: int = 1, side: int = 8, classes: int = 4) -> CellData:
    """A labelled set of noise, as a cell's data."""
    x = (draw(n, side, side, channels) * 255).to(torch.uint8)
    return invented(x, classes)


def cell(method: str = "at", precision: str = "fp64", **recipe: object) -> CellSpec:
    settings = {"epochs": 2, "full_epochs": 2, "batch_size": 8, "steps": 3, "augment": "none", **recipe}
    return CellSpec(method, "noise", 10.0, "small-cnn", 0, recipe=Recipe(**settings), precision=precision)


def small(dtype: torch.dtype = torch.float64, head=None) -> Network:
    return build_network("small-cnn", (1, 8, 8), 4, head, 0).to(dtype)


def trained_a_little(network: Network) -> Network:
    """Batch-norm statistics and weights away from where they start."""
    for i, module in enumerate(network.modules()):
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(draw(module.num_features, name=f"m{i}") - 0.5)
            module.running_var.copy_(0.5 + draw(module.num_features, name=f"v{i}"))
            module.weight.data.copy_(0.5 + draw(module.num_features, name=f"w{i}"))
    return network


def counted(function, calls: list[int]):
    def call(*args, **rest):
        calls.append(1)
        return function(*args, **rest)

    return call


def run(
    spec: CellSpec, monkeypatch: pytest.MonkeyPatch, plain: bool
) -> tuple[list[float], list[torch.Tensor], Network]:
    """(losses of all epochs, all adversarial batches, network) of a training with or without the fast gradient."""
    seen: list[torch.Tensor] = []
    cls = type(make_method(spec))

    class Watched(cls):  # type: ignore[misc, valid-type]
        def loss(self, model, x, x_adv, y, context):
            seen.append(x_adv.clone())
            return super().loss(model, x, x_adv, y, context)

    method: Method = Watched(make_method(spec).hp)
    network = build_network(spec.model, (1, 8, 8), 4, method.build_head, 0)
    with monkeypatch.context() as patch:
        if plain:
            patch.setattr(train, "make_inner", lambda *_: PLAIN)
        done = train.train(spec, images(36), network, method, CPU)
    return [row["loss"] for row in done.curves], seen, network


def short(method: str) -> CellSpec:
    """A cell under the first of the method's own small settings."""
    cls = registry("methods").get(method)
    recipe, hparams, _ = settle(cls, {"batch_size": 8, "steps": 3, "augment": "none", **cls.small[0]}, "paper", 2)
    return dataclasses.replace(cell(method), recipe=recipe, hparams=hparams)


@pytest.mark.parametrize("method", registry("methods").names())
def test_training_in_float64_is_the_plain_one_step_by_step(method, monkeypatch):
    spec = short(method)
    used = []
    monkeypatch.setattr(NetworkGradient, "__call__", counted(NetworkGradient.__call__, used))
    losses, batches, network = run(spec, monkeypatch, plain=False)
    _, backward = make_method(spec).passes(spec.recipe)
    assert bool(used) == (backward > 1)  # the method's attack does take the fast gradient
    wanted, plain_batches, plain_network = run(spec, monkeypatch, plain=True)
    assert len(batches) == len(plain_batches) == 5 * spec.recipe.epochs
    assert losses == pytest.approx(wanted, abs=1e-12, rel=0)
    for ours, theirs in zip(batches, plain_batches, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-12, rtol=0)
    for ours, theirs in zip(network.state_dict().values(), plain_network.state_dict().values(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-10, rtol=0)


def test_the_same_cell_gives_the_same_bytes_twice(monkeypatch):
    first, again = (run(cell(precision="fp32"), monkeypatch, plain=False)[2].state_dict() for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.values(), again.values(), strict=True))


@pytest.mark.parametrize("model", ["small-cnn", "resnet18-thin", "preactresnet18"])
def test_single_gradients_in_float32_are_equal_within_rounding(model):
    network = trained_a_little(build_network(model, (1, 8, 8), 4, None, 0)).eval()
    x, y = draw(6, 1, 8, 8), torch.arange(6) % 4
    fast_one = NetworkGradient(cell(precision="fp32"), network, x, None)
    fast_one.refresh()
    (a, z), (b, w) = (
        fast_one(network, x, lambda o: cross_entropy(o, y, reduction="sum")),
        plain_gradient(network, x, lambda o: cross_entropy(o, y, reduction="sum")),
    )
    assert (z - w).norm() <= 1e-5 * w.norm()
    assert (a - b).norm() <= 1e-3 * b.norm()


def test_folded_weights_follow_the_network():
    network = trained_a_little(small()).eval()
    x, y = draw(4, 1, 8, 8).double(), torch.arange(4)

    def objective(z):
        return cross_entropy(z, y, reduction="sum")

    gradient = NetworkGradient(cell(), network, x, None)
    assert gradient.folded is not None
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(1.5)
        network.backbone[1].running_mean.add_(0.3)
    stale = gradient(network, x, objective)[0]
    gradient.refresh()
    fresh, plain = gradient(network, x, objective)[0], plain_gradient(network, x, objective)[0]
    assert torch.allclose(fresh, plain, atol=1e-12, rtol=1e-10)
    assert not torch.allclose(stale, plain, atol=1e-6, rtol=1e-3)


def test_the_network_keeps_its_weights_modes_and_names():
    network = small(torch.float32).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    x, y = draw(4, 1, 8, 8), torch.arange(4)
    noise = StreamNoise(torch_stream(0, "inner"), torch.float32)
    FastInner(cell(precision="fp32"), network, None).ascend(
        network, x, lambda z: cross_entropy(z, y, reduction="sum"), noise=noise, eps=0.1, step=0.05, steps=2
    )
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


def test_an_attack_in_train_mode_moves_the_running_statistics_as_the_plain_one(monkeypatch):
    spec = dataclasses.replace(cell("at"), hparams=(("attack_mode", "train"), ("start", "none")))
    losses, batches, network = run(spec, monkeypatch, plain=False)
    wanted, plain_batches, plain_network = run(spec, monkeypatch, plain=True)
    assert losses == wanted
    assert all(torch.equal(a, b) for a, b in zip(batches, plain_batches, strict=True))
    assert torch.equal(network.backbone[1].running_mean, plain_network.backbone[1].running_mean)


def test_a_network_that_is_not_the_cells_own_gets_the_plain_gradient():
    network, other = small(), trained_a_little(small())
    spec, x, y = cell(), draw(4, 1, 8, 8).double(), torch.arange(4)
    settings = {"noise": StreamNoise(torch_stream(0, "n"), torch.float64), "eps": 0.1, "step": 0.05, "steps": 2}

    def objective(z):
        return cross_entropy(z, y, reduction="sum")

    fast_one = FastInner(spec, network, None)
    got = fast_one.ascend(other, x, objective, start="none", **settings)
    assert fast_one._gradient is None
    assert torch.equal(got, ascend(other, x, objective, start="none", **settings))


class Branching(nn.Module):
    """A forward pass that cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x)).flatten(1)[:, :4] * (2.0 if x.sum() > 0 else 1.0)


class Gradless(Branching):
    """Traceable, but tracing forgets that part of the forward pass is a constant."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            side = self.norm(self.conv(x)).flatten(1)[:, :4]
        return side + x.flatten(1)[:, :4]


@pytest.mark.parametrize("backbone", [Branching, Gradless])
def test_what_cannot_be_folded_truly_is_not_folded(backbone):
    with isolated(0, "test"):
        net = Network(backbone(), nn.Linear(4, 3)).double().eval()
    x, y = draw(4, 1, 8, 8).double(), torch.arange(4) % 3
    assert fold(net.backbone, probe=x) is None
    gradient = NetworkGradient(cell(), net, x, None)
    gradient.refresh()
    ours, logits = gradient(net, x, lambda z: cross_entropy(z, y, reduction="sum"))
    plain, wanted = plain_gradient(net, x, lambda z: cross_entropy(z, y, reduction="sum"))
    assert torch.equal(ours, plain)
    assert torch.equal(logits, wanted)


def test_an_enlarging_normalising_network_is_folded_behind_its_preparation():
    plain = small()
    net = Network(plain.backbone, plain.head, size=(16, 16), mean=(0.4,), std=(0.2,)).double().eval()
    trained_a_little(net)
    x, y = draw(4, 1, 8, 8).double(), torch.arange(4)
    gradient = NetworkGradient(cell(), net, x, None)
    gradient.refresh()
    assert gradient.folded is not None
    ours = gradient(net, x, lambda z: cross_entropy(z, y, reduction="sum"))[0]
    assert torch.allclose(ours, plain_gradient(net, x, lambda z: cross_entropy(z, y, reduction="sum"))[0], atol=1e-12)


def test_a_twin_shares_all_but_the_backbone():
    net = small()
    other = twin(net, nn.Identity())
    assert other.head is net.head
    assert net.backbone is not other.backbone


# ---------------------------------------------------------------------------------------------- recorded kernels


def recorded_like_eager(spec: CellSpec, monkeypatch: pytest.MonkeyPatch) -> Rerun:
    """The recorder of a training that gave what the eager one gives."""
    recorder = Rerun()
    with monkeypatch.context() as patch:
        patch.setattr(train, "make_inner", lambda spec, device, network: FastInner(spec, network, recorder))
        got = run(spec, monkeypatch, plain=False)
    wanted = run(spec, monkeypatch, plain=False)
    assert got[0] == wanted[0]
    assert all(torch.equal(a, b) for a, b in zip(got[1], wanted[1], strict=True))
    return recorder


@pytest.mark.parametrize("method", ["at", "trades", "gairat"])
def test_a_recorded_training_is_the_eager_one(method, monkeypatch):
    """Constant tensors in closures change from step to step; a recording must not hold them."""
    spec = cell(method)
    recorder = recorded_like_eager(spec, monkeypatch)
    # two shapes (8 images, and the last 4), two directions each, and the folding of the weights
    assert recorder.recorded == 5
    attacks = 10  # batches
    assert recorder.replayed == attacks * (1 + 2 * spec.recipe.steps)


@pytest.mark.parametrize("method", ["las-at", "adt"])
def test_gradients_of_a_methods_own_loop_are_recorded_too(method, monkeypatch):
    spec = short(method)
    assert recorded_like_eager(spec, monkeypatch).replayed > 0


def test_what_cannot_be_recorded_runs_eagerly(monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(train, "make_inner", lambda spec, device, network: FastInner(spec, network, Rerun(fail=True)))
        got = run(cell(), monkeypatch, plain=False)
    wanted = run(cell(), monkeypatch, plain=False)
    assert got[0] == wanted[0]
    assert "cannot be recorded" in caplog.text
    assert len(caplog.records) == 1


def test_only_so_many_shapes_are_recorded():
    net, recorder = small().eval(), Rerun()
    engine = Replayed(net.features, recorder)
    for n in range(1, graphs.SHAPES + 4):
        x = draw(n, 1, 8, 8).double()
        slope = draw(n, 64, name="slope").double()
        plain = Eager(net.features)
        assert torch.equal(engine.forward(x), plain.forward(x))
        assert torch.equal(engine.pullback(slope), plain.pullback(slope))
    assert recorder.recorded == 2 * graphs.SHAPES


def test_a_compiler_that_fails_is_an_error_with_a_mend(monkeypatch):
    def broken(*_args, **_kwargs):
        def call(*_):
            raise RuntimeError("no working compiler\nlong trace")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    net = small().eval()
    gradient = NetworkGradient(dataclasses.replace(cell(), compile=True), net, draw(4, 1, 8, 8).double(), None)
    with pytest.raises(ModelError, match=r"no working compiler\); run without --compile"):
        gradient(net, draw(4, 1, 8, 8).double(), lambda z: z.sum(1))


def test_compiling_is_the_same_gradient(monkeypatch):
    """The compiler's front end is enough here; its code generation needs a C++ compiler and half a minute."""
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **options: real(f, backend="eager", **options))
    net, x, y = trained_a_little(small()).eval(), draw(4, 1, 8, 8).double(), torch.arange(4)
    gradient = NetworkGradient(dataclasses.replace(cell(), compile=True), net, x, None)
    gradient.refresh()
    ours = gradient(net, x, lambda z: cross_entropy(z, y, reduction="sum"))[0]
    assert torch.allclose(ours, plain_gradient(net, x, lambda z: cross_entropy(z, y, reduction="sum"))[0], atol=1e-12)


# -------------------------------------------------------------------------------------------------- bf16


def test_bf16_keeps_folded_weights_in_bf16_and_sums_logits_near_the_plain_ones():
    net, x, y = trained_a_little(small(torch.float32)).eval(), draw(16, 1, 8, 8), torch.arange(16) % 4
    spec = cell(precision="bf16")

    def objective(z):
        return cross_entropy(z.float(), y, reduction="sum")

    with train.precision(spec, CPU) as autocast, autocast():
        gradient = NetworkGradient(spec, net, x, None)
        gradient.refresh()
        ours, logits = gradient(net, x, objective)
    assert gradient.folded is not None
    assert {t.weight.dtype for _, t, _ in gradient.folded.pairs} == {torch.bfloat16}
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    plain, wanted = plain_gradient(net, x, objective)
    assert ours.dtype == torch.float32
    assert (logits.float() - wanted).norm() < 0.05 * wanted.norm()
    assert (ours.sign() == plain.sign()).double().mean() > 0.9
