"""Cells with enhancers: how they are written, what is refused, the same bytes when switched off or resumed."""

from __future__ import annotations

import pytest
import torch

from bench.config import canonical_json, cell_from_plain, to_plain
from bench.engine import cell
from bench.engine.grid import Axes, expand
from bench.engine.life.settings import Settings
from bench.engine.resume.checkpoint import load_checkpoint
from bench.errors import UsageError
from bench.judge.selected import label
from bench.registry import registry
from bench.store.folders import CellFolder
from bench.store.results import Results
from bench.store.schema import CHECKPOINT
from bench.store.where import canonical
from bench.variants import variant_label

CPU = torch.device("cpu")
ALL = "+".join(["at-bsl[steps=2]", "awp", "balanced-sampler", "ema[warmup=0]", "robustlt", "smoothing", "udr"])


def task(method, epochs=3, **more):
    axes = {"datasets": ("digitslt",), "irs": ("10",), "attacks": ("clean",), "limit": 8, **more}
    return expand(Axes(methods=(method,), epochs=epochs, **axes))[0]


def run(one, root, stop_at=None):
    """Run a cell; its final checkpoint. `stop_at`: end the process, so to speak, after that epoch."""
    events = []

    def watch(event):
        events.append(event)
        if stop_at is not None and event.get("stage") == "train" and event.get("at") == stop_at:
            raise KeyboardInterrupt

    settings = Settings(results=root, device="cpu", checkpoint_seconds=0.0)
    if stop_at is not None:
        with pytest.raises(KeyboardInterrupt):
            cell.run_cell(one, settings, watch)
        return None
    cell.run_cell(one, settings, watch)
    assert events[-1]["event"] == "done", events[-1]
    return load_checkpoint(CellFolder(root, one.spec.id).path / CHECKPOINT, CPU)


def same(a, b):
    return all(torch.equal(value, b["network"][name]) for name, value in a["network"].items())


def test_the_order_of_enhancers_does_not_enter_the_id_and_their_settings_do():
    specs = [task(m).spec for m in ("at+ema+awp", "at+awp+ema", "at+awp+ema[tau=0.9]", "at+awp+ema[tau=0.995]", "at")]
    assert len({spec.id for spec in specs}) == 3
    assert specs[0].id == specs[1].id == specs[3].id
    assert specs[0].id.startswith("at+awp+ema-digitslt-ir10-s0-")
    assert [spec.trained for spec in specs] == ["at+awp+ema", "at+awp+ema", "at+awp+ema[tau=0.9]", "at+awp+ema", "at"]
    assert all(cell_from_plain(to_plain(spec)) == spec for spec in specs)
    assert "enhance" not in canonical_json(specs[-1])
    assert label(task("at[steps=3]+ema+awp").spec) == canonical("at[steps=3]+awp+ema") == "at[steps=3]+awp+ema"


def test_the_official_settings_of_an_enhancer_come_with_the_recipe():
    paper, official = (
        dict(dict(task("at+robustlt", recipes=(r,)).spec.enhancers)["robustlt"]) for r in ("paper", "official")
    )
    assert (paper["mode"], official["mode"]) == ("base", "train-frozen")
    assert task("at+robustlt", recipes=("official",)).spec.enhanced == "+robustlt"


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("at+nosuch", "unknown enhancer 'nosuch'"),
        ("at+ema+ema", "'ema' stands twice"),
        ("at+ema+swa", "'ema' and 'swa' both change the average"),
        ("at+cfol+balanced-sampler", "both change the order"),
        ("at+awp[gamma=-1]", "gamma=-1 is out of range"),
        ("at+awp[nosuch=1]", "awp has no setting 'nosuch'"),
        ("at+", "cannot be read"),
        ("+ema", "cannot be read"),
        ("at++ema", "cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(method, said):
    with pytest.raises(UsageError) as raised:
        task(method)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The checkpoint of a cell without enhancers."""
    return run(task("at-bsl[steps=2]", epochs=2), tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("name", registry("enhancers").names())
def test_a_cell_whose_enhancer_is_switched_off_has_the_bytes_of_its_base(name, base, tmp_path):
    off = variant_label(name, registry("enhancers").get(name).off)
    assert same(base, run(task(f"at-bsl[steps=2]+{off}", epochs=2), tmp_path))


def test_deferred_resampling_begins_in_its_epoch(tmp_path):
    half, whole = (f"class-aware-sampler[begin={begin}]" for begin in (50, 0))  # of 100 published epochs
    runs = [run(task(f"at[steps=1]+{each}", epochs=2), tmp_path) for each in (half, whole)]
    images, longer = ([row["images"] for row in each["curves"]] for each in runs)
    assert images[1] == longer[0] == longer[1] > images[0]


@pytest.mark.parametrize("method", [ALL, "taet[steps=1]+cfol[eta=0.1]+swa[begin=0]"])
def test_a_resumed_cell_has_the_same_bytes(method, tmp_path):
    one = task(method)
    whole = run(one, tmp_path / "whole")
    run(one, tmp_path / "cut", stop_at=2)
    assert same(whole, run(one, tmp_path / "cut"))


@pytest.mark.parametrize("name", registry("enhancers").names())
def test_every_enhancer_runs_through_a_cell_and_shows_in_its_rows(name, tmp_path):
    run(task(f"at[steps=1]+{name}", epochs=2), tmp_path)
    assert set(Results(tmp_path).rows["method"]) == {f"at+{name}"}


def test_averaged_weights_are_what_is_kept(tmp_path):
    plain, averaged = (run(task(m), tmp_path) for m in ("at[steps=1]", "at[steps=1]+ema[warmup=0]"))
    assert not same(plain, averaged)
    average = averaged["enhancers"]["ema"]["average"]
    assert all(torch.equal(averaged["network"][name], value) for name, value in average.items())
