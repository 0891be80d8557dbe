"""Weights from elsewhere: published layouts compute the same here, what does not fit is named, no code is run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bench.config import CellSpec
from bench.engine.images.subset import load_data
from bench.engine.life.external import GivenNetwork, probe
from bench.engine.nets.files import read_file
from bench.engine.nets.network import Network, build_network
from bench.engine.nets.weights import begin, load_weights, tensor_hash
from bench.engine.resume.checkpoint import load_checkpoint
from bench.errors import ModelError, StoreError
from bench.models._preact import PreActResNet, WideResNet
from bench.seeding import isolated

DATA = CellSpec("ce", "digitslt", 10.0, "resnet18", 0)


class PublishedBlock(nn.Module):
    """The basic block as CIFAR repositories write it: `shortcut.0`, `shortcut.1`."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.shortcut(x))


class PublishedResNet18(nn.Module):
    """CIFAR ResNet-18 with the key layout of published checkpoints: conv1, bn1, layer1..4, linear."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        for i, width in enumerate((64, 128, 256, 512), start=1):
            first = PublishedBlock(inputs, width, 1 if i == 1 else 2)
            setattr(self, f"layer{i}", nn.Sequential(first, PublishedBlock(width, width, 1)))
            inputs = width
        self.linear = nn.Linear(512, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for i in range(1, 5):
            x = getattr(self, f"layer{i}")(x)
        return self.linear(x.mean((2, 3)))


class PublishedPreActBlock(nn.Module):
    """The pre-activation block, its shortcut a sequence of one (PreActResNet) or `convShortcut` (WideResNet)."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, wide: bool) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(outputs), nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.beside = "" if stride == 1 and inputs == outputs else "convShortcut" if wide else "shortcut"
        if self.beside:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            setattr(self, self.beside, conv if wide else nn.Sequential(conv))

    def forward(self, x):
        active = F.relu(self.bn1(x))
        x = getattr(self, self.beside)(active) if self.beside else x
        return x + self.conv2(F.relu(self.bn2(self.conv1(active))))


class PublishedPreActResNet(nn.Module):
    """Pre-activation network of one block a stage: conv1, layer1..4, bn, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn, self.linear = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(512), nn.Linear(512, 7)
        for i, (inputs, width) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512)), start=1):
            block = PublishedPreActBlock(inputs, width, 1 if i == 1 else 2, wide=False)
            setattr(self, f"layer{i}", nn.Sequential(block))

    def forward(self, x):
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))
        return self.linear(F.relu(self.bn(x)).mean((2, 3)))


class PublishedStage(nn.Module):
    """A stage of a published WideResNet, which keeps its blocks under `layer`."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(PublishedPreActBlock(inputs, outputs, stride, wide=True))

    def forward(self, x):
        return self.layer(x)


class PublishedWideResNet(nn.Module):
    """WideResNet-10-2: conv1, block1..3, bn1, fc."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1, self.fc = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(128), nn.Linear(128, 7)
        self.block1, self.block2 = PublishedStage(16, 32, 1), PublishedStage(32, 64, 2)
        self.block3 = PublishedStage(64, 128, 2)

    def forward(self, x):
        return self.fc(F.relu(self.bn1(self.block3(self.block2(self.block1(self.conv1(x)))))).mean((2, 3)))


def settled(build, seed: int = 0) -> nn.Module:
    """The network in eval mode with weights of its own and running statistics that matter."""
    with isolated(seed, "published"):
        net = build()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.2, 0.2)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval()


@pytest.fixture(scope="module")
def published() -> nn.Module:
    return settled(PublishedResNet18)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_published_resnet18_evaluates_to_its_own_logits(tmp_path: Path, suffix: str) -> None:
    net, file = settled(lambda: PublishedResNet18(channels=1)), tmp_path / f"best{suffix}"
    state = nn.DataParallel(net).state_dict()
    assert "module.layer2.0.shortcut.0.weight" in state
    if suffix == ".pth":
        torch.save({"state_dict": state, "epoch": 3}, file)
    else:
        pytest.importorskip("safetensors.torch").save_file(state, file)
    data = load_data(DATA)
    ours = probe(GivenNetwork(str(file), "resnet18", ranked=True).load(data), data)
    with torch.no_grad():
        want = net(data.test_images[: len(ours)].permute(0, 3, 1, 2) / 255)
    torch.testing.assert_close(ours, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("theirs", "backbone", "width"),
    [
        (PublishedPreActResNet, lambda: PreActResNet([1, 1, 1, 1], 3), 512),
        (PublishedWideResNet, lambda: WideResNet(10, 2, 3), 128),
    ],
)
@pytest.mark.parametrize("wrapper", ["", "module.model."])
def test_published_pre_activation_networks_give_equal_outputs(theirs, backbone, width, wrapper) -> None:
    net, ours = settled(theirs), settled(lambda: Network(backbone(), nn.Linear(width, 7)))
    load_weights(ours, {wrapper + name: value for name, value in net.state_dict().items()}, "ours")
    x = torch.linspace(0, 1, 2 * 3 * 16 * 16).view(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), net(x), rtol=1e-5, atol=1e-5)


def test_own_state_dict_round_trip() -> None:
    net, other = (build_network("small-cnn", (1, 8, 8), 10, None, seed) for seed in (0, 1))
    assert not torch.equal(net.head.weight, other.head.weight)
    load_weights(other, net.state_dict(), "ours")
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_network_of_the_user_keeps_its_own_names() -> None:
    """`fc` and `linear` are the same part in two published layouts, and two parts here."""

    def build() -> nn.Module:
        return nn.ModuleDict({"fc": nn.Linear(3, 3), "linear": nn.Linear(3, 3), "module": nn.Linear(3, 3)})

    net = settled(build)
    for wrapper in ("", "module."):
        other = settled(build, seed=1)
        load_weights(other, {wrapper + name: value for name, value in net.state_dict().items()}, "yours")
        assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def test_a_file_without_the_counts_of_steps_is_read(published) -> None:
    net = build_network("resnet18", (3, 32, 32), 10, None, 0)
    load_weights(net, {k: v for k, v in published.state_dict().items() if "num_batches" not in k}, "old")
    assert torch.equal(net.head.weight, published.linear.weight)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: {k: v for k, v in s.items() if k != "conv1.weight"}, r"missing backbone\.conv1\.weight;"),
        (lambda s: s | {"extra.weight": torch.zeros(1)}, r"not known extra\.weight;"),
        (lambda s: s | {"fc.weight": torch.zeros(10, 512)}, r"not known (linear|fc)\.weight;"),
        (lambda s: s | {"linear.weight": torch.zeros(7, 512)}, r"head\.weight \(7, 512\) for \(10, 512\)"),
        (lambda s: {k: v.to(torch.int8) for k, v in s.items()}, r"of another kind .* int8 for float32, .*; save them"),
        (
            lambda s: s | {"linear.bias": s["linear.bias"] > 0},
            r"of another kind head\.bias bool for float32; save them",
        ),
        (lambda s: s | {"linear.bias": s["linear.bias"] + 0j}, r"head\.bias complex64 for float32; save them"),
    ],
    ids=["missing", "unknown", "one part twice", "of another shape", "whole numbers", "yes and no", "complex"],
)
def test_weights_that_do_not_fit_are_named_and_change_nothing(published, change, says) -> None:
    net = build_network("resnet18", (3, 32, 32), 10, None, 0)
    before = net.head.bias.clone()
    with pytest.raises(ModelError, match=rf"do not fit 'resnet18': .*{says}"):
        load_weights(net, change(published.state_dict()), "'resnet18'")
    assert torch.equal(net.head.bias, before)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_read(published, kind) -> None:
    """Counts of steps are whole numbers, and some average or cast them with the rest."""
    net = build_network("resnet18", (3, 32, 32), 10, None, 0)
    load_weights(net, {name: value.to(kind) for name, value in published.state_dict().items()}, "'resnet18'")
    assert net.head.weight.dtype == torch.float32
    assert torch.equal(net.head.weight, published.linear.weight.to(kind).float())


def test_the_entry_of_the_network_s_kind_is_the_one_that_fits(published) -> None:
    state, net = published.state_dict(), build_network("resnet18", (3, 32, 32), 10, None, 0)
    both = {f"model.{k}": v for k, v in state.items()} | {f"packed.{k}": v.to(torch.int8) for k, v in state.items()}
    assert load_weights(net, both, "'resnet18'").key == "model"
    with pytest.raises(ModelError, match="of another kind"):
        load_weights(net, both, "'resnet18'", entry="packed")


def test_whole_numbers_start_no_training(published) -> None:
    net = build_network("resnet18", (3, 32, 32), 10, None, 0)
    body = {k: v.to(torch.int8) for k, v in published.state_dict().items() if not k.startswith("linear.")}
    with pytest.raises(ModelError, match="do not fit 'resnet18'"):
        begin(net, body, "'resnet18'")


def test_the_hash_is_that_of_names_and_bytes_in_sorted_order() -> None:
    state = {"b": torch.tensor([1.0, 2.0]).flip(0), "a": torch.tensor(3)}
    text = b"before" + b"a" + (3).to_bytes(8, "little") + b"b" + bytes.fromhex("000000400000803f")
    assert tensor_hash(state, "before") == hashlib.sha256(text).hexdigest()


def test_reading_weights_never_runs_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ModelError, match="refused"):
        read_file(tmp_path / "evil.pt")
    with pytest.raises(StoreError, match=r"evil\.pt cannot be read: it is damaged") as caught:
        load_checkpoint(tmp_path / "evil.pt")
    assert "weights_only" not in str(caught.value)  # torch advises to switch it off
    assert not (tmp_path / "ran").exists()
