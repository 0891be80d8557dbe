"""An audit as a user meets it: planned, run, stored without counts, shown, and completed by `aa`."""

import contextlib
import io
import json

import numpy as np
import pandas as pd
import pytest

from bench.cli import main
from bench.store import query

WORDS = ["--methods", "ce", "--irs", "10", "--epochs", "2", "--seeds", "0", "--test-split", "balanced", "--jobs", "0"]
AUDIT, FULL = "aa-audited[eps=0.0005,queries=5,steps=2,widening=1.9]", "aa[eps=0.0005,queries=5,steps=2]"


def bench(*words):
    with contextlib.redirect_stdout(io.StringIO()) as said, pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == 0, said.getvalue()
    return said.getvalue()


def run(root, *attacks, more=()):
    return bench("run", *WORDS, "--attacks", ",".join(["clean", *attacks]), "--results", root, *more)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("audited")
    run(root, AUDIT)
    return root


def cell(root):
    (folder,) = (path for path in root.iterdir() if (path / "cell.json").exists())
    return folder, json.loads((folder / "cell.json").read_text())


def test_the_plan_is_printed_before_anything_runs(tmp_path):
    said = run(tmp_path, AUDIT, more=["--dry-run"])
    assert "plan of ce-digitslt" in said
    assert "weighted draws at first" in said
    # one plan for all cells with the same test images, whatever was trained
    many = run(tmp_path, AUDIT, more=["--dry-run", "--seeds", "0,1,2"])
    assert many.count("weighted draws at first") == 1
    assert "and of 2 more, at typical rates" in many


def test_an_audit_is_kept_without_counts_and_shown_in_words(store):
    folder, info = cell(store)
    audit = info["evaluations"][f"balanced/{AUDIT}"]["audit"]
    assert not audit["whole"]
    assert audit["audit"][0] <= audit["balanced"] <= audit["audit"][1]
    rows = pd.read_csv(folder / "per_class.csv")
    assert set(rows.attack) == {"clean"}  # no counts, no worst case
    shown = bench("show", folder.name, "--results", store)
    assert f"audit of {FULL}: balanced" in shown
    assert "everything fits" in bench("verify", "--results", store)


def test_aa_goes_on_from_it_and_equals_aa_alone(store, tmp_path):
    run(store, AUDIT, FULL)
    run(tmp_path, FULL)
    (mine, info), (alone, _) = cell(store), cell(tmp_path)
    key = f"balanced/{FULL}"
    assert (query.samples(mine)[key] == query.samples(alone)[key]).all()
    rows = [pd.read_csv(folder / "per_class.csv") for folder in (mine, alone)]
    assert rows[0].equals(rows[1])
    assert "everything fits" in bench("verify", "--results", store)
    full = info["evaluations"][f"balanced/{AUDIT}"]["audit"]
    value = rows[1][rows[1].attack == FULL].eval("correct / n").mean()
    assert full["audit"][0] <= value <= full["audit"][1]
    assert np.isin(query.samples(mine)[f"balanced/{AUDIT}#reached"], range(10)).all()
    passes = {name: stage["forward"] for name, stage in info["stages"].items()}
    assert passes[key] > 0
