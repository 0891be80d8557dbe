"""`bench run` as a user calls it: exit codes, one clear sentence, nothing half-written."""

import json
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from bench.cli import main
from bench.cli import run as run_module
from bench.engine.price.cost import Cost
from bench.store.results import Results

SMALL = [
    "--datasets", "digitslt", "--irs", "10", "--epochs", "1", "--limit", "6", "--attacks", "clean", "--jobs", "0",
]  # fmt: skip


def call(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(w) for w in words])
    return ended.value.code


def sentence(capsys):
    error = capsys.readouterr().err.strip()
    assert "Traceback" not in error
    return error


def test_a_run_fills_the_grid_and_the_same_command_does_nothing_more(tmp_path, capsys):
    words = ["run", "--methods", "ce,at", "--seeds", "0", *SMALL, "--results", tmp_path / "r"]
    assert call(*words) == 0
    assert "2 cells done, 0 failed" in capsys.readouterr().out
    (tmp_path / "r" / ".grids").mkdir()  # as a kill leaves it when the last cell was done
    (tmp_path / "r" / ".grids" / "left.json").write_text('{"tasks": []}')
    assert call(*words) == 0
    assert not (tmp_path / "r" / ".grids").exists()
    assert "all 2 cells are done" in capsys.readouterr().out
    assert Results(tmp_path / "r").rows["method"].nunique() == 2


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(tmp_path, capsys):
    words = ["run", "--methods", "ce,taet", "--seeds", "0,1", *SMALL, "--results", tmp_path / "r", "--dry-run"]
    assert call(*words) == 0
    out = capsys.readouterr().out
    assert "4 cells, 0 done, 4 to do" in out
    assert "reduced: epochs=1 of 100, limit=6" in out
    assert not (tmp_path / "r").exists()


def test_a_failed_cell_gives_exit_code_1_and_the_others_are_done(tmp_path, capsys):
    words = ["run", "--methods", "ce[lr=1e30],ce", "--seeds", "0", *SMALL, "--epochs", "3", "--results", tmp_path]
    assert call(*words) == 1
    assert "1 cell done, 1 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (["--methods", "teat"], "Did you mean 'taet'"),
        (["--methods", "trades[beta=-3]"], "beta=-3"),
        (["--methods", "trades[gamma=3]"], "no setting 'gamma'"),
        (["--datasets", "digits"], "Did you mean 'digitslt'"),
        (["--irs", "1"], "above 1"),
        (["--irs", "many"], "above 1"),
        (["--seeds", "0,a"], "seed 'a' is not an integer"),
        (["--methods", ","], "names nothing"),
        (["--attacks", "pgd-7"], "unknown attack 'pgd-7'"),
        (["--models", "resnet"], "unknown model"),
        (["--recipe", "mine"], "unknown recipe 'mine'"),
        (["--recipe", "paper[schedul=cosine]"], "Did you mean 'schedule'"),
        (["--recipe", "paper[beta=3]"], "recipe 'paper' has no setting 'beta'"),
        (["--test-split", "all"], "unknown test split"),
        (["--preset", "table12"], "unknown preset 'table12'"),
        (["--device", "gpu"], "device 'gpu' is not known"),
        (["--jobs", "many"], "--jobs 'many'"),
        (["--epochs", "0"], "--epochs 0"),
        (["--limit", "-1"], "--limit -1"),
        (["--precision", "fp8"], "unknown precision"),
        (["--selection", "random"], "selection"),
        (["--cell-limit", "0s"], "'0s' is no time"),
        (["--run-limit", f"{'9' * 400}d"], "is no time"),
        (["--shard", f"1/{'9' * 5000}"], "write i/n with i from 1 to n"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_code_2(tmp_path, capsys, words, pattern):
    base = dict(zip(SMALL[::2], SMALL[1::2], strict=True)) | {"--methods": "ce", "--seeds": "0"}
    base |= dict(zip(words[::2], words[1::2], strict=True))
    code = call("run", *[w for pair in base.items() for w in pair], "--results", tmp_path / "r")
    error = sentence(capsys)
    assert pattern in error
    assert len(error.splitlines()) == 1
    assert code == 2
    assert not list(tmp_path.glob("r/*/per_class.csv"))


def test_a_recipe_setting_written_as_an_option_is_told_its_place(capsys):
    assert call("run", "--batch-size", "64") == 2
    assert "paper[batch_size=...]" in capsys.readouterr().err


def test_an_absent_gpu_is_named(tmp_path, capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    code = call("run", "--methods", "ce", "--seeds", "0", *SMALL, "--device", "cuda", "--results", tmp_path)
    assert "'cuda' was asked for" in sentence(capsys)
    assert code == 1


def test_a_results_path_that_cannot_be_a_folder_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    code = call("run", "--methods", "ce", "--seeds", "0", *SMALL, "--results", tmp_path / "file" / "r")
    assert "results folder" in sentence(capsys)
    assert code == 1


def test_a_store_of_a_newer_schema_is_refused(tmp_path, capsys):
    words = ["run", "--methods", "ce", "--seeds", "0", *SMALL, "--results", tmp_path]
    assert call(*words) == 0
    path = next(tmp_path.glob("ce-*/cell.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 2}))
    capsys.readouterr()
    assert call(*words) == 1
    assert "schema 2" in sentence(capsys)


def test_missing_data_name_the_file_and_the_mend(tmp_path, capsys):
    words = ["run", "--methods", "ce", "--seeds", "0", *SMALL, "--datasets", "archive:nothing"]
    assert call(*words, "--results", tmp_path / "r", "--data-root", tmp_path) in (1, 2)
    assert "nothing.npz" in sentence(capsys)


def test_a_mistyped_verb_gets_a_suggestion(capsys):
    assert call("reprot") == 2
    assert "Did you mean 'report'" in capsys.readouterr().err


def test_verbose_shows_the_traceback():
    from bench.errors import UsageError

    for words in (["--verbose", "run"], ["run", "--verbose"]):
        with pytest.raises(UsageError):
            main([*words, "--methods", "teat", "--datasets", "digitslt"])


def test_show_and_ls_read_what_was_run(tmp_path, capsys):
    call("run", "--methods", "taet[beta=0.05]", "--seeds", "0", *SMALL, "--results", tmp_path)
    capsys.readouterr()
    assert call("show", "taet-", "--results", tmp_path) == 0
    out = capsys.readouterr().out
    for word in ("taet[beta=0.05]", "data hash", "subset hash", "epochs=1 of 100, limit=6", "torch", "clean"):
        assert word in out
    assert call("show", "at-", "--results", tmp_path) == 1
    assert "begins or ends with 'at-'" in capsys.readouterr().err
    for kind in ("methods", "datasets", "models", "attacks", "tables", "figures", "presets"):
        assert call("ls", kind) == 0
        assert len(capsys.readouterr().out.splitlines()) >= 4
    for words in (("method", "taet"), ("attack", "pgd-20"), ("dataset", "digitslt"), ("model", "resnet18")):
        assert call("show", *words) == 0
        assert words[1] in capsys.readouterr().out.lower() or words[0] == "attack"


def test_doctor_finds_this_machine_in_order(tmp_path, capsys):
    assert call("doctor", "--results", tmp_path) == 0
    assert "everything is in order" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------- how the cells of a run end


@pytest.fixture
def answers(monkeypatch):
    """Puts events in the place of cells: method -> what it answers, one after the other; None is no answer at all."""
    from bench.engine import cell

    def put(**by_method):
        def run_cell(task, settings, emit):
            how = by_method[task.spec.method].pop(0)
            more = {"failed": {"stage": "train", "message": "it is so"}, "elsewhere": {"message": "held"}}
            if how is not None:
                emit({"cell": task.spec.id, "event": how, **more.get(how, {})})

        monkeypatch.setattr(cell, "run_cell", run_cell)

    return put


def grid(folder, methods, *more):
    return call("run", "--methods", methods, "--seeds", "0", *SMALL, "--results", folder, *more)


def test_a_cell_held_by_another_process_is_looked_at_again_and_is_no_failure(tmp_path, capsys, answers):
    answers(ce=["elsewhere"] * 3, at=["elsewhere", "done"], trades=["done"])
    assert grid(tmp_path, "ce,at,trades") == 0
    said = capsys.readouterr()
    assert "2 cells done, 0 failed, 0 done before" in said.out
    assert "1 cell left to another process" in said.out
    assert "FAILED" not in said.err


def test_a_failure_of_the_second_look_counts(tmp_path, capsys, answers):
    answers(ce=["elsewhere", "failed"], at=["done"])
    assert grid(tmp_path, "ce,at") == 1
    assert "1 cell done, 1 failed" in capsys.readouterr().out


def test_a_run_that_loses_cells_never_ends_well(tmp_path, capsys, answers):
    answers(ce=["done"], at=[None])
    assert grid(tmp_path, "ce,at") == 1
    assert "1 cells never ended" in sentence(capsys)


def test_the_one_cell_of_a_run_fails_in_one_sentence(tmp_path, capsys, answers):
    answers(ce=["failed"])
    assert grid(tmp_path, "ce") == 1
    assert "failed in train: it is so" in sentence(capsys).splitlines()[-1]


@pytest.mark.slow
def test_verbose_logs_each_event_in_one_line(tmp_path):
    """In a process of its own, as a user calls it: pytest has handlers on the root logger."""
    words = [*SMALL[:-1], "1", "--device", "cpu", "--results", tmp_path]
    done = subprocess.run(
        [sys.executable, "-m", "bench", "run", "--verbose", "--methods", "ce", "--seeds", "0", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    cell = r"bench\.run: ce-digitslt-ir10-s0-\w{10}: "
    logged = [line.split(" ", 2)[2] for line in done.stderr.splitlines() if "bench.run" in line]
    patterns = [
        rf"{cell}progress, stage train, at 0, of 1 \([\d.]+ s\)",
        rf"{cell}progress, stage train, at 1, of 1, loss [\d.]+ \([\d.]+ s\)",
        rf"{cell}progress, stage long-tailed/clean, at 0, of 1 \([\d.]+ s\)",
        rf"{cell}done \([\d.]+ s\)",
    ]
    for pattern in patterns:
        assert [line for line in logged if re.fullmatch(pattern, line)], (pattern, logged)


@pytest.mark.parametrize(
    ("cost", "asked"),
    [
        (Cost(1e6, 1e6, 3000.0), None),
        (Cost(1e6, 1e6, 7200.0), "this takes about 2.0 h; go on?"),
        (Cost(20e6, 10e6, None), None),
        (Cost(20e6, 10e6, None, gflop=0.9e5), None),
        (Cost(1e6, 1e6, None, gflop=7.5e5), "nobody has measured how long this takes here, and 2.0 M passes of one"),
        (Cost(2e9, 1e9, None), "nobody has measured how long this takes here, and 3.0 G passes of one image are many"),
    ],
)
def test_a_long_run_is_asked_about_on_a_terminal(cost, asked, monkeypatch):
    said = []
    monkeypatch.setattr("click.confirm", lambda text, abort: said.append(text))
    run_module._confirm(cost, None)
    assert said == []  # nobody is there
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    run_module._confirm(cost, 3600.0)
    assert said == []  # it ends in time
    run_module._confirm(cost, None)
    assert [text[: len(asked)] for text in said] == [asked] if asked else said == []


def test_a_damaged_file_is_named_and_kept(tmp_path, capsys):
    words = ["run", "--methods", "ce", *SMALL, "--results", tmp_path]
    assert call(*words) == 0
    (bits,) = tmp_path.glob("*/per_sample.npz")
    bits.write_bytes(b"half a file")
    capsys.readouterr()
    assert call(*words) == 0
    assert f"{bits} is damaged; kept as per_sample.npz.damaged." in capsys.readouterr().err.replace("\n", " ")
    assert bits.with_name("per_sample.npz.damaged").read_bytes() == b"half a file"
