"""Audited evaluations wherever numbers are compared, checked or shown: alone, and against the full attack."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from bench.audit.images import images
from bench.audit.kept import Kept
from bench.audit.plan import Goal
from bench.audit.run import run as run_audit
from bench.audit.shares import Shares
from bench.cli import group
from bench.engine.verdicts.sample import facts, in_words, reached
from bench.judge.audits import audits
from bench.judge.compare import compare_methods
from bench.judge.paired import Bits, compare
from bench.judge.pairs.wanted import Wanted
from bench.reports.marks import flag
from bench.reports.report import make
from bench.seeding import numpy_stream
from bench.store.flags import flag_cell
from bench.store.parts.record import understood
from bench.store.results import Results
from bench.store.rows import build_rows
from bench.store.schema import REACHED, ROWS, SAMPLES

COSTS = (203.0, 1827.0, 2700.0, 5000.0)
STAGES = ("apgd-ce", "apgd-t", "fab-t", "square")
PER_CLASS = 500
#: what is found at a sound network
PROBES = {
    "zero_gradient_share": 0.0, "probability_outputs": 0.0, "random_difference": 0.0, "batch_difference": 1e-7,
    "unsettled_norms": 0.0, "saturated_share": 0.0, "cw_blocked_share": 0.1, "pixel_min": 0.0, "pixel_max": 1.0,
    "predicted_top_share": 0.3, "label_top_share": 0.25,
}  # fmt: skip
COLLAPSE = flag("collapse").mark


def bench(*words: Any) -> tuple[int, str]:
    result = CliRunner().invoke(group, [*map(str, words)], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.return_value, result.output


def chain(label: np.ndarray, more: float, late: float = 0.0, shared: float = 0.9, seed: int = 0) -> tuple[Any, ...]:
    """(clean, what stands each stage) of one simulated network; `more` of the images that stage 1 breaks stand it."""
    hard = numpy_stream(7, "audited", "hard").random((4, len(label)))
    rng = numpy_stream(seed, "audited", repr(more))
    own = np.where(rng.random(hard.shape) < shared, hard, rng.random(hard.shape))
    chances = np.array([0.85, 0.45 + more, 0.88, 1 - late])[:, None]
    clean, *stands = own < chances
    return clean, [*stands, np.ones(len(label), dtype=bool)]


def audited(index: np.ndarray, label: np.ndarray, clean: np.ndarray, stands: list[np.ndarray]) -> Any:
    classes = int(label.max()) + 1
    return run_audit(index, label, clean, classes, COSTS, Goal(), lambda stage, at: stands[stage][at])


@pytest.fixture
def store(maker, monkeypatch):
    """taet (two seeds) and at-bsl (two seeds), audited, and trades, attacked in full."""
    monkeypatch.setitem(sys.modules[type(maker).__module__].TEST_COUNTS, "balanced", [PER_CLASS] * 4)
    label = np.repeat(np.arange(4), PER_CLASS)
    for method, more, kind in (("taet", 0.2, "audit"), ("at-bsl", 0.0, "audit"), ("trades", 0.0, "full")):
        for seed in (0, 1):
            folder = maker.cell(method, seed, attacks={"clean": 0.8, "aa": 0.4})
            clean, stands = chain(label, more, seed=seed)
            with np.load(folder / SAMPLES) as archive:
                bits = {key: archive[key] for key in archive.files}
            index = bits["balanced/index"]
            bits["balanced/clean"] = clean.astype(np.uint8)
            cell = maker.read(folder)
            whole = cell["evaluations"].pop("balanced/aa")
            del bits["balanced/aa"]
            if kind == "full":
                cell["evaluations"]["balanced/aa"] = whole
                bits["balanced/aa"] = np.logical_and.reduce([clean, *stands]).astype(np.uint8)
            else:
                done = audited(index, label, clean, stands)
                kept = facts(done, "aa")
                assert not kept.whole
                stages = [{"name": name, "white_box": name != "square", "attacked": 0, "broken": 0} for name in STAGES]
                cell["evaluations"]["balanced/aa-audited"] = whole | {
                    "name": "aa-audited",
                    "refused": 0,
                    "audit": msgspec.to_builtins(kept),
                    "notes": [in_words(kept)],
                    "strength": None,
                    "stages": stages,
                }
                bits["balanced/aa-audited"] = (~done.broken).astype(np.uint8)
                bits["balanced/aa-audited" + REACHED] = reached(done)
            maker.write(folder, cell)
            np.savez_compressed(folder / SAMPLES, **bits)
            build_rows(understood(cell), bits).to_csv(folder / ROWS, index=False, lineterminator="\n")
    return maker


def difference(seeds=(0, 1)) -> float:
    """What the full attack would give: balanced robustness of taet minus that of at-bsl."""
    label = np.repeat(np.arange(4), PER_CLASS)
    full = [
        [np.logical_and.reduce([c, *s]).mean() for c, s in (chain(label, more, seed=seed) for seed in seeds)]
        for more in (0.2, 0.0)
    ]
    return float(np.mean(full[0]) - np.mean(full[1]))


def kept_audit(store: Any, method: str) -> Kept:
    """What cell.json keeps of the audit of a method's first seed."""
    (folder,) = store.root.glob(f"{method}-*-s0-*")
    kept = understood(store.read(folder)).evaluations["balanced/aa-audited"].audit
    assert kept is not None
    return kept


def full_counts(more: float, seed: int) -> list[int]:
    """Images of each class that stand the full attack."""
    label = np.repeat(np.arange(4), PER_CLASS)
    clean, stands = chain(label, more, seed=seed)
    return np.bincount(label[np.logical_and.reduce([clean, *stands])], minlength=4).tolist()


def test_an_audit_of_a_collapsed_network_says_so_wherever_its_number_is_shown(store):
    for folder in store.root.glob("taet-*"):
        cell = store.read(folder)
        cell["probes"] = {"balanced": PROBES | {"predicted_top_share": 0.99}}
        with np.load(folder / SAMPLES) as archive:
            bits = {key: archive[key] for key in archive.files}
        fresh = flag_cell(cell, bits)["evaluations"]
        assert fresh["balanced/aa-audited"]["flags"] == fresh["balanced/clean"]["flags"] == ["collapse"]
        assert cell["evaluations"]["balanced/aa-audited"]["flags"] == [], "as cells were written before"
        cell["evaluations"]["balanced/clean"]["flags"] = ["collapse"]
        store.write(folder, cell)
        build_rows(understood(cell), bits).to_csv(folder / ROWS, index=False, lineterminator="\n")
    told = bench("compare", "taet", "at-bsl", "--results", store.root, "--attack", "aa-audited")[1]
    assert "A number of taet may be no measure of robustness (collapse)." in " ".join(told.split())
    marks = {
        row.labels[0]: cell.marks
        for table in make(store.root, tables=["overview"], figures=[]).tables
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if column.attack == "aa-audited" and cell.value is not None
    }
    assert {method: COLLAPSE in some for method, some in marks.items()} == {"TAET": True, "AT-BSL": False}
    assert bench("show", folder.name, "--results", store.root)[1].count("flag collapse") == 2


# ------------------------------------------------------------------------------------------------ image by image


def test_what_an_image_adds_has_the_estimate_as_its_mean_and_is_its_bit_where_all_were_attacked():
    label = np.repeat(np.arange(3), (600, 300, 12))
    index = np.arange(len(label)) * 3
    clean, stands = chain(label, 0.1, late=0.01)
    done = audited(index, label, clean, stands)
    kept = facts(done, "aa")
    assert not kept.whole
    said = images(reached(done).astype(np.int64), index, label, clean, kept, len(COSTS))
    for c in range(3):
        assert said.value[label == c].mean() == pytest.approx(kept.shares[c])
    whole = np.logical_and.reduce([clean, *stands])
    assert (whole[said.known] == (~done.broken)[said.known]).all()
    early = np.logical_and.reduce([clean, *stands[:2]])
    lost = kept.shares[2] / kept.early[2]
    assert said.value[label == 2] == pytest.approx(early[label == 2] * lost)  # a class of which all met both stages


def test_weights_of_the_metric_give_the_audits_own_interval():
    label = np.repeat(np.arange(4), 500)
    clean, stands = chain(label, 0.0, late=0.01)
    kept = facts(audited(np.arange(2000), label, clean, stands), "aa")
    shares = Shares.of(kept, [500] * 4, range(4))
    value, low, high = shares.mean(np.full(4, 0.25))
    assert (value, low, high) == pytest.approx((kept.balanced, *kept.sampling), abs=1e-4)
    assert shares.mean(np.full(4, 0.25), others=False)[1:] == pytest.approx(kept.audit, abs=1e-4)
    lowest, least, most = shares.lowest()
    assert least <= lowest == min(kept.shares)
    assert most - least > high - low  # a plan for the mean of classes says little of one


@pytest.mark.parametrize("against", ["audit", "full"])
def test_coverage_and_false_alarms_of_audited_pairs(against):
    """A truth of no difference lies in 95 % intervals, and p < 0.05 is rare, as for full evaluations."""
    label = np.repeat(np.arange(5), (400, 200, 100, 50, 25))
    index, sets, held, alarms = np.arange(len(label)), 120, 0, 0
    rng = numpy_stream(0, "audited pairs", against)
    for _ in range(sets):
        hard = rng.random((4, len(label)))
        pair = []
        for kind in ("audit", against):
            own = np.where(rng.random(hard.shape) < 0.8, hard, rng.random(hard.shape))
            clean, *stands = own < np.array([0.8, 0.4, 0.88, 0.99])[:, None]
            stands.append(np.ones(len(label), dtype=bool))
            done = audited(index, label, clean, stands)
            kept, whole = facts(done, "aa"), Bits(index, label, np.logical_and.reduce([clean, *stands]))
            said = images(reached(done).astype(np.int64), index, label, clean, kept, len(COSTS))
            part = Bits(index, label, ~done.broken, audit=said)
            pair.append(whole if kind == "full" or kept.whole else part)
        result = compare([(pair[0], pair[1])], draws=400)
        assert (result.p_images < 0.05) == (result.images.low > 0 or result.images.high < 0)
        held += result.images.low <= 0 <= result.images.high
        alarms += result.p_images < 0.05
    assert held / sets > 0.9
    assert alarms / sets < 0.1


# ------------------------------------------------------------------------------------------------- in a store


def test_two_audits_are_compared_under_their_own_name(store):
    lines = compare_methods(store.root, "taet", "at-bsl", Wanted(test_split="balanced"))
    assert {line.attack for line in lines} == {"clean", "aa-audited"}
    pooled = next(line for line in lines if line.attack == "aa-audited" and line.seed is None)
    assert pooled.audited
    assert pooled.primary
    assert pooled.comparison.images.low <= difference() <= pooled.comparison.images.high
    assert pooled.comparison.classes == ()  # McNemar's test needs all verdicts of a class
    _, said = bench("compare", "taet", "at-bsl", "--results", store.root, "--test-split", "balanced", "--classes")
    assert "under aa-audited" in said
    assert " aa " not in said.replace("|", " ").replace("[", " ")
    assert "never the number of the full attack" in " ".join(said.split())
    assert "an audit left some out" in said
    body = json.loads(bench("compare", "taet", "at-bsl", "--results", store.root, "--json")[1])
    assert {fact["attack"]: fact["audited"] for fact in body["comparisons"] if fact["test_split"] == "balanced"} == {
        "clean": False,
        "aa-audited": True,
    }


def test_an_audit_is_compared_with_the_full_attack_under_both_names(store):
    lines = compare_methods(store.root, "taet", "trades", Wanted(test_split="balanced", attacks=("aa-audited",)))
    assert {line.attack for line in lines} == {"aa-audited against aa"}
    (pooled,) = (line for line in lines if line.seed is None)
    assert pooled.comparison.images.low <= difference() <= pooled.comparison.images.high
    lines = compare_methods(store.root, "trades", "at-bsl", Wanted(test_split="balanced", attacks=("aa",)))
    assert {line.attack for line in lines} == {"aa against aa-audited"}
    for metric in ("standard", "tail", "head"):
        for line in compare_methods(store.root, "taet", "trades", Wanted(test_split="balanced", metric=metric)):
            assert line.comparison.images.low <= line.comparison.difference <= line.comparison.images.high
    lines = compare_methods(store.root, "taet", "trades", Wanted(test_split="balanced", metric="worst-class"))
    found = {line.attack: line.comparison for line in lines if line.seed == 0}
    assert set(found) == {"clean", "aa-audited against aa"}
    audited = found["aa-audited against aa"]
    assert audited.images.low <= audited.difference <= audited.images.high
    n, kept = [PER_CLASS] * 4, kept_audit(store, "taet")
    value, low, high = Shares.of(kept, n, range(4)).lowest()
    theirs = full_counts(0.0, 0)
    assert audited.difference == pytest.approx(value - min(theirs) / PER_CLASS)
    assert audited.images.high - audited.images.low > high - low  # the audit's own width and the full attack's


def test_a_check_judges_audits_by_audits_and_by_the_full_attack(store, another):
    status, said = bench("check", "--results", store.root, "--against", store.root)
    assert status == 0, said
    everything = bench("check", "--results", store.root, "--against", store.root, "--all")[1]
    assert "seed 0, balanced, aa-audited, balanced:" in everything
    full = another.cell("taet", 0, attacks={"clean": 0.8, "aa": 0.4})
    label = np.repeat(np.arange(4), PER_CLASS)
    clean, stands = chain(label, 0.2)
    with np.load(full / SAMPLES) as archive:
        bits = dict(archive)
    bits["balanced/aa"] = np.logical_and.reduce([clean, *stands]).astype(np.uint8)
    bits["balanced/clean"] = clean.astype(np.uint8)
    np.savez_compressed(full / SAMPLES, **bits)
    build_rows(understood(another.read(full)), bits).to_csv(full / ROWS, index=False, lineterminator="\n")
    _, said = bench("check", "--results", store.root, "--against", another.root, "--all")
    judged = [line for line in said.splitlines() if "aa-audited against aa, balanced:" in line]
    assert len(judged) == 1, said
    assert judged[0].startswith(("SAME", "MATCH", "WITHIN NOISE"))
    _, said = bench("check", "--results", another.root, "--against", store.root, "--all", "--allow-missing")
    assert "aa against aa-audited, balanced:" in said
    status, said = bench("check", "--results", store.root, "--against", store.root, "--exact")
    assert status == 1
    assert "an audit has no counts that could be equal" in said


def test_every_format_says_what_an_audited_number_is(store, tmp_path):
    report = make(store.root, tables=["overview"], figures=[])
    table = next(t for t in report.tables if "Balanced" in t.caption and "balanced test split" in " ".join(t.words))
    at = {column.attack: i for i, column in enumerate(table.columns)}
    cells = {row.labels[0]: row.cells for row in table.rows}
    mine, full = cells["TAET"][at["aa-audited"]], cells["TRADES"][at["aa"]]
    (one,) = (a for a in audits(Results(store.root).cells) if a.where.seed == 0 and a.where.method == "taet")
    (two,) = (a for a in audits(Results(store.root).cells) if a.where.seed == 1 and a.where.method == "taet")
    assert mine.value == pytest.approx(50 * (one.shares.share.mean() + two.shares.share.mean()))
    assert mine.marks == ("au",)
    assert full.marks == ()
    assert cells["TAET"][at["aa"]].value is None  # never under the name of the full attack
    assert cells["TRADES"][at["aa-audited"]].value is None
    assert mine.sampling[0] < mine.value < mine.sampling[1]
    bench("report", "--results", store.root, "--output", tmp_path, "--format", "html,markdown,latex,csv",
          "--tables", "overview", "--figures", "none")  # fmt: skip
    for name in ("report.html", "report.md", "tables.csv", "latex/report.tex"):
        text = (
            " ".join((tmp_path / name).read_text().split())
            if name != "latex/report.tex"
            else " ".join(" ".join(p.read_text().split()) for p in (tmp_path / "latex").glob("*.tex"))
        )
        assert "never aa itself" in text, name


def test_an_audit_without_a_line_of_its_own_is_named_as_one_all_the_same(store, tmp_path):
    for folder in store.root.glob("taet-*"):
        cell = store.read(folder)
        cell["evaluations"]["balanced/aa-audited"]["notes"] = []
        store.write(folder, cell)
    bench("report", "--results", store.root, "--output", tmp_path, "--format", "csv", "--tables", "overview",
          "--figures", "none")  # fmt: skip
    lines = [line for line in (tmp_path / "tables.csv").read_text().splitlines() if ",taet," in line]
    audited_ones = [line for line in lines if ",aa-audited," in line]
    assert audited_ones
    assert all("never aa itself" in line for line in audited_ones)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda audit: audit.pop("seen"), "not by 4 classes"),
        (lambda audit: audit.update(shares=[0.5]), "not by 4 classes"),
        (lambda audit: audit["plan"].update(first=[]), "not by 4 classes"),
        (lambda audit: audit.update(continues=""), "continues"),
    ],
)
def test_an_audit_that_does_not_say_all_of_its_classes_leaves_its_cell_out(store, change, words):
    folder, *_ = store.root.glob("taet-*-s0-*")
    cell = store.read(folder)
    change(cell["evaluations"]["balanced/aa-audited"]["audit"])
    store.write(folder, cell)
    found = Results(store.root)
    (problem,) = found.problems
    assert folder.name in problem
    assert words in problem
    assert len(found.cells) == 5
    assert compare_methods(store.root, "taet", "at-bsl")
    assert {a.cell for a in audits(found.cells)} == {c.id for c in found.cells if c.made.method != "trades"}
