"""`bench evaluate` as a user calls it: files, factories, refusals, and the same tables."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch import nn

from bench.cli import main
from bench.cli.evaluate import Given, resolved
from bench.config import AttackSpec, CellSpec, ThreatModel
from bench.engine.grid import parse_ratio
from bench.engine.images.subset import load_data
from bench.engine.life.external import Wrapped
from bench.engine.nets.network import build_network
from bench.engine.suite import evaluate
from bench.seeding import isolated

DATA = CellSpec("ce", "digitslt", 10.0, "small-cnn", 0)
FACTORY = """
import os, sys, types
import torch
from torch import nn
CLASSES = []
def make(classes):
    CLASSES.append(classes)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
def bare():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
def narrow():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 9))
def nan():
    net = bare()
    with torch.no_grad():
        net[1].bias[0] = torch.nan
    return net
def other_size():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 10))
def nothing():
    return 3
class Scaled(nn.Module):
    def __init__(self, scale, noise=0.0):
        super().__init__()
        self.inner, self.scale, self.noise = bare(), scale, noise
    def forward(self, x):
        return self.scale * self.inner(x + self.noise * torch.randn_like(x))
def by_epoch(epoch=100, num_classes=3):
    CLASSES.append((epoch, num_classes))
    return bare()
def no_classes(depth=34):
    CLASSES.append(depth)
    return bare()
def wants(classes, *, folder):
    return bare()
def refuses(classes):
    raise TypeError("weights_dir must be a str, not None")
def out_of_type(f):
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = bare()
        def forward(self, x):
            return f(self.inner, x)
    return Other()
def pair():
    return out_of_type(lambda net, x: (net(x), net(x)))
def beside():
    return out_of_type(lambda net, x: {"z": net(x), "features": [x.flatten(1), None]})
def hidden():
    return out_of_type(lambda net, x: types.SimpleNamespace(logits=net(x), hidden=net(x) * 0))
net = bare()
def leaves(classes):
    return out_of_type(lambda net, x: sys.exit("no weights"))
def faulty():
    class Faulty(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.sound = bare(), False
        def forward(self, x):
            noisy = ((x * 255).round() - x * 255).abs().max() > 0.01
            if x.requires_grad and noisy and not self.sound:
                self.sound = True
                raise KeyError("table")
            return self.inner(x)
    return Faulty()
def sized():
    return out_of_type(lambda net, x: net.nothing(x))
def inplace():
    return out_of_type(lambda net, x: net(x.sub_(0.0)))
def half():
    return bare().half()
def viewing():
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), View(), nn.Linear(256, 10))
class View(nn.Module):
    def forward(self, x):
        return x.view(-1, 256)
def noisy_one():
    print("made")
    os.chdir("/")
    return out_of_type(lambda net, x: (print("asked"), net(x))[1])
def numbers():
    return out_of_type(lambda net, x: net(x).round().long())
def sparse():
    return out_of_type(lambda net, x: net(x).to_sparse())
def halfway():
    return out_of_type(lambda net, x: net(x).sigmoid().add_(1).mul(x.new_ones(1).sigmoid()))
def quits():
    raise GeneratorExit
SCALE = 1.0
def scaled():
    return Scaled(SCALE)
def noisy():
    return Scaled(1.0, noise=0.3)
"""


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", *map(str, words)])
    return int(caught.value.code or 0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    import sys

    sys.modules.pop("mine", None)


def network() -> nn.Module:
    return build_network("small-cnn", (1, 8, 8), 10, None, 3)


def words(results: Path, *more: object) -> list[object]:
    return ["--datasets", "digitslt", "--attacks", "clean,fgsm,cw-linf", "--results", results, *more]


def folder(results: Path) -> Path:
    return next(p for p in results.iterdir() if p.is_dir())


def test_a_checkpoint_gives_the_rows_of_its_network(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = network()
    torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}, "epoch": 3}, here / "best.pth")
    assert run("best.pth", *words(here / "out")) == 0
    where = folder(here / "out")
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == where.name
    assert re.search(r"^best +1 +\d+\.\d ± ?\d+\.\d", said.out, re.MULTILINE)
    assert f"Next: bench report --results {here / 'out'}" in said.out
    cell, rows = json.loads((where / "cell.json").read_text()), pd.read_csv(where / "per_class.csv")
    assert cell["status"] == "done"
    assert set(rows["method"]) == {"best"}
    assert set(rows["recipe"]) == {"external"}
    assert "train" not in cell["stages"]  # it was trained elsewhere, at whatever cost
    data = load_data(DATA)
    index = data.splits["long-tailed"]
    specs = [AttackSpec(a) for a in ("clean", "fgsm", "cw-linf")]
    want = evaluate(
        net,
        data.test_images[index],
        data.test_labels[index],
        index,
        specs,
        threat=ThreatModel(cell["spec"]["threat"]["eps"]),
        num_classes=10,
        root_seed=0,
    )
    for label, attack in want.attacks.items():
        assert rows[rows["attack"] == label]["correct"].sum() == attack.correct.sum()
    before = (where / "per_class.csv").stat().st_mtime_ns
    assert run("best.pth", *words(here / "out", "--quiet")) == 0
    assert capsys.readouterr().out.strip() == where.name  # alone, for scripts
    assert (where / "per_class.csv").stat().st_mtime_ns == before
    for verb in (["show", where.name], ["verify"], ["report", "--output", str(here / "report")]):
        with pytest.raises(SystemExit) as caught:
            main([*verb, "--results", str(here / "out")])
        assert not caught.value.code


def test_a_training_of_zeros_in_an_older_store_is_no_training(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(network().state_dict(), here / "best.pth")
    assert run("best.pth", *words(here / "out")) == 0
    where = folder(here / "out") / "cell.json"
    cell = {name: value for name, value in json.loads(where.read_text()).items() if name != "seal"}
    zeros = dict.fromkeys(("seconds", "peak_memory_mib", "epochs", "images", "forward", "backward"), 0)
    for old in (cell, cell | {"stages": cell["stages"] | {"train": zeros}}):
        where.write_text(json.dumps(old))
        with pytest.raises(SystemExit) as caught:
            main(["findings", "--results", str(here / "out"), "--output", str(here / "page.md")])
        assert not caught.value.code
        assert "Training:" not in (here / "page.md").read_text()
    assert run("best.pth", *words(here / "out", "--attacks", "clean,fgsm,pgd-20")) == 0
    again = json.loads(where.read_text())
    assert "train" not in again["stages"]
    assert "long-tailed/pgd-20" in again["evaluations"]


def test_safetensors_and_published_names(here: Path) -> None:
    from safetensors.torch import save_file

    state = {
        ("fc." if k.startswith("head.") else "") + k.partition(".")[2]: v for k, v in network().state_dict().items()
    }
    save_file(state, here / "net.safetensors")
    torch.save(network().state_dict(), here / "net.pt")
    for file in ("net.safetensors", "net.pt"):
        assert run(file, *words(here / file.partition(".")[2], "--attacks", "clean")) == 0
    one, two = (json.loads((folder(here / s) / "cell.json").read_text())["spec"] for s in ("safetensors", "pt"))
    assert one == two


def test_a_factory_with_weights_normalisation_and_balanced_split(here: Path) -> None:
    with isolated(0, "net"):
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    torch.save(net.state_dict(), here / "w.pt")
    assert run("mine:make", *words(here / "a", "--weights", "w.pt", "--name", "linear")) == 0
    more = ["--weights", "w.pt", "--normalize", "0.5/0.25", "--test-split", "balanced", "--name", "linear"]
    assert run("mine:make", *words(here / "b", *more)) == 0
    one, two = (json.loads((folder(here / s) / "cell.json").read_text()) for s in "ab")
    assert one["spec"]["model"] == "mine:make"
    assert one["id"] != two["id"]
    assert {k.partition("/")[0] for k in two["evaluations"]} == {"balanced"}
    assert "pixels" not in two["flags"]


@pytest.mark.parametrize(
    ("factory", "told"), [("make", 10), ("by_epoch", (100, 10)), ("no_classes", 34)], ids=["required", "named", "none"]
)
def test_a_factory_is_told_the_classes_only_where_it_asks(here: Path, factory: str, told: object) -> None:
    assert run(f"mine:{factory}", *words(here / "out", "--attacks", "clean")) == 0
    import mine

    assert [told] == mine.CLASSES


@pytest.mark.parametrize(
    ("factory", "text"),
    [
        ("wants", "'mine:wants' requires folder"),
        ("refuses", "'mine:refuses' failed: TypeError: weights_dir must be a str, not None"),
        ("pair", "the network gave a tuple with 2 tensors of 4 x 10 ([0], [1])"),
        ("sized", "AttributeError: 'Sequential' object has no attribute 'nothing'"),
        ("leaves", "SystemExit: no weights"),
        ("numbers", "the network gave a Tensor of torch.int64; it must give a plain tensor of N x 10 logits"),
        ("sparse", "the network gave a Tensor of torch.float32, sparse; it must give a plain tensor"),
        ("halfway", "has been modified by an inplace operation"),
        ("quits", "'mine:quits' failed: GeneratorExit"),
        ("CLASSES", "'mine:CLASSES' is list, not a function"),
    ],
)
def test_code_of_the_user_that_fails_speaks_for_itself(
    here: Path, capsys: pytest.CaptureFixture[str], factory: str, text: str
) -> None:
    assert run(f"mine:{factory}", *words(here / "out")) == 1
    said = capsys.readouterr().err
    assert text in said
    assert "Traceback" not in said
    assert "Hint" not in said


@pytest.mark.parametrize("source", ["os:system", "json:loads", "builtins:input", "os:_exit", "this:s", "antigravity:x"])
def test_what_is_no_factory_is_one_sentence(here: Path, capsys: pytest.CaptureFixture[str], source: str) -> None:
    (here / "antigravity.py").write_text("raise SystemExit('usage: train.py --lr')")
    assert run(source, *words(here / "out")) == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"bench: '{source}'")
    assert "\n" not in said


@pytest.mark.parametrize(("factory", "at"), [("beside", "['z']"), ("hidden", "['logits']"), ("net", "")])
def test_the_logits_in_an_output_are_taken_and_that_is_said_and_kept(
    here: Path, capsys: pytest.CaptureFixture[str], factory: str, at: str
) -> None:
    for name in ("bare", factory):
        assert run(f"mine:{name}", *words(here / name)) == 0
    said = capsys.readouterr().err
    assert (f"output{at} is taken" in said) == bool(at)
    one, two = (pd.read_csv(folder(here / name) / "per_class.csv") for name in ("bare", factory))
    assert (one["correct"].tolist() == two["correct"].tolist()) == bool(at)  # `net` drew its own weights
    kept = json.loads((folder(here / factory) / "cell.json").read_text())["network"]
    assert kept.get("logits", "") == at
    assert kept["called"].startswith(f"mine:{factory}")


def test_an_attack_that_fails_does_not_end_the_others(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("mine:faulty", *words(here / "out", "--attacks", "clean,fgsm,pgd-20,cw-linf")) == 1
    said = capsys.readouterr().err
    assert "KeyError: 'table'" in said
    cell = json.loads((folder(here / "out") / "cell.json").read_text())
    assert cell["status"] == "failed"
    assert {key.partition("/")[2] for key in cell["evaluations"]} == {"clean", "fgsm", "cw-linf"}
    assert cell["failure"]["stage"] == "long-tailed/pgd-20"


def test_the_entry_that_was_read_is_said_and_kept(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = network().state_dict()
    constants = {"0.mean": torch.tensor([0.5]), "0.std": torch.tensor([0.25])}
    torch.save({"model": constants | {f"1.{k}": v for k, v in state.items()}, "epoch": 3}, here / "seq.pt")
    torch.save(state, here / "net.pt")
    assert run("seq.pt", *words(here / "a", "--name", "net")) == 0
    assert "read 'model.1' of seq.pt." in (said := capsys.readouterr().err)
    assert "normalised by 0.5/0.25" in said
    assert run("net.pt", *words(here / "b", "--normalize", "0.5/0.25")) == 0
    assert folder(here / "a").name == folder(here / "b").name
    assert json.loads((folder(here / "a") / "cell.json").read_text())["network"]["entry"] == "model.1"
    assert run("net.pt", *words(here / "c", "--entry", "ema")) == 2
    assert "--entry 'ema' is not in the file" in capsys.readouterr().err


def test_a_file_at_home_is_found_where_no_shell_expands_its_path(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(network().state_dict(), here / "net.pt")
    (here / "away").mkdir()
    monkeypatch.chdir(here / "away")
    monkeypatch.setenv("HOME", str(here))
    assert run("~/net.pt", *words(here / "out", "--attacks", "clean")) == 0
    assert json.loads((folder(here / "out") / "cell.json").read_text())["network"]["file"] == str(here / "net.pt")


def test_a_published_network_is_attacked_at_the_very_ratio_it_was_trained_at(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimpleNamespace(cell=dataclasses.replace(DATA, ir=10.12345678), classes=["a", "b"])
    monkeypatch.setattr("bench.hub.hub.fetch", lambda text: (made, Path(), text))
    monkeypatch.setattr("bench.hub.bundle.network", lambda *_: nn.Identity())
    _, axes = resolved(Given("hf:a/b", "b"), None, None)
    assert parse_ratio(axes["irs"]) == 10.12345678


def test_a_long_file_name_becomes_a_name_of_its_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"robust{'_lr0.1' * 38}_{i}.pt" for i in range(2)]
    for name in names:
        torch.save(network().state_dict(), here / name)
        assert run(name, *words(here / "out", "--attacks", "clean")) == 0
    assert len([p for p in (here / "out").iterdir() if p.is_dir()]) == 2
    capsys.readouterr()
    assert run("mine:bare", *words(here / "long", "--name", "x" * 300)) == 2
    assert "at most 80" in capsys.readouterr().err


@pytest.mark.parametrize("factory", ["inplace", "half"])
def test_sound_networks_of_unusual_make_are_attacked(here: Path, factory: str) -> None:
    for name in ("bare", factory):
        assert run(f"mine:{name}", *words(here / name)) == 0
    one, two = (
        pd.read_csv(folder(here / name) / "per_class.csv").groupby("attack")["correct"].sum()
        for name in ("bare", factory)
    )
    assert (one - two).abs().max() <= 1


def test_a_view_of_what_a_convolution_answers_is_one_on_grey_images(here: Path) -> None:
    assert run("mine:viewing", *words(here / "out")) == 0


def test_what_a_network_prints_and_where_it_goes_is_no_part_of_the_answer(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("mine:noisy_one", *words(Path("out")), "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["counts"]["done"] == 1
    assert "made\n" in err
    assert "asked\n" in err
    assert folder(here / "out")


@pytest.mark.parametrize("text", ["125/64", "nan/0.5", "0.5/nan", "0.5/inf", "-1/0.5"])
def test_a_normalisation_off_the_scale_is_refused(here: Path, text: str) -> None:
    assert run("mine:bare", *words(here / "out", "--normalize", text)) == 2


def set_scale(here: Path, scale: float) -> None:
    """What a user does who edits the code of a network between two evaluations."""
    import sys

    (here / "mine.py").write_text(FACTORY.replace("SCALE = 1.0", f"SCALE = {scale!r}"))
    sys.modules.pop("mine", None)
    importlib.invalidate_caches()


@pytest.mark.parametrize("more", [[], ["--attacks", "clean,pgd-20"]], ids=["the same attacks", "one attack more"])
def test_a_network_that_differs_only_in_code_never_gets_the_others_counts(
    here: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    assert run("mine:scaled", *words(here / "out")) == 0
    where = folder(here / "out")
    before = {path.name: path.read_bytes() for path in where.iterdir()}
    set_scale(here, -1.0)
    assert run("mine:scaled", *words(here / "out", *more)) == 1
    message = capsys.readouterr().err.strip()
    assert where.name in message
    assert "--name" in message
    assert "--results" in message
    assert {path.name: path.read_bytes() for path in where.iterdir()} == before
    assert run("mine:scaled", *words(here / "out", "--name", "negated", *more)) == 0
    rows = pd.concat(pd.read_csv(path) for path in (here / "out").glob("*/per_class.csv"))
    correct = rows[rows["attack"] == "clean"].groupby("method")["correct"].sum()
    assert correct["scaled"] != correct["negated"]


def test_the_same_network_goes_on_though_sums_round_otherwise_or_it_draws_noise(here: Path) -> None:
    assert run("mine:scaled", *words(here / "out")) == 0
    set_scale(here, 1.0 + 1e-5)  # as far as another processor or number of threads may move the logits
    assert run("mine:scaled", *words(here / "out", "--attacks", "clean,pgd-20")) == 0
    for attacks in ("clean", "clean,fgsm"):
        assert run("mine:noisy", *words(here / "noisy", "--attacks", attacks)) == 0
    for results, n in (("out", 4), ("noisy", 2)):
        cell = json.loads((folder(here / results) / "cell.json").read_text())
        assert len(cell["evaluations"]) == n


def test_a_damaged_folder_is_begun_again(here: Path) -> None:
    assert run("mine:scaled", *words(here / "out")) == 0
    (folder(here / "out") / "cell.json").write_text("{")
    assert run("mine:scaled", *words(here / "out")) == 0
    assert json.loads((folder(here / "out") / "cell.json").read_text())["status"] == "done"


def test_wrapping_normalises_and_reorders() -> None:
    class Echo(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)

    x = torch.linspace(0, 1, 6).view(2, 3, 1, 1)
    wrapped = Wrapped(Echo(), [0.1, 0.2, 0.3], [0.5, 0.25, 0.125], [2, 0, 1])
    want = ((x.flatten(1) - torch.tensor([0.1, 0.2, 0.3])) / torch.tensor([0.5, 0.25, 0.125]))[:, [2, 0, 1]]
    torch.testing.assert_close(wrapped(x), want)


def test_a_pickle_is_refused_with_the_reason(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(network(), here / "whole.pt")
    assert run("whole.pt", *words(here / "out")) == 1
    message = capsys.readouterr().err
    assert "refused" in message
    assert "any code" in message
    assert not any(here.glob("out/*/"))


@pytest.mark.parametrize(
    ("source", "more", "code", "part"),
    [
        ("absent.pt", [], 1, "does not exist"),
        ("text.pt", [], 1, "text.pt is no file of weights but text; give what torch.save"),
        ("cut.pt", [], 1, "damaged or cut short"),
        ("list.pt", [], 1, "no state dict"),
        ("cut.safetensors", [], 1, "safetensors"),
        ("other.pt", [], 1, "missing backbone.0.weight"),
        ("mine:absent", [], 1, "cannot be imported"),
        ("nowhere:make", [], 1, "cannot be imported"),
        ("mine:nothing", [], 1, "not a torch.nn.Module"),
        ("mine:narrow", [], 1, "10"),
        ("mine:nan", [], 1, "NaN"),
        ("mine:other_size", [], 1, "cannot take images of 1 x 8 x 8"),
        ("mine:make", ["--attacks", "nothing"], 2, "unknown attack"),
        ("mine:make", ["--attacks", "fgsm[eps=2]"], 2, "eps"),
        ("mine:make", ["--datasets", "nothing"], 2, "unknown dataset"),
        ("mine:make", ["--name", "trades"], 2, "is a method"),
        ("mine:make", ["--name", "My Net"], 2, "plain word"),
        ("mine:make", ["--normalize", "0.5"], 2, "--normalize '0.5' cannot be read"),
        ("mine:make", ["--normalize", "0.5/0"], 2, "one of each, such as 0.5/0.25."),
        ("mine:make", ["--normalize", "0.5,0.5/1,1"], 2, "--normalize"),
        ("mine:make", ["--test-split", "both"], 2, "test split"),
        ("other.pt", ["--model", "nothing"], 2, "unknown model"),
        ("mine:make", ["--model", "resnet18"], 2, "'mine:make' gives its own network; leave it out"),
        ("", [], 2, "an empty path names nothing"),
    ],
)
def test_bad_input_is_one_sentence_and_stores_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], source: str, more: list[str], code: int, part: str
) -> None:
    (here / "text.pt").write_text("no weights at all")
    torch.save(OrderedDict(a=torch.zeros(300)), here / "cut.pt")
    (here / "cut.pt").write_bytes((here / "cut.pt").read_bytes()[:500])
    (here / "cut.safetensors").write_bytes(b"\x05\x00")
    torch.save([1, 2], here / "list.pt")
    torch.save(OrderedDict(a=torch.zeros(3)), here / "other.pt")
    assert run(source, *words(here / "out", *more)) == code
    message = capsys.readouterr().err.strip()
    assert part in message
    assert "Traceback" not in message
    assert not any(p for p in here.glob("out/*") if p.is_dir())
