"""Networks that are too large for a device are said before a run begins, with a smaller one that fits."""

from __future__ import annotations

import pytest

from bench.cli import main
from bench.engine.grid import Axes, expand
from bench.engine.plan import plan
from bench.engine.price import large
from bench.engine.price.cost import learn


@pytest.fixture
def works(tmp_path):
    tasks = expand(
        Axes(
            methods=("at", "ce"),
            datasets=("cifar10lt",),
            irs=("10",),
            models=("resnet18", "small-cnn"),
            attacks=("clean",),
        )
    )
    return plan(tasks, tmp_path, None)


def test_it_is_reckoned_from_the_arithmetic_where_no_rate_is_known(works, tmp_path, monkeypatch):
    monkeypatch.setattr(large, "speed", lambda device: 1e11)
    (one,) = large.too_large(works, tmp_path, None, "cpu")
    assert (one.model, one.cells, one.reckoned) == ("resnet18", 2, True)
    # adversarial training: 100 epochs of 20431 images, 11 forward and 11 backward passes of 1.1108 GFLOP each
    assert one.seconds == pytest.approx(100 * 20431 * (11 + 2 * 11) * 1.1108e9 / 1e11, rel=0.01)
    monkeypatch.setattr(large, "speed", lambda device: 1e15)
    assert large.too_large(works, tmp_path, None, "cuda") == []


def test_a_known_rate_counts_more(works, tmp_path, monkeypatch):
    monkeypatch.setattr(large, "speed", lambda device: 1e15)
    known = learn(tmp_path, None, "cpu")
    monkeypatch.setattr(large, "learn", lambda *_: known)
    monkeypatch.setattr(large, "cell_cost", lambda *_: large_cost(7 * 3600.0))
    found = large.too_large(works, tmp_path, None, "cpu")
    assert {(one.model, one.reckoned, one.seconds) for one in found} == {
        ("resnet18", False, 7 * 3600.0),
        ("small-cnn", False, 7 * 3600.0),
    }


def large_cost(seconds):
    from bench.engine.price.cost import Cost

    return Cost(1.0, 1.0, seconds)


def test_the_smaller_one_has_at_most_an_eighth_of_the_work():
    assert large.smaller("resnet18") == "resnet18-thin"
    assert large.smaller("vit-b-16").startswith("vit")
    assert large.smaller("small-cnn") == ""
    assert large.smaller("nobody") == ""


def test_the_speed_of_this_device_is_measured_once():
    assert large.speed("cpu") == large.speed("cpu") > 1e8


def test_a_dry_run_says_what_is_here_and_what_is_too_large(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(large, "speed", lambda device: 1e11)
    with pytest.raises(SystemExit) as ended:
        main(["run", "--methods", "at", "--datasets", "digitslt,cifar10lt", "--irs", "10", "--dry-run", "--device",
              "cpu", "--data-root", str(tmp_path / "my data"), "--results", str(tmp_path / "r")])  # fmt: skip
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "data sets here: digitslt." in said
    assert f"`bench fetch cifar10lt --data-root '{tmp_path / 'my data'}'` fetches it" in said
    assert "resnet18 is too large for this device: a cell takes about " in said
    assert (
        "reckoned from its arithmetic at the speed of a matrix product here; a smaller one is --models resnet18-thin."
        in said
    )
    with pytest.raises(SystemExit):
        main(["doctor", "--data-root", str(tmp_path)])
    assert "data sets: here: digitslt; not here: cifar100lt, cifar10lt, dermamnist;" in capsys.readouterr().out
