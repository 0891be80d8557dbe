"""An entry of the leaderboard from a cell and back: what it holds, what is impossible, and what follows."""

from __future__ import annotations

import json
import shutil

import pytest

from bench.board.derive import against, numbers, tables
from bench.board.entry import complaint, read, written
from bench.board.page import problems
from bench.cli import main
from bench.errors import StoreError
from bench.judge.metrics import summarise
from bench.store.query import read_rows

from .conftest import SEEDS, N, fill

CELL = "at-digitslt-ir10-s0-e462a051af"


@pytest.fixture
def call(capsys):
    """Calls a verb: (exit code, stdout, stderr)."""

    def run(*words):
        with pytest.raises(SystemExit) as caught:
            main([*map(str, words)])
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def store(project, tmp_path):
    """One cell of the golden store."""
    shutil.copytree(project / "results" / "golden" / CELL, tmp_path / "runs" / CELL)
    return tmp_path / "runs"


def test_a_cell_becomes_an_entry_with_its_counts(store, tmp_path, call):
    board = tmp_path / "board"
    code, out, err = call("submit", "at", "--results", store, "--to", board)
    assert (code, err) == (0, "")
    (path,) = (board / "entries").iterdir()
    entry, rows = read(path), summarise(read_rows(store / CELL / "per_class.csv"))
    assert entry.runs[0].correct["aa"] == [58, 14, 16, 1, 0, 0, 0, 0, 0, 0]
    assert entry.runs[0].weights == json.loads((store / CELL / "cell.json").read_text())["weights"]
    for label, found in entry.numbers.items():
        (row,) = rows[rows["attack"] == label].to_dict("records")
        assert [found[m] for m in ("balanced", "tail", "worst-class", "standard")] == [
            round(100 * row[m], 2) for m in ("balanced", "tail", "worst-class", "standard")
        ]
    assert "worst" not in entry.attacks
    assert entry.claimed == ""
    assert f"balanced AA {entry.numbers['aa']['balanced']:.2f}" in out
    before = path.read_bytes()
    assert call("submit", "at", "--results", store, "--to", board)[0] == 0
    assert path.read_bytes() == before == written(entry)
    assert call("submit", "at", "--results", store, "--to", board, "--paper", "another")[0] == 2
    assert path.read_bytes() == before


def test_a_cell_without_a_hash_is_a_claim(store, tmp_path, call):
    known = json.loads((store / CELL / "cell.json").read_text())
    (store / CELL / "cell.json").write_text(
        json.dumps({k: v for k, v in known.items() if k not in ("weights", "seal")})
    )
    code, out, _ = call("submit", CELL, "--results", store, "--to", tmp_path / "board")
    assert code == 0
    assert "claimed, not measured: no hash of its weights" in out


def test_a_cell_that_is_not_sound_is_refused(store, tmp_path, call):
    table = store / CELL / "per_class.csv"
    table.write_text(table.read_text().replace(",64,58\n", ",64,59\n"))
    code, _, err = call("submit", CELL, "--results", store, "--to", tmp_path / "board")
    assert code == 1
    assert "is not sound" in err
    assert not (tmp_path / "board").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--test-split", "balanced"), "was not evaluated on the balanced test split"),
        (("--url", "javascript:alert(1)"), "no address that begins with https://"),
        (("--code", "here"), "no address that begins with https://"),
    ],
)
def test_what_makes_no_entry_is_one_sentence(store, tmp_path, call, words, sentence):
    code, out, err = call("submit", CELL, "--results", store, "--to", tmp_path / "board", *words)
    assert (code > 0, out) == (True, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert not (tmp_path / "board").exists()


CHANGES = {
    "more correct than images": lambda e: e.runs[0].correct["aa"].__setitem__(0, 101),
    "more under the attack than without": lambda e: e.runs[0].correct["aa"].__setitem__(0, 95),
    "a class too few": lambda e: e.runs[0].correct["clean"].pop(),
    "no AutoAttack": lambda e: (e.attacks.pop("aa"), e.runs[0].correct.pop("aa"), e.runs[0].flags.pop("aa")),
    "two runs of one seed": lambda e: e.runs.append(e.runs[0]),
    "no run": lambda e: e.runs.clear(),
    "classes in another order": lambda e: e.classes.reverse(),
    "a class without images": lambda e: setattr(e.classes[3], "n", 0),
    "another format": lambda e: setattr(e, "format", 2),
    "a coordinate that lacks": lambda e: e.where.pop("recipe"),
    "a ratio in words": lambda e: e.where.update(ir="ten"),
    "a radius beyond the scale": lambda e: e.where.update(eps=1e308),
    "a ratio below one": lambda e: e.where.update(ir=-1.0),
    "an address that runs": lambda e: setattr(e, "url", "javascript:alert(1)"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_impossible_is_refused(entry, tmp_path, name):
    made = entry()
    assert complaint(made) == ""
    CHANGES[name](made)
    assert complaint(made)
    path = tmp_path / "entry.json"
    path.write_bytes(written(made))
    with pytest.raises(StoreError, match="is no sound entry"):
        read(path)


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', "\0", '{"format": "1"}', "[" * 100000])
def test_a_file_that_is_no_entry_is_named(tmp_path, text):
    path = tmp_path / "entry.json"
    path.write_text(text)
    with pytest.raises(StoreError, match=r"entry\.json is no entry"):
        read(path)


def test_numbers_are_means_over_seeds_of_recalls(entry):
    made = entry("at-bsl", SEEDS)
    recalls = [[k / n for k, n in zip(seed, N, strict=True)] for seed in SEEDS]
    found = numbers(made)["aa"]
    assert found["balanced"] == pytest.approx(100 * sum(sum(r) / 4 for r in recalls) / 3, abs=0.005)
    assert found["tail"] == pytest.approx(100 * sum(sum(r[2:]) / 2 for r in recalls) / 3, abs=0.005)
    assert found["worst-class"] == pytest.approx(100 * sum(min(r) for r in recalls) / 3, abs=0.005)
    assert found["low"] < found["balanced"] < found["high"]
    assert found["seeds_low"] < found["balanced"] < found["seeds_high"]


def test_the_best_is_measured_and_reliable_and_others_are_judged_beside_it(entry):
    claim = entry("claim", ((90, 40, 14, 6),), code="")
    hard = entry("hard", ((90, 39, 14, 6),), flags=("zero-gradient",))
    best, near, far = entry("best"), entry("near", ((59, 20, 6, 2),)), entry("far", ((30, 5, 6, 1),), model="wrn-28-10")
    other = entry("other", ((10, 5, 1, 0),), ir=50.0)
    chance = entry("chance", ((100, 0, 0, 0),))
    for run in chance.runs:
        run.correct["clean"] = [100, 0, 0, 0]
    chance.numbers = numbers(chance)
    first, second = tables([far, near, best, hard, claim, other, chance])
    told = {line.entry.where["method"]: line.verdict for line in first.lines}
    assert list(told) == ["claim", "hard", "best", "near", "chance", "far"]
    assert told == {
        "claim": "not compared: claimed",
        "hard": "not compared: unreliable",
        "best": "best measured",
        "near": "not distinguishable",
        "far": "no better than chance",
        "chance": "no better than chance",
    }
    assert first.chance == 25
    assert [line.entry.where["method"] for line in second.lines] == ["other"]


def test_a_clear_difference_is_called_lower(entry):
    low = entry("low", ((45, 15, 6, 2),))
    high = entry("high", ((90, 40, 14, 6),))
    (table,) = tables([low, high])
    assert [line.verdict for line in table.lines] == ["best measured", "lower"]
    assert table.lines[1].p == round(against(high, low), 4) < 0.001
    assert against(high, high) == 1


def test_seeds_must_agree_where_there_are_several(entry):
    wide = ((90, 40, 14, 6), (20, 5, 2, 1), (60, 22, 8, 3))
    alone = against(entry("a", (wide[0],)), entry("b", ((50, 10, 3, 1),)))
    several = against(entry("a", wide), entry("b", ((50, 10, 3, 1), (51, 10, 3, 1), (49, 10, 3, 1))))
    assert several > alone


def test_the_check_names_what_does_not_follow(entry, tmp_path, call):
    made = entry()
    board = fill(tmp_path, made, entry("trades", ((50, 20, 6, 2),)))
    assert call("leaderboard", board)[0] == 0
    assert call("leaderboard", "--check", board)[:2] == (0, f"every number of {board} follows.\n")
    page = board / "index.html"
    page.write_text(page.read_text().replace("37.50", "47.50"))
    wrong, stale = problems(board)
    assert wrong == []
    assert "index.html is not what the entries give" in stale
    made.numbers["aa"]["balanced"] += 1
    fill(board, made)
    code, out, _ = call("leaderboard", "--check", board)
    assert code == 1
    assert f"aa balanced is stated as {made.numbers['aa']['balanced']}, and the counts give 37.5." in out
    code, _, err = call("leaderboard", board)
    assert code == 1
    assert "the counts give" in err


def test_a_false_number_is_named_whatever_its_file_is_called(entry, tmp_path, call):
    made = entry()
    made.numbers["aa"]["balanced"] += 1
    fill(tmp_path, made)
    (file,) = (tmp_path / "entries").iterdir()
    file.rename(file.with_name("index.html.json"))
    code, _, err = call("leaderboard", tmp_path)
    assert code == 1
    assert "index.html.json: aa balanced is stated as" in err
    assert not (tmp_path / "index.html").exists()


@pytest.mark.parametrize("own", ["<title>My page</title>", "<title>Übersicht</title>"])
def test_a_page_of_the_user_s_own_stays(entry, tmp_path, call, own):
    page = fill(tmp_path, entry()) / "index.html"
    page.write_bytes(own.encode("latin-1"))
    code, _, err = call("leaderboard", tmp_path)
    assert code == 1
    assert err == f"bench: {page} was not written by `bench leaderboard` and would be lost; move it away.\n"
    assert page.read_bytes() == own.encode("latin-1")
    code, out, _ = call("leaderboard", "--check", tmp_path)
    assert code == 1
    assert f"{page} is not what the entries give" in out


def test_a_page_of_other_entries_is_written_again(entry, tmp_path, call):
    assert call("leaderboard", fill(tmp_path, entry()))[0] == 0
    before = (tmp_path / "index.html").read_bytes()
    assert call("leaderboard", fill(tmp_path, entry("at")))[0] == 0
    assert (tmp_path / "index.html").read_bytes() != before


def test_a_folder_without_entries_is_one_sentence(tmp_path, call):
    for words in ((tmp_path,), ("--check", tmp_path)):
        code, _, err = call("leaderboard", *words)
        assert code == 1
        assert "holds no entry; make one with `bench submit CELL" in err
