"""Every architecture: published parameter counts, stored facts, and other image shapes."""

import importlib
import subprocess
import sys

import pytest
import torch

from bench.engine.nets.network import build_network
from bench.errors import UsageError
from bench.registry import registry
from bench.sizes import read_facts

#: parameters with a linear head for 10 classes, as the papers' and torchvision's networks have
PUBLISHED = {
    "preactresnet18": 11_172_170,
    "resnet18": 11_173_962,
    "resnet18-imagenet": 11_181_642,
    "resnet34": 21_282_122,
    "resnet50": 23_520_842,
    "resnet50-imagenet": 23_528_522,
    "vit-b-16": 85_806_346,
    "wrn-28-10": 36_479_194,
    "wrn-34-10": 46_160_474,
}
NAMES = [name for name in registry("models").names() if name != "timm"]


@pytest.fixture
def facts(project, monkeypatch):
    """`benchmarks/models.py`, which counts."""
    monkeypatch.syspath_prepend(str(project / "benchmarks"))
    return importlib.import_module("models")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameter_counts(name, facts):
    assert facts.parameters(name) == PUBLISHED[name]


@pytest.mark.parametrize("name", NAMES)
def test_stored_parameters_and_flops_are_exact(name, facts):
    stored = read_facts()[name]
    assert stored.parameters == facts.parameters(name)
    assert stored.gflop_forward == pytest.approx(facts.gflop_forward(name), abs=5e-5)


@pytest.mark.parametrize("name", ["small-cnn", "resnet18", "vit-small"])
def test_stored_memory_is_what_is_counted(name, facts):
    assert read_facts()[name].tensors_mib == pytest.approx(facts.tensors_mib(name), rel=0.05)


def test_facts_name_every_model_and_nothing_else():
    assert sorted(read_facts()) == NAMES


def test_facts_are_read_without_torch():
    code = "import sys; from bench.sizes import read_facts; assert read_facts(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("image", [(1, 28, 28), (3, 28, 28), (1, 8, 8), (3, 32, 32)])
@pytest.mark.parametrize("name", ["small-cnn", "resnet18-thin", "vit-small"])
def test_small_and_grey_images(name, image):
    net = build_network(name, image, 7, None, 0)
    net(torch.zeros(2, *image)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_imagenet_stem_enlarges_to_224_and_takes_grey():
    net = build_network("resnet18-imagenet", (1, 28, 28), 7, None, 0)
    assert net.size == (224, 224)
    assert net.backbone.conv1.weight.shape == (64, 1, 7, 7)
    assert build_network("resnet18-imagenet", (3, 224, 224), 7, None, 0).size is None


def test_timm_by_name():
    pytest.importorskip("timm")
    net = build_network("timm:test_vit@32", (3, 32, 32), 10, None, 0)
    assert net.size is None
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    grey = build_network("timm:test_resnet", (1, 28, 28), 7, None, 0)
    assert grey.size is not None
    with pytest.raises(UsageError, match="timm has no model 'resnet99'"):
        build_network("timm:resnet99", (3, 32, 32), 10, None, 0)
