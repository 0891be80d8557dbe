"""Calibration through the code that cells run, in small; predictions are compared with reality in docs, not here."""

from __future__ import annotations

import itertools
import json
import subprocess

import pytest
from click.testing import CliRunner

from bench.cli import group
from bench.engine.price import calibrate, measure, rates
from bench.engine.price.rates import Line, Rate, read_calibration
from bench.errors import BenchError, UsageError
from bench.registry import registry

RATE = Rate(Line(1, 0.1), Line(1, 0.1), Line(1, 0.1), Line(1, 0.1), memory_mib=300.0)


@pytest.fixture
def quick(monkeypatch):
    # a clock that does not look at the machine: every interval is a second longer than the one before
    ticks = itertools.accumulate(itertools.count(1.0))
    monkeypatch.setattr(measure, "clock_of", lambda *_: lambda: next(ticks))
    monkeypatch.setattr(measure, "SECONDS", 1e-9)
    monkeypatch.setattr(measure, "PATIENCE", 1000.0)
    monkeypatch.setattr(measure, "WHOLE", 8)
    monkeypatch.setattr(measure, "EVALUATION_BATCH", {"cpu": 16})


def test_a_rate_is_measured_through_cells_training_and_attacks(quick, tmp_path):
    rate = measure.measure("small-cnn", (1, 8, 8), "fp32", "cpu", tmp_path, batch=16)
    assert rate.memory_mib is not None
    assert 50 < rate.base_mib <= rate.memory_mib
    assert rate.weights_mib == pytest.approx((9 * 16 + 9 * 16 * 32 + 9 * 32 * 64 + 2 * 112 + 650) * 4 / 2**20, abs=1e-3)
    for line in (rate.step, rate.attack, rate.forward, rate.gradient):
        assert line.seconds(16, 16) > 0
    assert rate.cell > 0
    assert "fgsm" in rate.slowdown
    assert "aa" not in rate.slowdown
    assert Rate.from_plain(json.loads(json.dumps(rate.to_plain()))) == rate
    assert measure.Plain.name not in registry("methods").names()
    assert measure.Nothing.name not in registry("attacks").names()


def test_a_model_that_cannot_take_the_images_is_an_error(quick, tmp_path):
    with pytest.raises(BenchError, match="small-cnn"):
        measure.measure("small-cnn", (1, 4, 4), "fp32", "cpu", tmp_path, batch=16)


def test_the_process_writes_a_rate_or_its_error(quick, tmp_path, monkeypatch):
    job = {"model": "small-cnn", "image": [1, 4, 4], "precision": "fp32", "device": "cpu"}
    measure.main(json.dumps(job), str(tmp_path / "a.json"))
    assert "small-cnn" in json.loads((tmp_path / "a.json").read_text())["error"]
    monkeypatch.setattr(measure, "measure", lambda **_: RATE)
    measure.main(json.dumps(job), str(tmp_path / "b.json"))
    assert Rate.from_plain(json.loads((tmp_path / "b.json").read_text())) == RATE


def test_models_are_measured_on_the_images_of_their_data_sets():
    assert calibrate.images_of("small-cnn") == [(1, 8, 8)]
    assert (3, 32, 32) in calibrate.images_of("resnet18")
    assert calibrate.images_of("wrn-28-10") == [calibrate.USUAL]


def test_calibrate_keeps_a_rate_for_every_model_shape_and_precision(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CALIBRATION", str(tmp_path / "c.json"))
    monkeypatch.setattr(calibrate, "measured", lambda *_: RATE)
    lines = list(calibrate.calibrate(["small-cnn", "wrn-28-10"], "cpu"))
    assert set(read_calibration("cpu")) == {
        "small-cnn/1x8x8/fp32",
        "small-cnn/1x8x8/bf16",
        "wrn-28-10/3x32x32/fp32",
        "wrn-28-10/3x32x32/bf16",
    }
    assert len(lines) == 5
    assert "attack step" in lines[0]
    assert str(tmp_path) in lines[-1]


def test_an_unknown_model_is_refused_before_anything_is_measured(monkeypatch):
    monkeypatch.setattr(calibrate, "measured", lambda *_: pytest.fail("measured"))
    with pytest.raises(UsageError, match="smal-cnn"):
        list(calibrate.calibrate(["small-cnn", "smal-cnn"], "cpu"))


def test_a_process_that_dies_says_how(monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, "", "a\nKilled: 9\n"))
    with pytest.raises(BenchError, match="Killed: 9"):
        calibrate.measured("small-cnn", (1, 8, 8), "fp32", "cpu")


def test_estimate_prints_what_run_would_do(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CALIBRATION", str(tmp_path / "c.json"))
    words = ["--methods", "at", "--datasets", "digitslt", "--attacks", "clean", "--results", str(tmp_path / "r")]
    unknown = CliRunner().invoke(group, ["estimate", *words])
    assert "time on one process unknown" in unknown.output
    rates.write_calibration("cpu", {"small-cnn/1x8x8/fp32": RATE})
    priced = CliRunner().invoke(group, ["estimate", *words])
    assert priced.exit_code == 0
    assert "memory a process 300 MiB" in priced.output
    assert priced.output == CliRunner().invoke(group, ["run", "--dry-run", *words]).output
    assert not (tmp_path / "r").exists()
