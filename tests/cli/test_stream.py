"""What a terminal, a full device or a narrow encoding do to the words of a verb."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.shown.stream import Shown
from bench.visible import visible


def bench(*words: str, **more: object) -> subprocess.CompletedProcess[bytes]:
    found = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    env = {**os.environ, **dict(found.pop("env", {}))}  # type: ignore[call-overload]
    return subprocess.run([sys.executable, "-m", "bench", *words], check=False, env=env, timeout=120, **found)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mañana 猫 שלום\tx\n", "mañana 猫 שלום\tx\n"),
        ("\x1b[2J", "[U+001B][2J"),
        ("a\u202eb\u2066c", "a[U+202E]b[U+2066]c"),
        ("\r\x00\x7f\x9b", "[U+000D][U+0000][U+007F][U+009B]"),
        ("\u2028\ufeff\ud800", "[U+2028][U+FEFF][U+D800]"),
    ],
)
def test_what_acts_on_a_terminal_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("word", ["²", "9" * 5000, "0", "1\x1b[2J"])
@pytest.mark.parametrize("kind", ["--tables", "--figures"])
def test_no_number_is_one_sentence(tmp_path: Path, kind: str, word: str) -> None:
    done = bench("report", "--results", str(tmp_path), kind, word)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"\x1b" not in done.stderr
    assert done.stderr.startswith(b"bench: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
@pytest.mark.parametrize("words", [("ls", "methods"), ("--help",), ("show", "nothing")])
def test_a_full_device_is_one_sentence(words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = bench(*words, stdout=full)
        assert done.returncode == 1
        assert b"Traceback" not in done.stderr
        assert done.stderr.count(b"\n") == 1
        if words != ("show", "nothing"):
            assert b"standard output cannot be written (No space left on device)" in done.stderr
        assert bench("show", "nothing", stderr=full, stdout=full).returncode == 1


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
def test_a_terminal_of_another_encoding_gets_what_it_can_show(encoding: str) -> None:
    done = bench("findings", env={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
    assert done.returncode == 0, done.stderr
    assert b"minus AT-BSL" in done.stdout


def test_a_stream_passes_on_what_it_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Shown(sys.stdout, "standard output")
    assert stream.write("a\x07") == len("a[U+0007]")
    stream.flush()
    assert stream.encoding
    assert capsys.readouterr().out == "a[U+0007]"
