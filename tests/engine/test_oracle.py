"""The network as attacks see it, and batch norm folded away."""

from __future__ import annotations

import warnings

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune

from bench.engine.images.planes import planes
from bench.engine.nets.fold import agrees, fold
from bench.engine.nets.network import build_network
from bench.engine.verdicts.oracle import NetworkOracle
from bench.errors import ModelError
from bench.seeding import isolated, torch_stream


class PreAct(nn.Module):
    """Batch norm before its convolution, with a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.fc = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x)
        return self.fc((self.conv2(self.bn1(x).relu()) + x).flatten(1))


class Masked(nn.Module):
    """Its forward pass forgets the gradient, which tracing does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.fc = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            x = self.body(x)
        return self.fc(x.flatten(1))


class Twice(nn.Module):
    """One convolution, called twice, so it must not swallow a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Linear(48, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(self.bn(self.conv(x))).flatten(1))


class Branching(nn.Module):
    """Cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x if x.mean() > 0 else -x)


def settled(net: nn.Module, side: int = 4) -> tuple[nn.Module, torch.Tensor]:
    """(net in float64 with running statistics and affine parameters that are not trivial, a batch)."""
    with isolated(0, "net"):
        x = torch.rand(6, 3, side, side, dtype=torch.float64)
        net = net.double().train()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d) and module.weight is not None:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.5, 0.5)
        for _ in range(3):
            net(x + 0.1 * torch.rand_like(x))
    return net.eval(), x


def made(cls: type[nn.Module] | str) -> nn.Module:
    with isolated(1, "made"):
        if cls == "resnet":
            return torchvision.models.resnet18(num_classes=5)
        if cls == "sequential":
            return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5))
        return cls()  # type: ignore[operator]


@pytest.mark.parametrize(("kind", "side", "pairs"), [("resnet", 16, 20), ("sequential", 4, 1)])
def test_folding_is_exact_in_float64(kind: str, side: int, pairs: int) -> None:
    net, x = settled(made(kind), side)
    folded = fold(net)
    assert folded is not None
    assert len(folded.pairs) == pairs
    y = torch.tensor([0, 1, 2, 3, 4, 0])
    results = []
    for which in (net, folded.net):
        image = x.clone().requires_grad_(True)
        logits = which(image)
        results.append((logits, torch.autograd.grad(cross_entropy(logits, y), [image])[0]))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert agrees(folded.net, net, x)


def test_refresh_follows_the_source() -> None:
    net, x = settled(made("sequential"))
    folded = fold(net)
    assert folded is not None
    with torch.no_grad():
        net[0].weight.mul_(1.7)
        net[1].running_mean.add_(0.3)
        net[4].bias.add_(1.0)
    folded.refresh()
    torch.testing.assert_close(folded.net(x), net(x))


@pytest.mark.parametrize("cls", [PreAct, Twice, Branching])
def test_what_cannot_be_folded_is_left(cls: type[nn.Module]) -> None:
    net, _ = settled(made(cls))
    assert fold(net) is None


def test_a_trace_that_forgets_no_grad_is_dropped() -> None:
    net, x = settled(made(Masked))
    assert fold(net) is not None
    with NetworkOracle(net, 5, probe=x) as oracle:
        assert not oracle.folded
        gradient, _ = oracle.gradient(x, lambda z: z.sum())
    assert not gradient.any()


def test_gradient_is_of_the_input_only_and_everything_is_put_back() -> None:
    net, x = settled(made("sequential"))
    net.train()
    net[0].weight.requires_grad_(False)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with NetworkOracle(net, 5, probe=x) as oracle:
        assert oracle.folded
        assert not any(p.requires_grad for p in net.parameters())
        gradient, logits = oracle.gradient(x, lambda z: z[:, 0])
        assert gradient.shape == x.shape
        assert not gradient.requires_grad
        assert not logits.requires_grad
        oracle.logits(x[:2])
        assert (oracle.forwards, oracle.backwards) == (8, 6)
    assert all(m.training for m in net.modules())
    assert [p.requires_grad for p in net.parameters()] == [False, True, True, True, True, True]
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_modes_come_back_after_an_error() -> None:
    net, x = settled(made("sequential"))
    net.train()
    with pytest.raises(ZeroDivisionError), NetworkOracle(net, 5, probe=x):
        raise ZeroDivisionError
    assert net.training
    assert net[0].weight.requires_grad


@pytest.mark.parametrize(("channels", "last"), [(1, False), (3, True)])
def test_the_folded_copy_is_laid_out_as_suits_the_images(channels: int, last: bool) -> None:
    net = build_network("small-cnn", (channels, 8, 8), 5, None, 0)
    x = torch.linspace(0, 1, 4 * channels * 64).view(4, channels, 8, 8)
    with NetworkOracle(net, 5, probe=x) as oracle:
        assert oracle.folded
        kernels = [m.weight for m in oracle._attacked.modules() if isinstance(m, nn.Conv2d)]
        assert all(k.is_contiguous(memory_format=torch.channels_last) is last for k in kernels[1:])
        assert torch.allclose(oracle.logits(x), oracle.plain(x), atol=1e-5)


def test_outputs_must_be_finite_logits() -> None:
    net, x = settled(made("sequential"))
    with (
        NetworkOracle(net, 4) as oracle,
        pytest.raises(ModelError, match=r"shape \(6, 5\) for 6 images; it must be 6 x 4"),
    ):
        oracle.plain(x)
    with torch.no_grad():
        net[4].bias[0] = torch.nan
    with NetworkOracle(net, 5) as oracle, pytest.raises(ModelError, match="NaN"):
        oracle.plain(x)


def twice(conv: nn.Module, *norms: nn.Module) -> nn.Module:
    with isolated(0, "odd"):
        net = nn.Sequential(conv, *norms, nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
    for norm in norms:
        norm.running_mean += 0.3
        norm.running_var *= 2.5
    return net.double().eval()


class NamedInput(nn.Module):
    """Calls its batch norm by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Linear(288, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(input=self.conv(x)).flatten(1))


def hooked() -> nn.Module:
    net = twice(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8))
    net[0].register_forward_hook(lambda module, given, out: out * 2)
    return net


def weight_normed() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older of the two forms, which published networks have
        return twice(nn.utils.weight_norm(nn.Conv2d(1, 8, 3)), nn.BatchNorm2d(8))


ODD = {
    "two norms": (lambda: twice(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.BatchNorm2d(8)), True),
    "keyword": (lambda: NamedInput().double().eval(), True),
    "hook": (hooked, False),
    "weight norm": (weight_normed, False),
    "spectral norm": (lambda: twice(nn.utils.spectral_norm(nn.Conv2d(1, 8, 3)), nn.BatchNorm2d(8)), False),
    "pruned": (lambda: twice(prune.random_unstructured(nn.Conv2d(1, 8, 3), "weight", 0.3), nn.BatchNorm2d(8)), False),
}


class Viewing(nn.Module):
    """Takes a view of what its convolution answers, as the tutorials do."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.conv(x)).relu().view(x.size(0), -1))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_that_views_what_a_convolution_answers_is_asked_in_its_layout(
    channels: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with isolated(0, "view"):
        net = Viewing(channels).eval()
    stored = torch.randint(256, (4, 8, 8, channels), generator=torch_stream(0, "view"), dtype=torch.uint8)
    x = planes(stored, torch.float32)
    assert torch.equal(x[2, channels - 1], stored[2, ..., channels - 1] / 255)
    with NetworkOracle(net, 5, probe=x) as oracle:
        assert oracle.folded is (channels == 1), "the folded copy answers channels last"
        assert torch.allclose(oracle.logits(x), net(x), atol=1e-5)
    assert (fold(net, x, channels_last=channels > 1) is None) is (channels > 1)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ODD)
def test_what_cannot_be_folded_is_left_and_what_is_folded_computes_the_same(name: str) -> None:
    make, folds = ODD[name]
    with isolated(0, "odd"):
        net = make()
    x = torch.rand(4, 1, 8, 8, generator=torch_stream(0, "odd"), dtype=torch.float64)
    with NetworkOracle(net, 5, probe=x) as oracle:
        assert oracle.folded is folds
        assert torch.allclose(oracle.logits(x), net(x), atol=1e-9)
    assert (fold(net, probe=x) is not None) is folds
