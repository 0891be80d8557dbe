"""`bench tune`: trials are cells, the test split stays unseen, what was stopped goes on, reports say how often."""

import dataclasses
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from bench.cli import main
from bench.config import Recipe
from bench.engine.cell import CellRun
from bench.engine.grid import Axes
from bench.engine.life.settings import Settings
from bench.engine.life.trained import _judge
from bench.engine.plan import missing
from bench.errors import BenchError, StoppedError, UsageError
from bench.reports.source import Source
from bench.reports.tuned import tuned
from bench.store.folders import read_cell
from bench.store.parts import tunings
from bench.store.parts.tunings import Trial
from bench.store.results import Results
from bench.store.state import look
from bench.tune.adviser import SAFE_TRIALS, advise
from bench.tune.search import Search
from bench.tune.space import Dimension

SMALL = ["--dataset", "digitslt", "--epochs", "3", "--limit", "30", "--validation", "0.3", "--objective", "clean"]
AXES = Axes(("plain",), ("digitslt",), ("10",), epochs=3, limit=30)


def call(*words):
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words)])
    return ended.value.code


def tune(*words):
    return call("tune", "plain", "--over", "lr,weight_decay", *SMALL, *words)


def search(over="lr,weight_decay", method="plain", **more):
    axes = more.pop("axes", AXES)
    return Search(method, axes, **{"validation": 0.3, "objective": "clean", "over": over} | more)


def told(tuning):
    return [(t.label, t.state, t.value, t.curve) for t in tuning.trials]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tuning of four trials in one go: its folder, and what is known of it."""
    root = tmp_path_factory.mktemp("whole")
    return root, search().go(4, Settings(results=root), lambda _: None, lambda *_: None)


# --------------------------------------------------------------------------------------------------- a whole tuning


def test_a_tuning_says_what_was_best_and_the_command_makes_the_row(tmp_path, capsys):
    assert tune("--trials", 2, "--json", "--results", tmp_path) == 0
    made = json.loads(capsys.readouterr().out)
    first, second = made["trials"]
    assert first["settings"] == {"lr": 0.1, "weight_decay": 0.0005}, "the first trial has the default settings"
    assert second["settings"] != first["settings"]
    assert (
        made["best"]["value"] == max(first["value"], second["value"]) == max(max(t["curve"]) for t in (first, second))
    )
    assert call(*made["next"].split()[1:], "--attacks", "clean", "--jobs", 0, "--results", tmp_path) == 0
    assert call("run", "--methods", "plain[lr=0.05]", "--datasets", "digitslt", "--epochs", 3, "--limit", 30,
                "--attacks", "clean", "--jobs", 0, "--results", tmp_path) == 0  # fmt: skip
    assert call("verify", "--results", tmp_path) == 0
    assert call("report", "--results", tmp_path, "--output", tmp_path / "out", "--format", "markdown",
                "--tables", "overview", "--figures", "none") == 0  # fmt: skip
    page = (tmp_path / "out" / "report.md").read_text()
    assert "best of 2 trials on validation 0.3 of seed 0, clean, epochs=3 of 100, limit=30" in page
    assert "plain\\[lr=0.05\\]: not tuned" in page


def test_trials_are_ordinary_cells_without_an_evaluation(whole):
    root, tuning = whole
    for trial in tuning.trials:
        cell = read_cell(root / trial.cell)
        assert cell["status"] == "done"
        assert cell["evaluations"] == {}
        assert cell["spec"]["recipe"]["validation"] == 0.3
    found = search().task(tuning.trials[1].settings)
    assert found.spec.id == tuning.trials[1].cell
    assert Results(root).problems == []


def test_the_test_split_is_never_attacked(monkeypatch, tmp_path):
    splits, suite = [], CellRun.suite

    def watched(self, data, network, split, *more, **named):
        splits.append(split)
        return suite(self, data, network, split, *more, **named)

    monkeypatch.setattr(CellRun, "suite", watched)
    search().go(1, Settings(results=tmp_path), lambda _: None, lambda *_: None)
    assert set(splits) == {"validation"}


def test_other_test_images_change_nothing_of_a_tuning(tmp_path):
    draws = np.random.Generator(np.random.PCG64(0))
    images, labels = draws.integers(0, 255, (60, 8, 8, 1), np.uint8), np.arange(60) % 3
    outcomes = []
    for name, other in (("a", 0), ("b", 1)):
        test = draws.integers(0, 255, (30, 8, 8, 1), np.uint8)
        np.savez(
            tmp_path / f"{name}.npz",
            train_images=images,
            train_labels=labels,
            test_images=test,
            test_labels=(np.arange(30) + other) % 3,
        )
        axes = Axes(("plain",), (f"archive:{tmp_path / name}.npz",), ("2",), epochs=2)
        made = search(axes=axes).go(3, Settings(results=tmp_path / name), lambda _: None, lambda *_: None)
        outcomes.append((told(made), {read_cell(tmp_path / name / t.cell)["weights"] for t in made.trials}))
    assert outcomes[0] == outcomes[1]


# --------------------------------------------------------------------------------------------------- going on


def test_a_tuning_that_was_continued_is_the_one_in_one_go(whole, tmp_path):
    for trials in (1, 4):
        tuning = search().go(trials, Settings(results=tmp_path), lambda _: None, lambda *_: None)
    assert told(tuning) == told(whole[1])
    news = []
    search().go(4, Settings(results=tmp_path), news.append, lambda *_: news.append(1))
    assert news == [], "what is known is not done again"


def test_a_trial_that_was_stopped_goes_on_at_its_epoch(whole, tmp_path):
    def stop(event):
        if event.get("row", {}).get("epoch") == 1:
            raise StoppedError(15)

    with pytest.raises(BenchError, match="stopped by SIGTERM"):
        search().go(4, Settings(results=tmp_path), stop, lambda *_: None)
    epochs = []
    tuning = search().go(
        4, Settings(results=tmp_path), lambda e: epochs.append(e.get("row", {}).get("epoch")), lambda *_: None
    )
    assert [epoch for epoch in epochs if epoch is not None][:2] == [2, 0], "only the last epoch was left of the first"
    assert told(tuning) == told(whole[1])


def test_the_cell_is_the_truth_of_a_finished_trial(whole, tmp_path):
    known = Trial(whole[1].trials[0].cell, "plain", {"lr": 0.1, "weight_decay": 0.0005}, "done", 0.99, [0.9, 0.99, 0.9])
    tunings.keep(tmp_path, tunings.Tuning(search().study, [known]))
    made = search().go(1, Settings(results=tmp_path), lambda _: None, lambda *_: None)
    assert made.trials == [known], "a cell that was taken away is believed"
    tunings.keep(whole[0], tunings.Tuning(search().study, [known, *whole[1].trials[1:]]))
    made = search().go(4, Settings(results=whole[0]), lambda _: None, lambda *_: None)
    assert told(made) == told(whole[1])


# --------------------------------------------------------------------------------------------------- giving up


ROOM = (Dimension("lr", 0.1, 0.01, 0.3, log=True),)
GOOD = [
    Trial(f"x{i}", f"x[lr={lr}]", {"lr": lr}, "done", 0.9, [0.8, 0.85, 0.9, 0.9, 0.9, 0.9])
    for i, lr in enumerate((0.1, 0.02, 0.05, 0.2))
]


def test_a_trial_below_the_median_is_hopeless_but_not_early_and_not_without_pruning():
    assert len(GOOD) == SAFE_TRIALS
    advice = advise(ROOM, GOOD, 0, epochs=6)
    assert [advice.hopeless(epoch, 0.2) for epoch in range(4)] == [False, False, True, True]
    assert not any(advise(ROOM, GOOD[:3], 0, 6).hopeless(epoch, 0.2) for epoch in range(6)), "too few trials to judge"
    assert not any(advise(ROOM, GOOD, 0, 6, prune=False).hopeless(epoch, 0.2) for epoch in range(6))
    assert not any(advise(ROOM, GOOD, 0, 6).hopeless(epoch, 0.95) for epoch in range(6))


def test_what_comes_next_follows_from_what_is_known():
    first, again = (advise(ROOM, GOOD, 0, 6).settings for _ in range(2))
    assert first == again
    assert first != advise(ROOM, GOOD, 1, 6).settings
    assert 0.01 <= first["lr"] <= 0.3
    assert first["lr"] == float(f"{first['lr']:.3g}")


def test_a_hopeless_trial_is_given_up_and_its_cell_could_go_on(tmp_path, capsys):
    made = search()
    good = [
        Trial(
            f"gone-{i}",
            f"plain[lr={t.settings['lr']}]",
            t.settings | {"weight_decay": 0.0005},
            "done",
            1.0,
            [1.0, 1.0, 1.0],
        )
        for i, t in enumerate(GOOD)
    ]
    tunings.keep(tmp_path, tunings.Tuning(made.study, good))
    assert tune("--trials", 5, "--results", tmp_path) == 0
    seen = capsys.readouterr()
    assert "given up after 2 epochs" in seen.err
    assert "best of 5 trials (1 given up, 0 failed)" in seen.out
    trial = tunings.load(tmp_path, made.study).trials[-1]
    assert (trial.state, trial.value, len(trial.curve)) == ("pruned", None, 2)
    assert "train" in missing(made.task(trial.settings), look(tmp_path / trial.cell))
    assert (tmp_path / trial.cell / "checkpoint.pt").exists()
    assert tune("--trials", 5, "--results", tmp_path) == 0
    assert tunings.load(tmp_path, made.study).trials[-1] == trial, "it stays given up"


def test_settings_that_break_a_training_are_failed_trials(tmp_path, capsys):
    words = ["--over", "lr=1e30:1e31", *SMALL, "--trials", 2, "--results", tmp_path]
    assert call("tune", "plain", *words) == 1
    seen = capsys.readouterr().err
    assert "none of 2 trials was finished" in seen
    assert "failed: the network gave logits that are NaN or infinite" in seen


# --------------------------------------------------------------------------------------------------- where it looks


@pytest.mark.parametrize(
    ("method", "over", "rooms"),
    [
        ("trades", None, ["beta=1:12:log"]),
        ("taet[alpha=0.3]", None, ["beta=0.01:1:log", "gamma=0.01:1:log", "ce_epochs=20:60"]),
        ("at-bsl", None, ["lr=0.01:0.3:log", "weight_decay=5e-05:0.005:log"]),
        ("at-bsl[lr=0.2]", None, ["weight_decay=5e-05:0.005:log"]),
        ("at-bsl+ema", None, ["ema.tau=0.98:0.9999"]),
        ("trades", "beta", ["beta=1:12:log"]),
        ("at-bsl+ema", "ema.tau=0.9:0.999,lr", ["ema.tau=0.9:0.999", "lr=0.01:0.3:log"]),
        ("gairat", "func,begin=40:70", ["func=tanh|sigmoid|discrete", "begin=40:70"]),
        ("trades", "augment=crop|crop-flip", ["augment=crop|crop-flip"]),
        ("plain", "batch_size=32|64,lr=0.1|0.2", ["batch_size=32|64", "lr=0.1|0.2"]),
        ("plain", "batch_size=32:64,lr=0.1|0.2|0.3", ["batch_size=32:64", "lr=0.1|0.2|0.3"]),
        ("plain", "resize=none|32, nesterov=true|false", ["resize=none|32", "nesterov=true|false"]),
        ("plain", "lr=0.12345678:0.3,step=2/255|2/255", ["lr=0.12345678:0.3", "step=2/255"]),
    ],
)
def test_the_room_is_declared_derived_or_given(method, over, rooms):
    assert search(over, method).study.space == rooms


def test_what_is_searched_is_read_back_as_the_same_room():
    over = "batch_size=32|64,lr=0.12345678:0.3:log,resize=none|32,step=1/255:8/255"
    made = search(over)
    assert search(",".join(made.study.space)).space == made.space
    sizes, rates, sides, steps = made.space
    assert (sizes.choices, sides.choices, rates.choices) == ((32, 64), (None, 32), ())
    assert (rates.low, rates.high, steps.high) == (0.12345678, 0.3, 8 / 255)


def test_values_that_are_listed_are_all_that_is_tried(tmp_path):
    made = search("batch_size=16|64,lr=0.1|0.2", axes=dataclasses.replace(AXES, epochs=1))
    found = made.go(5, Settings(results=tmp_path), lambda _: None, lambda *_: None)
    assert {t.settings["batch_size"] for t in found.trials} == {16, 64}
    assert {t.settings["lr"] for t in found.trials} <= {0.1, 0.2}
    assert tunings.load(tmp_path, made.study) == found


def test_settings_of_enhancers_reach_them():
    made = search("ema.tau=0.9:0.999,lr", "at-bsl+ema")
    assert made.label({"ema.tau": 0.95, "lr": 0.21}) == "at-bsl[lr=0.21]+ema[tau=0.95]"


@pytest.mark.parametrize(
    ("method", "more", "said"),
    [
        ("trades", {"over": "betta"}, "has no setting 'betta' to search. Did you mean 'beta'?"),
        ("trades[beta=2]", {"over": "beta"}, "'beta' is fixed in trades and searched by --over"),
        ("trades", {"over": "beta=5:1"}, "the room of 'beta' cannot be read"),
        ("trades", {"over": "beta=0:1:log"}, "for log above 0"),
        ("trades", {"over": "beta=-1:1"}, "beta=-1 is out of range"),
        ("trades", {"over": "beta=1:2:3"}, "or single values as A|B|C"),
        ("trades", {"over": "beta=log:1:2"}, "the room of 'beta' cannot be read"),
        ("trades", {"over": "beta=log"}, "the room of 'beta' cannot be read"),
        ("trades", {"over": "beta=1:x"}, "beta='x' is not a number"),
        ("trades", {"over": "beta=1|"}, "beta='' is not a number"),
        ("trades", {"over": "beta=1:2|3:4"}, "beta=(1, 2) is not a number"),
        ("trades", {"over": "resize=none:32"}, "the room of 'resize' cannot be read"),
        ("trades", {"over": "resize=none:32:log"}, "the room of 'resize' cannot be read"),
        ("trades", {"over": "milestones=50:75"}, "'milestones' is a list, and only single values are searched"),
        ("trades", {"over": "milestones=50:75|60:90"}, "'milestones' is a list"),
        ("trades", {"over": "factors"}, "'factors' is a list"),
        ("gairat", {"over": "func=tanh:sigmoid"}, "func='tanh:sigmoid' is not one of"),
        ("trades", {"over": "nesterov"}, "'nesterov' has no room of its own"),
        ("trades", {"over": "lr,lr"}, "names 'lr' twice"),
        ("at-bsl[lr=0.1,weight_decay=0]", {"over": None}, "has no setting left to search"),
        ("trades[validation=0.2]", {}, "'validation' belongs to the tuning; write --validation instead"),
        ("trades[epochs=5]", {}, "write --epochs instead"),
        ("trades", {"objective": "pgd-2"}, "unknown attack 'pgd-2'"),
        ("trades", {"validation": 0.7}, "validation=0.7 is out of range"),
        ("crt", {"over": "lr"}, "trained on all images, so nothing would be held out of it"),
        ("none-such", {}, "unknown method 'none-such'"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(method, more, said):
    with pytest.raises(UsageError) as caught:
        search(**{"over": None, "method": method} | more)
    assert said in str(caught.value)


def test_without_optuna_one_sentence_says_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert tune("--results", tmp_path / "r") == 2
    assert capsys.readouterr().err == ("bench: optuna is not installed; pip install 'robust-longtail-bench[tune]'.\n")
    assert not (tmp_path / "r").exists()


# --------------------------------------------------------------------------------------------------- what is said


def test_rows_say_whether_they_are_the_best_of_their_tuning(whole, tmp_path):
    root, tuning = whole
    worst = min((t for t in tuning.trials if t.label != tuning.best.label), key=lambda t: t.value)
    methods = ",".join((tuning.best.label, worst.label, "plain[lr=0.07]"))
    assert call("run", "--methods", methods, "--datasets", "digitslt", "--epochs", 2, "--limit", 30, "--attacks",
                "clean", "--jobs", 0, "--quiet", "--results", root) == 0  # fmt: skip
    source = Source(root)
    lines = tuned(source, source.cells).split("; ")
    assert next(line for line in lines if line.startswith(f"{tuning.best.label}:")).startswith(
        f"{tuning.best.label}: best of 4 trials"
    )
    assert ", not the best" in next(line for line in lines if line.startswith(f"{worst.label}:"))
    assert "plain[lr=0.07]: not tuned" in lines
    assert call("publish", tmp_path / "out", "--results", root) == 0
    assert Source(tmp_path / "out").tunings == source.tunings


def test_a_file_that_cannot_be_understood_is_named(whole, tmp_path):
    path = tunings.path_of(tmp_path, whole[1].study)
    path.parent.mkdir()
    path.write_text("{}")
    with pytest.raises(BenchError, match="cannot be understood"):
        search().go(1, Settings(results=tmp_path), lambda _: None, lambda *_: None)
    assert Source(tmp_path).problems == [
        f"{path} cannot be understood (Object missing required field `study`); move "
        "it away, and the tuning begins anew."
    ]


def test_an_audited_objective_is_the_audit_s_estimate():
    """The bits of an audit only say what has broken an image so far."""
    found = SimpleNamespace(audit=SimpleNamespace(result=SimpleNamespace(value=0.25)), correct=np.ones(4, bool))
    desk = SimpleNamespace(suite=lambda *_: SimpleNamespace(attacks={"aa-audited": found}))
    best = _judge(desk, None, Recipe(validation=0.1, select="best[aa-audited]"))
    assert best.judge(None) == 0.25


def test_aa_audited_can_be_the_objective(tmp_path):
    made = search("lr", objective="aa-audited", axes=Axes(("plain",), ("digitslt",), ("10",), epochs=1, limit=30))
    tuning = made.go(1, Settings(results=tmp_path), lambda _: None, lambda *_: None)
    assert 0 <= tuning.best.value <= 1
