"""The worst case over attacks is a number with conditions: the flags its attacks share, and which attacks they are."""

from __future__ import annotations

import pandas as pd
import pytest

from bench.errors import StoreError
from bench.judge.attribution import attribution
from bench.judge.check import check_rows
from bench.judge.compare import compare_methods
from bench.judge.pairs.wanted import Wanted
from bench.judge.verify import verify
from bench.reports.report import make
from bench.store import query
from bench.store.parts.record import understood
from bench.store.results import Results
from bench.store.rows import build_rows
from bench.store.schema import ROWS

ALL = {"clean": 0.8, "fgsm": 0.6, "pgd-20": 0.5, "aa": 0.4}
FEW = {"clean": 0.8, "fgsm": 0.6}


def flagged(maker, folder, **flags):
    """The cell with these flags of its attacks (`pgd_20` for pgd-20), stored with its rows."""
    cell = maker.read(folder)
    for key, facts in cell["evaluations"].items():
        facts["flags"] = sorted(flags.get(key.partition("/")[2].replace("-", "_"), []))
    maker.write(folder, cell)
    rows = build_rows(understood(cell), query.samples(folder))
    rows.to_csv(folder / ROWS, index=False, lineterminator="\n")
    return rows


def flags_of(rows, attack):
    return set(rows[rows.attack == attack]["flags"])


def test_it_inherits_what_all_its_attacks_share(maker):
    folder = maker.cell("taet", attacks=ALL)
    gone = {"fgsm": ["zero-gradient", "order"], "pgd_20": ["zero-gradient"], "aa": ["zero-gradient", "small-class"]}
    assert flags_of(flagged(maker, folder, **gone), "worst") == {"zero-gradient"}
    gone["aa"] = ["small-class"]  # one attack without the flag is evidence that the others lack
    assert flags_of(flagged(maker, folder, **gone), "worst") == {""}
    assert verify(maker.root).problems == ()


def test_a_store_written_before_shows_them_too(maker):
    folder = maker.cell("taet", attacks=ALL)
    flagged(maker, folder, fgsm=["collapse"], pgd_20=["collapse"], aa=["collapse"])
    maker.edit(folder, lambda frame: frame.assign(flags=frame["flags"].where(frame["attack"] != "worst", "")))
    before = (folder / ROWS).read_bytes()
    assert flags_of(pd.read_csv(folder / ROWS, keep_default_na=False), "worst") == {""}
    assert flags_of(Results(maker.root).rows, "worst") == {"collapse"}
    assert verify(maker.root).problems == ()
    assert (folder / ROWS).read_bytes() == before


def test_it_is_ranked_over_equal_sets_of_attacks_only(maker):
    for method, attacks, shift in (("taet", FEW, 0.1), ("trades", ALL, 0.1), ("at", ALL, 0.0)):
        maker.cell(method, attacks=attacks, draw="shared", shift=shift)
    tables = [t for t in make(maker.root, tables=["overview"], figures=[]).tables if "Balanced" in t.caption]
    for table in tables:
        at = next(i for i, column in enumerate(table.columns) if column.attack == "worst")
        cells = {row.labels[0]: row.cells[at] for row in table.rows}
        assert cells["TAET"].value > cells["TRADES"].value > cells["AT"].value
        assert [cells[name].rank for name in ("TAET", "TRADES", "AT")] == [0, 1, 0]
        assert cells["TAET"].marks == ("w1",)
        assert cells["TRADES"].marks == ()
        assert any(note.mark == "w1" and "over fgsm alone" in note.text for note in table.footnotes)


def test_it_is_compared_over_equal_sets_of_attacks_only(maker):
    for seed in (0, 1):
        maker.cell("taet", seed, attacks=FEW, draw="shared")
        maker.cell("at-bsl", seed, attacks=ALL, draw="shared")
    with pytest.raises(StoreError, match=r"over fgsm.*over aa, fgsm, pgd-20"):
        compare_methods(maker.root, "taet", "at-bsl", Wanted(attacks=("worst",)))
    assert {line.attack for line in compare_methods(maker.root, "taet", "at-bsl")} == {"clean", "fgsm"}


def test_a_check_refuses_one_over_other_attacks(maker, another):
    maker.cell("taet", attacks=FEW, draw="shared")
    another.cell("taet", attacks=ALL, draw="shared")
    found = check_rows(Results(maker.root).rows, Results(another.root).rows, name="x", allow_missing=True)
    refused = [n for n in found.numbers if n.verdict == "refused"]
    assert {n.where["attack"] for n in refused} == {"worst"}
    assert refused[0].reason == "attacks differ: reference aa, clean, fgsm, pgd-20, measured clean, fgsm"


def test_a_gain_of_it_needs_equal_sets_of_attacks(maker):
    maker.cell("taet", attacks=ALL, draw="shared")
    maker.cell("taet", attacks=FEW, draw="other", enhancers=(("ema", ()),), enhanced="+ema")
    assert {gain.attack for gain in attribution(maker.root)} == {"clean", "fgsm"}


def test_one_flagged_seed_does_not_disqualify_a_mean(maker):
    for seed in range(3):
        for method, shift in (("taet", 0.3), ("trades", 0.1), ("at", 0.0)):
            maker.cell(method, seed, draw="shared", shift=shift)
    folders = sorted(maker.root.glob("taet-*"))

    def first():
        tables = make(maker.root, tables=["overview"], figures=[]).tables
        table = next(t for t in tables if "Balanced" in t.caption)
        at = next(i for i, column in enumerate(table.columns) if column.attack == "aa")
        return next(r.labels[0] for r in table.rows if r.cells[at].rank == 1), table.rows[-1].cells[at].marks

    flagged(maker, folders[0], aa=["order"])
    assert first()[0] == "TAET"  # it keeps its mark and its rank
    flagged(maker, folders[1], aa=["order"])
    assert first()[0] == "TRADES"
