"""`import bench` in a notebook: five functions, the command line's numbers, sentences and progress."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

import bench
from bench.errors import ModelError, StoreError, UsageError
from bench.judge import reference
from bench.store.results import Results

SMALL = {"epochs": 1, "limit": 6, "jobs": 0, "device": "cpu"}
GOLDEN = Path(__file__).resolve().parents[1] / "results" / "golden"


def test_importing_it_costs_nothing():
    code = (
        "import sys, bench\nassert sorted(bench.__all__) == [n for n in dir(bench) if n in bench.__all__]\n"
        "heavy = {'torch', 'pandas', 'numpy', 'click', 'scipy'} & {n.partition('.')[0] for n in sys.modules}\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_run_gives_the_numbers_of_its_cells(tmp_path, capsys):
    frame = bench.run(["ce", "at"], "digitslt", attacks=["clean", "fgsm"], results=tmp_path, **SMALL)
    said = capsys.readouterr()
    assert said.out == ""
    assert "[2/2] at-digitslt-ir10-s0" in said.err
    assert list(frame["method"].unique()) == ["at", "ce"]
    rows = Results(tmp_path).rows
    for line in frame.to_dict("records"):
        some = rows[(rows["cell"] == line["cell"]) & (rows["attack"] == line["attack"])]
        assert line["balanced"] == pytest.approx(float((some["correct"] / some["n"]).mean()))
    again = bench.run(["ce"], "digitslt", attacks="clean", results=tmp_path, quiet=True, **SMALL)
    assert capsys.readouterr() == ("", "")
    assert list(again["method"].unique()) == ["ce"]
    assert len(bench.results(tmp_path)) == len(frame)


def test_a_ratio_is_taken_to_its_last_digit(tmp_path):
    frame = bench.run("ce", "digitslt", irs=[3.12345678, 4.0], attacks="clean", results=tmp_path, quiet=True, **SMALL)
    assert sorted(frame["ir"]) == [3.12345678, 4]


def test_it_leaves_the_process_as_it_was(tmp_path):
    def mine(*_):
        pass

    before, threads = signal.signal(signal.SIGTERM, mine), torch.get_num_threads()
    try:
        bench.run("ce", "digitslt", attacks="clean", results=tmp_path, **SMALL)
        assert signal.getsignal(signal.SIGTERM) is mine
        assert torch.get_num_threads() == threads
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_network_at_hand_is_attacked_and_not_changed(tmp_path):
    with torch.random.fork_rng():
        net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))
        narrow = nn.Sequential(nn.Flatten(), nn.Linear(64, 9))
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    frame = bench.evaluate(
        net,
        "digitslt",
        name="mine",
        attacks=["clean", "fgsm"],
        results=tmp_path,
        normalize=([0.5], [0.25]),
        device="cpu",
    )
    assert set(frame["method"]) == {"mine"}
    assert set(frame["attack"]) == {"clean", "fgsm", "worst"}
    assert net.training
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())
    again = bench.evaluate(
        net,
        "digitslt",
        name="mine",
        attacks=["clean", "fgsm"],
        results=tmp_path,
        quiet=True,
        normalize="0.5/0.25",
        device="cpu",
    )
    pd.testing.assert_frame_equal(frame, again)  # the same network: nothing was computed again
    with pytest.raises(ModelError, match="it must be 4 x 10 logits"):
        bench.evaluate(narrow, "digitslt", results=tmp_path)


def test_what_is_wrong_is_the_sentence_of_the_command_line(tmp_path):
    with pytest.raises(UsageError, match="Did you mean 'taet'"):
        bench.run("teat", "digitslt", results=tmp_path)
    with pytest.raises(UsageError, match=r"bench.run has no argument 'method'. Did you mean 'methods'"):
        bench.run("ce", "digitslt", method="at", results=tmp_path)
    with pytest.raises(StoreError):
        bench.results(tmp_path / "nowhere")
    with pytest.raises(bench.BenchError, match=r"1 of 2 cells failed; the first is ce\S+ in train"):
        bench.run(["ce[lr=1e30]", "at"], "digitslt", attacks="clean", results=tmp_path, **SMALL | {"epochs": 3})
    assert set(bench.results(tmp_path)["method"]) == {"at"}
    with pytest.raises(AttributeError):
        _ = bench.nothing


def test_compare_and_report(tmp_path):
    frame = bench.compare("at", "trades", results=GOLDEN, attack="aa", dataset="digitslt")
    assert set(frame["attack"]) == {"aa"}
    assert frame["difference"].between(-100, 100).all()
    page = bench.report(GOLDEN, output=tmp_path, format=["markdown", "csv"], figures="none", tables=[1, "overview"])
    assert page == tmp_path / "report.md"
    assert (tmp_path / "tables.csv").stat().st_size


def test_results_has_the_columns_that_it_names():
    text = bench.results.__doc__.split("Columns: ")[1].split("Raises")[0]
    named = re.findall("`([a-z0-9_-]+)`", text)
    assert {"tail-80", "worst-class", "worst_class"} <= set(named)
    assert set(named) <= set(bench.results(GOLDEN).columns)


def test_results_stays_a_function_when_the_stored_ones_are_read():
    assert (reference.shipped("golden")).is_dir()
    assert not reference.paper_tables().empty
    assert callable(bench.results)
    assert not hasattr(sys.modules.get("bench.results"), "__file__")
    shipped = reference.shipped("golden")  # the checkout's own, or the wheel's copy of it
    assert sorted(p.name for p in shipped.iterdir()) == sorted(p.name for p in GOLDEN.iterdir())
