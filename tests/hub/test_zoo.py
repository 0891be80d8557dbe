"""`bench evaluate robustbench:NAME`: the zoo's own loader, its names, and every way in which it may not give a network.

The zoo's servers cannot be asked in a test. A small module stands in for the package: with the signature of its
`load_model`, its table of names, its enumerations and its imports (robustbench 1.1.1); its networks need no download.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from bench.cli import main
from bench.errors import UsageError
from bench.hub.zoo import Named, parse

INIT = (
    "from .utils import load_model\nfrom autoattack import AutoAttack\nfrom autoattack.state import EvaluationState\n"
)
ZOO = """
from collections import OrderedDict
from enum import Enum
class BenchmarkDataset(Enum):
    cifar_10 = "cifar10"
    cifar_100 = "cifar100"
    imagenet = "imagenet"
class ThreatModel(Enum):
    Linf = "Linf"
    L2 = "L2"
    corruptions = "corruptions"
    corruptions_3d = "corruptions_3d"
def names(*known):
    return OrderedDict((name, {"gdrive_id": "x"}) for name in known)
model_dicts = OrderedDict([
    (BenchmarkDataset.cifar_10, OrderedDict([
        (ThreatModel.Linf, names("Doe2026Tiny", "Roe2026Gone")), (ThreatModel.L2, names("Doe2026Tiny")),
    ])),
    (BenchmarkDataset.cifar_100, OrderedDict([(ThreatModel.Linf, names("Doe2026Hundred"))])),
    (BenchmarkDataset.imagenet, OrderedDict([(ThreatModel.Linf, names())])),
])
"""
UTILS = """
from pathlib import Path
from typing import Optional, Union
import torch
from torch import nn
from robustbench.model_zoo import BenchmarkDataset, ThreatModel, model_dicts
def load_model(model_name: str,
               model_dir: Union[str, Path] = './models',
               dataset: Union[str, BenchmarkDataset] = BenchmarkDataset.cifar_10,
               threat_model: Union[str, ThreatModel] = ThreatModel.Linf,
               custom_checkpoint: str = "",
               norm: Optional[str] = None) -> nn.Module:
    threat_model = threat_model.replace('_3d', '')
    model_dicts[BenchmarkDataset(dataset)][ThreatModel(threat_model)][model_name]
    print("Downloading", model_name)
    if model_name == "Roe2026Gone":
        raise ConnectionError("the file is not there any more")
    file = Path(model_dir) / BenchmarkDataset(dataset).value / ThreatModel(threat_model).value / f"{model_name}.pt"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"1.weight": torch.rand(10, 64), "1.bias": torch.zeros(10)}, file)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    network.load_state_dict(torch.load(file))
    return network.eval()
"""


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """The stand-in as an installed package, and a data folder of its own."""
    package = tmp_path / "site" / "robustbench"
    for name, text in (("__init__", INIT), ("utils", UTILS), ("model_zoo/__init__", ZOO)):
        (package / f"{name}.py").parent.mkdir(parents=True, exist_ok=True)
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("BENCH_OFFLINE", raising=False)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "robustbench"]:
        del sys.modules[name]


def evaluate(folder: Path, source: str, *more: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", source, "--datasets", "digitslt", "--attacks", "clean,fgsm", "--results",
              str(folder / "runs"), "--device", "cpu", *more])  # fmt: skip
    return int(caught.value.code or 0)


def test_a_network_of_the_zoo_is_measured_per_class_on_both_splits(zoo, capsys):
    assert evaluate(zoo, "robustbench:Doe2026Tiny", "--json") == 0
    told = json.loads(capsys.readouterr().out)  # what the zoo prints is not among it
    cell = next(iter((zoo / "runs").glob("doe2026tiny-*")))
    rows = pd.read_csv(cell / "per_class.csv")
    assert set(zip(rows["test_split"], rows["attack"], strict=True)) >= {
        (split, attack) for split in ("long-tailed", "balanced") for attack in ("clean", "fgsm")
    }
    assert set(rows.groupby(["test_split", "attack"]).size()) == {10}
    assert told
    facts = json.loads((cell / "cell.json").read_text())
    assert facts["spec"]["model"] == "robustbench:Doe2026Tiny"
    assert facts["network"]["called"].startswith("load_model(Doe2026Tiny, dataset=cifar10, threat_model=Linf) of ")
    assert (zoo / "data/robustbench/cifar10/Linf/Doe2026Tiny.pt").is_file()
    assert "autoattack" not in sys.modules


def test_names_of_two_parts_of_the_zoo_are_two_networks(zoo):
    assert evaluate(zoo, "robustbench:Doe2026Tiny", "--test-split", "balanced", "--quiet") == 0
    assert evaluate(zoo, "robustbench:Doe2026Tiny[threat=L2,dataset=cifar10]", "--quiet") == 0
    labels = {json.loads(p.read_text())["spec"]["method"] for p in (zoo / "runs").glob("*/cell.json")}
    assert labels == {"doe2026tiny", "doe2026tiny-threat-l2"}


def test_loading_moves_no_random_stream(zoo):
    before = torch.get_rng_state()
    assert evaluate(zoo, "robustbench:Doe2026Tiny", "--quiet") == 0
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("robustbench:Doe2026Tyni", "no 'Doe2026Tyni' for cifar10 and Linf. Did you mean 'Doe2026Tiny'"),
        ("robustbench:Doe2026Hundred", "it has robustbench:Doe2026Hundred[dataset=cifar100]."),
        ("robustbench:Roe2026Gone", "ConnectionError: the file is not there any more"),
        ("robustbench:Doe2026Tiny[threat=linf]", "threat 'linf' is not known. Did you mean 'Linf'"),
        ("robustbench:Doe2026Tiny[norm=L2]", "has no setting 'norm'. Known: dataset, threat"),
        ("robustbench:", "'robustbench:' names no network of RobustBench; write robustbench:NAME"),
    ],
)
def test_what_the_zoo_does_not_give_is_one_sentence(zoo, capsys, source, said):
    assert evaluate(zoo, source) == 1 + ("Roe" not in source)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in error
    assert not (zoo / "runs").exists()


def test_without_the_package_it_says_what_to_install(zoo, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "robustbench", None)
    assert evaluate(zoo, "robustbench:Doe2026Tiny") == 2
    assert "pip install 'robust-longtail-bench[robustbench]'" in capsys.readouterr().err


def test_offline_only_weights_that_are_here_are_taken(zoo, monkeypatch, capsys):
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    assert evaluate(zoo, "robustbench:Doe2026Tiny") != 0
    assert "BENCH_OFFLINE is set and" in capsys.readouterr().err
    monkeypatch.delenv("BENCH_OFFLINE")
    assert evaluate(zoo, "robustbench:Doe2026Tiny", "--quiet") == 0
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    assert evaluate(zoo, "robustbench:Doe2026Tiny", "--quiet") == 0


def test_other_options_for_its_network_are_refused(zoo, capsys):
    assert evaluate(zoo, "robustbench:Doe2026Tiny", "--model", "resnet18") == 2
    assert "says how its network is built" in capsys.readouterr().err


def test_a_text_is_read_as_it_is_written():
    assert parse("robustbench:A_b-1[threat=L2,dataset=cifar100]") == Named("A_b-1", "cifar100", "L2")
    assert Named("A", "cifar100").text == "robustbench:A[dataset=cifar100]"
    assert parse(Named("A", "imagenet", "corruptions").text) == Named("A", "imagenet", "corruptions")
    with pytest.raises(UsageError):
        parse("robustbench:a/b")
