"""Paths that cannot be, arguments that lead elsewhere, streams that are closed: one sentence, and nothing strays."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import main
from bench.cli.shown.stream import Closed
from bench.errors import BenchError, StoreError, UsageError
from bench.hub import hub
from bench.paths import cache_folder, in_full

LONG = "x" * 300
RUN = ["run", "--epochs", "1", "--limit", "20", "--attacks", "clean", "--jobs", "0", "--results", "out/r"]


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        main([*words])
    return int(caught.value.code or 0), capsys.readouterr().err.strip()


@pytest.mark.parametrize(
    "words",
    [
        [*RUN, "--datasets", "digitslt", "--methods", "at:/../../X"],
        [*RUN, "--datasets", "digitslt", "--methods", "at+ema:/../../X"],
        [*RUN, "--datasets", "digitslt", "--methods", "at", "--attacks", "clean:/../../X"],
        [*RUN, "--datasets", "digitslt", "--methods", "at", "--models", "small-cnn:/../../X"],
        ["report", "--results", LONG],
        ["report", "--results", "~nobody-of-this-name/x"],
        ["data", "show", "folder:~nobody-of-this-name/x"],
        ["data", "show", f"folder:{LONG}"],
        ["data", "show", f"archive:{LONG}"],
        ["data", "show", "archive:a\0b"],
        ["export", "--results", "out", f"{LONG}.csv"],
    ],
    ids=lambda words: "-".join(words)[-40:].replace("/", ""),
)
def test_what_cannot_be_a_path_or_leads_elsewhere_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    code, error = said(capsys, *words)
    assert code == 2
    assert error.startswith("bench: ")
    assert "\n" not in error
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b"]


def test_a_file_that_cannot_be_used_is_one_sentence_wherever_it_is_met(capsys: pytest.CaptureFixture[str]) -> None:
    code, error = said(capsys, "check", "--results", "results/golden", "--against", LONG)
    assert code == 1
    assert error.endswith("cannot be used (File name too long); mend that, or give another.")


def test_home_is_expanded_or_named_and_a_user_without_one_has_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert in_full("~/x") == tmp_path / "x"
    assert cache_folder() == tmp_path / ".cache"

    def nobody(*_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nobody)
    monkeypatch.setattr(Path, "home", nobody)
    assert cache_folder() == Path(".cache")
    with pytest.raises(UsageError, match="no such home folder is known"):
        in_full("~/x")


def test_a_published_folder_at_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "net").mkdir()
    assert not hub.is_published("~/net")
    (tmp_path / "net" / hub.MANIFEST).write_text("{}")
    assert hub.is_published("~/net")
    with pytest.raises(StoreError, match=re.escape(str(tmp_path / "net"))):
        hub.fetch("~/net")


def test_a_module_of_the_users_does_not_stand_in_for_pythons_own(tmp_path: Path) -> None:
    (tmp_path / "statistics.py").write_text("raise SystemExit('not this one')")
    (tmp_path / "nets.py").write_text(
        "import statistics\nfrom torch import nn\n\n\ndef net(classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))\n"
    )
    code = "import sys; sys.path.pop(0); from bench.cli import main; main()"
    words = ["evaluate", "nets:net", "--datasets", "digitslt", "--attacks", "clean", "--results", "out", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("net-digitslt")


@pytest.mark.skipif(os.name == "nt", reason="a shell closes the streams")
@pytest.mark.parametrize(("closed", "code"), [(">&-", 1), (">&- 2>&- <&-", 1), ("2>&- <&-", 0)])
def test_a_stream_that_is_closed_from_the_beginning(closed: str, code: int) -> None:
    done = subprocess.run(
        f"{sys.executable} -m bench ls methods {closed}",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == code
    if closed == ">&-":
        assert done.stderr == "bench: standard output cannot be written (it is closed); give it a place.\n"


def test_a_closed_stream_takes_nothing_but_complaints() -> None:
    assert Closed("standard error").write("lost") == 4
    assert Closed("standard output").write("") == 0
    with pytest.raises(BenchError, match="is closed"):
        Closed("standard output").write("a")
