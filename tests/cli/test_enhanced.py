"""Enhancers, validation, second stages and given weights as a user calls them: one sentence for what cannot be."""

import pytest
import torch

from bench.cli import main
from bench.engine.grid import Axes, expand
from bench.engine.nets.network import build_network
from bench.plugins import make_method
from bench.store.folders import read_cell

SMALL = ["--datasets", "digitslt", "--irs", "10", "--epochs", "1", "--limit", "6", "--attacks", "clean", "--jobs", "0"]


def call(*words):
    with pytest.raises(SystemExit) as ended:
        main(["run", *map(str, words)])
    return ended.value.code


def sentence(capsys):
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("bench: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("at+nosuch", "unknown enhancer 'nosuch'."),
        ("at+awpp", "Did you mean 'awp'?"),
        ("at+robustlt[alpha=2]", "alpha=2 is out of range; it must be <= 1."),
        ("at+smoothing[s=x]", "s='x' is not a number."),
        ("at+ema+ema[tau=0.9]", "enhancer 'ema' stands twice; give it once, with all its settings."),
        ("at+ema+swa", "'ema' and 'swa' both change the average; leave one of them out."),
        ("at+robustlt+cfa-radius", "'cfa-radius' and 'robustlt' both change the radius; leave one of them out."),
        ("at[select=best[pgd-20]]", "set validation too, for instance validation=0.1."),
        ("at[select=first]", "select=first is neither last nor best[ATTACK]"),
        ("at[validation=0.9]", "validation=0.9 is out of range; it must be <= 0.5."),
        ("crt+class-aware-sampler", "'crt' and 'class-aware-sampler' both change the order; leave one of them out."),
    ],
)
def test_what_cannot_be_is_one_sentence(method, said, tmp_path, capsys):
    assert call("--methods", method, *SMALL, "--results", tmp_path / "r") == 2
    assert said in sentence(capsys)
    assert not (tmp_path / "r").exists()


def test_a_share_that_empties_a_class_says_which_and_how_many_it_needs(tmp_path, capsys):
    words = ["--methods", "at[validation=0.2]", *SMALL, "--irs", "50", "--limit", "20", "--results", tmp_path]
    assert call(*words) == 1
    said = sentence(capsys)
    assert "leaves class " in said
    assert "it has 1 and 1 would be held out; it needs at least 2" in said


# --------------------------------------------------------------------------------------------------- given weights


@pytest.fixture
def weights(tmp_path):
    """(a file of weights of the cell's own network, the network)."""
    spec = expand(Axes(("at",), ("digitslt",)))[0].spec
    network = build_network(spec.model, (1, 8, 8), 10, make_method(spec).build_head, 5)
    torch.save(network.state_dict(), tmp_path / "given.pt")
    return tmp_path / "given.pt", network


def test_given_weights_are_another_cell_by_their_content(weights, tmp_path, capsys, monkeypatch):
    path, network = weights
    words = ["--methods", "at[steps=1,lr=1e-8]", *SMALL, "--results", tmp_path / "r"]
    assert call(*words) == 0
    assert call(*words, "--init", path) == 0
    (mark,) = [file.stem for file in (tmp_path / "r" / "given").iterdir()]
    cells = {read_cell(f)["spec"].get("init", ""): f.name for f in (tmp_path / "r").glob("at-*")}
    assert set(cells) == {"", mark}
    heads = {m: (tmp_path / "r" / cell / "per_class.csv").read_text().splitlines()[0] for m, cell in cells.items()}
    assert heads[mark] == heads[""] + ",init"
    state = torch.load(tmp_path / "r" / cells[mark] / "checkpoint.pt", weights_only=True)["network"]
    assert all(torch.allclose(p, state[name], atol=1e-5) for name, p in network.named_parameters())
    capsys.readouterr()
    path.rename(tmp_path / "elsewhere.pt")  # the store keeps what it needs; the content has the name, not the file
    assert call(*words, "--init", mark) == 0
    assert call(*words, "--init", tmp_path / "elsewhere.pt") == 0
    monkeypatch.setenv("HOME", str(tmp_path))
    assert call(*words, "--init", "~/elsewhere.pt") == 0
    assert capsys.readouterr().out.count("all 1 cells are done") == 3


def test_weights_of_another_network_are_refused_in_one_sentence(weights, tmp_path, capsys):
    words = ["--methods", "at", *SMALL, "--models", "resnet10-slim", "--results", tmp_path / "r", "--init", weights[0]]
    assert call(*words) == 1
    assert "these weights do not fit 'resnet10-slim' for the classes of 'digitslt': missing" in sentence(capsys)


def test_weights_of_other_classes_are_refused_and_a_bare_backbone_is_taken(weights, tmp_path, capsys):
    _, network = weights
    for name, head in (("other", torch.zeros(4, 64)), ("bare", None)):
        state = {k: v for k, v in network.state_dict().items() if not k.startswith("head.")}
        torch.save(state if head is None else state | {"head.weight": head}, tmp_path / f"{name}.pt")
    words = ["--methods", "at[steps=1]", *SMALL, "--results", tmp_path / "r", "--init"]
    assert call(*words, tmp_path / "other.pt") == 1
    assert "of another shape head.weight (4, 64) for (10, 64)" in sentence(capsys)
    assert call(*words, tmp_path / "bare.pt") == 0


@pytest.mark.parametrize(("content", "said"), [(None, "does not exist"), (b"no weights", "is no file of weights")])
def test_what_is_no_file_of_weights_is_one_sentence(content, said, tmp_path, capsys):
    path = tmp_path / "x.pt"
    if content is not None:
        path.write_bytes(content)
    assert call("--methods", "at", *SMALL, "--results", tmp_path / "r", "--init", path) == 1
    assert said in sentence(capsys)


def test_a_second_stage_brings_its_base_into_the_run(tmp_path, capsys):
    assert call("--methods", "crt[steps=1]", *SMALL, "--results", tmp_path) == 0
    assert "2 cells done" in capsys.readouterr().out
    assert sorted(f.name.partition("-")[0] for f in tmp_path.glob("*-digitslt-*")) == ["crt", "plain"]
