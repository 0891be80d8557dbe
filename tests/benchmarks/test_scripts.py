"""The benchmark scripts run, and the loop they compare with computes what the harness computes. Nothing is timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from bench.engine.gradients.inner import ascend
from bench.engine.nets.network import build_network
from bench.seeding import numpy_stream


@pytest.fixture
def scripts(project, monkeypatch):
    """The folder of the scripts, importable."""
    monkeypatch.syspath_prepend(str(project / "benchmarks"))
    return project / "benchmarks"


def run(script, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, str(script), *words], capture_output=True, text=True, check=False, timeout=300, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_published_attack_and_step_are_the_harness_s_own(scripts):
    from published import EPS, STEP, Published

    rng = numpy_stream(0, "pictures")
    images, labels = rng.integers(0, 256, (6, 8, 8, 1)).astype(np.uint8), np.arange(6) % 4
    nets = [build_network("small-cnn", (1, 8, 8), 4, None, 0).double() for _ in range(2)]
    old = Published(nets[0], images, labels, 6, flip=False, steps=4, lr=0.1)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255
    y = torch.from_numpy(labels)

    class Same:
        def gaussian(self, shape):
            return torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()

    theirs = old.attack(x, y)
    ours = ascend(nets[1], x, lambda z: cross_entropy(z, y, reduction="sum"), noise=Same(), eps=EPS, step=STEP, steps=4)
    assert torch.allclose(theirs, ours, atol=1e-7)
    assert old.model.training


def test_the_published_loop_trains_and_evaluates(scripts):
    from published import Published

    images = np.kron(np.arange(16).reshape(16, 1, 1, 1) % 2 * 255, np.ones((1, 8, 8, 1))).astype(np.uint8)
    labels = np.arange(16) % 2
    net = build_network("small-cnn", (1, 8, 8), 2, None, 0)
    old = Published(net, images, labels, 8, flip=False, steps=2, lr=0.05)
    losses = [old.epoch() for _ in range(10)]
    assert losses[-1] < losses[0]
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    assert old.evaluate(x, torch.from_numpy(labels), steps=2) == 1.0


def test_paired_rounds_alternate_and_ratios_are_round_by_round(scripts):
    from timing import interleaved, ratios, table

    calls: list[str] = []
    seconds = {"a": iter([9.0, 2.0, 4.0, 6.0]), "b": iter([9.0, 1.0, 1.0, 1.0])}

    def variant(name: str):
        def call() -> float:
            calls.append(name)
            return next(seconds[name])

        return call

    times = interleaved({name: variant(name) for name in "ab"}, rounds=3)
    assert "".join(calls) == "baabbaab"
    assert times == {"a": [2.0, 4.0, 6.0], "b": [1.0, 1.0, 1.0]}
    assert ratios(times, "a") == {"a": (1.0, 1.0, 1.0), "b": (2.0, 4.0, 6.0)}
    assert "| b | 1 | 2.00 / **4.00** / 6.00 |" in table(times, "a")


@pytest.mark.slow
def test_training_script(scripts):
    words = ["--model", "small-cnn", "--batch", "8", "--steps", "1", "--rounds", "1", "--threads", "1"]
    text = run(scripts / "training.py", *words)
    assert [line.split("|")[1].strip() for line in text.splitlines()[3:]] == [
        "published fp32",
        "harness fp32",
        "harness bf16",
    ]


@pytest.mark.slow
def test_enhancers_script(scripts):
    words = ["--enhancers", "ema,awp", "--model", "small-cnn", "--batch", "8", "--batches", "1", "--steps", "1"]
    text = run(scripts / "enhancers.py", *words, "--rounds", "1")
    rows = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in text.splitlines() if line.startswith("| at")}
    assert list(rows) == ["at", "at+ema", "at+awp"]
    assert [row[-1].strip() for row in rows.values()] == ["1.000", "1.000", "1.500"]
    own = {name: float(row[2].strip().rstrip("%")) for name, row in rows.items()}
    assert own["at"] == 0 < own["at+ema"] < own["at+awp"]


def test_audited_script_says_what_each_side_costs_and_where_the_full_chain_lies(scripts, tmp_path):
    cell = [
        "run",
        "--methods",
        "at",
        "--datasets",
        "digitslt",
        "--irs",
        "10",
        "--limit",
        "20",
        "--epochs",
        "1",
        "--jobs",
        "0",
    ]
    run(scripts.parent / "bench" / "__main__.py", *cell, "--attacks", "clean", "--results", str(tmp_path), "--yes")
    text = run(scripts / "audited.py", str(tmp_path), "--cells", "at-digits", "--settings", "steps=2,queries=10")
    assert "at-digitslt-ir10-s0" in text
    assert ": inside" in text
    assert "full lean" in text


def test_gpu_script_runs_everything_at_the_smallest_size(scripts, tmp_path):
    run(scripts / "gpu.py", "--device", "cpu", "--tiny", "--precisions", "bf16", "--json", str(tmp_path / "out.json"))
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["pixels"] == "noise"
    assert found["published_epoch_seconds"] > 0
    assert set(found["bf16"]["attack_step"]) == {"eager", "eager, channels last", "folded"}
    assert set(found["bf16"]["taet"]["epoch_seconds"]) == {"natural", "adversarial"}
    assert found["bf16"]["autoattack"]["images"] == 4


@pytest.mark.slow
def test_grid_script_needs_a_calibration_to_predict(scripts, monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_CALIBRATION", str(tmp_path / "none.json"))
    words = ["--predict", "--methods", "at", "--limit", "2", "--epochs", "1", "--attacks", "clean", "--rounds", "1"]
    done = subprocess.run(
        [sys.executable, str(scripts / "grid.py"), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ,
    )
    assert done.returncode == 1
    assert "bench doctor --calibrate" in done.stderr
