"""Hostile command lines: every option of every verb with words that nobody should have to type.

    python benchmarks/fuzz.py --seconds 300 --seed 1

Runs `bench` in this process inside a sandbox folder. Every command line must end with a documented exit code (0, 1, 2):
never with a traceback, never later than after two minutes, and never with a write outside the sandbox, which is
forbidden and noted. Prints each finding and exits with 1 when there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bench.cli import group, main

WORDS = (
    "", " ", "-1", "0", "1", "7", "1e309", "nan", "inf", "-inf", "1e-300", "\u00b2", "\uff19", "9" * 40,
    str(2**63), str(2**64), "1/0", "1/255", "0.5/0.25", "nan/nan", "true", "none", "None", ",", ",,", ":", "::", "a:b",
    "[", "]", "[]", "at[", "at]", "at[steps=1", "at[steps=]", "at[steps=1,steps=2]", "at[eps=nan]", "at[augment=none]",
    "at+", "+at", "at++ema", "at+ema+ema", "at+ema[tau=2]", "at:/../../X", "at+ema:/../../X", "../../X", ".", "..", "~",
    "~nobody-here/x", "x" * 300, "a\0b", "a\nb", "\x1b[2J", "\u202eabc", "\ud800", "\u732b", "%s", "{}", "{0}",
    "$(touch X)", "`touch X`", "'; touch X", "<b>&", "=1+1", "file:", "file:.", "file:../../X.csv", "file:store",
    "folder:", "folder:.", "folder:@2", "folder:.@0", "folder:store@99999999", "archive:", "archive:.",
    "archive:../../X", "archive:net.pt", "archive:store", "timm:", "timm:nothing", "cuda:99", "cuda:-1", "cpu:1", "mps",
    "auto", "seed:", "seed:x", "seed:" + "9" * 30, "natural", "10,10", "best[clean]", "best[", "pgd-20[steps=0]",
    "pgd-20[eps=2]", "clean,clean", "aa[order=x]", "--", "-", "-h", "os:system", "json:loads", "this:s", "net.pt",
    "digitslt", "long-tailed", "validation", "worst", "store", "net.pt/x",
)  # fmt: skip
#: a command line of each verb that is sound and quick, inside the sandbox: `store` holds cells, `net.pt` weights
SOUND: dict[str, list[str]] = {
    "check": ["--results", "store", "--against", "store"],
    "compare": ["at", "at-bsl", "--results", "store"],
    "data export": ["digitslt", "--to", "out/index.csv"],
    "data show": ["digitslt"],
    "estimate": ["--methods", "at", "--datasets", "digitslt"],
    "evaluate": [
        "net.pt",
        "--datasets",
        "digitslt",
        "--attacks",
        "clean",
        "--model",
        "small-cnn",
        "--results",
        "out/e",
    ],
    "export": ["out/cells.zip", "--results", "store"],
    "fetch": ["cifar10lt"],
    "findings": ["--results", "store"],
    "import": ["net.pt", "--results", "out/i"],
    "leaderboard": ["board"],
    "ls": ["methods"],
    "new": ["method", "mine", "--into", "out/new"],
    "publish": ["out/published", "--results", "store"],
    "report": ["--results", "store", "--format", "csv", "--tables", "1", "--figures", "none", "--output", "out/report"],
    "run": ["--methods", "at", "--datasets", "digitslt", "--dry-run", "--results", "out/r"],
    "show": ["at", "--results", "store"],
    "status": ["--results", "store"],
    "submit": ["at", "--results", "store", "--to", "board"],
    "verify": ["--results", "store"],
}
#: what is never put in: it waits for ever, measures the machine, or downloads
LEFT_OUT = {"--watch", "--calibrate", "--help", "--on", "--detach", "--slurm", "--ray", "--yes"}
CODES = {0, 1, 2}
#: what Python and torch keep for themselves, wherever they stand
CACHES = ("__pycache__", "torchinductor")


def commands() -> dict[str, click.Command]:
    """Every verb and sub-verb with a sound command line, by its words."""

    def walk(parent: click.Group, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
        context = click.Context(parent)
        for name in parent.list_commands(context):
            command = parent.get_command(context, name)
            if isinstance(command, click.Group):
                yield from walk(command, (*words, name))
            elif command is not None:
                yield " ".join((*words, name)), command

    return {name: command for name, command in walk(group, ()) if name in SOUND}


def lines(draw: random.Random) -> Iterator[list[str]]:
    """Command lines without end: a sound one with one to three of its values replaced or added."""
    known = commands()
    while True:
        name = draw.choice(sorted(known))
        words = [*SOUND[name]]
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            parameter = draw.choice([p for p in known[name].params if p.opts[0] not in LEFT_OUT])
            words = changed(words, parameter, draw)
        yield [*name.split(), *words]


def changed(words: list[str], parameter: click.Parameter, draw: random.Random) -> list[str]:
    """The words with another value for one parameter."""
    option = parameter.opts[0]
    if isinstance(parameter, click.Argument):
        at = [i for i, word in enumerate(words) if not word.startswith("-") and (i == 0 or "-" not in words[i - 1][:1])]
        place = at[0] if at else 0
        return [*words[:place], draw.choice(WORDS), *words[place + bool(at) :]]
    if getattr(parameter, "is_flag", False):
        return [*words, option]
    values = [hostile(words, option, draw) for _ in range(max(1, parameter.nargs))]
    return [*words, f"{option}={values[0]}"] if len(values) == 1 else [*words, option, *values]


def hostile(words: list[str], option: str, draw: random.Random) -> str:
    """A hostile word, or the sound value with one in, before or behind it."""
    word = draw.choice(WORDS)
    if option in words and words.index(option) + 1 < len(words) and draw.random() < 0.3:
        sound = words[words.index(option) + 1]
        return draw.choice((f"{sound}{word}", f"{word}{sound}", f"{sound},{word}", f"{sound}[{word}]"))
    return word


class Fence:
    """Forbids and notes whatever would be written outside a folder, while it is up."""

    WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod")

    def __init__(self, inside: Path) -> None:
        self.inside, self.up = str(inside.resolve()), False
        self.crossed: list[str] = []
        sys.addaudithook(self._look)

    def _look(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.up or event not in ("open", *self.WRITES):
            return
        if event == "open" and not (isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            return
        for path in args[: 2 if event in ("os.rename", "os.link") else 1]:
            if not isinstance(path, (str, bytes, os.PathLike)):
                continue
            whole = os.path.realpath(os.fsdecode(path))
            elsewhere = not whole.startswith((self.inside, "/dev/", "/proc/"))
            if elsewhere and not any(part in whole for part in CACHES):
                self.crossed.append(f"{event} {whole}")
                raise PermissionError(13, "outside the sandbox", whole)


def prepare(box: Path, project: Path) -> Path:
    """The folder to stand in: deep inside the sandbox, with a small store and weights."""
    here = box / "a" / "b" / "c"
    here.mkdir(parents=True)
    (here / "board").mkdir()
    for method in ("at-digitslt", "at-bsl-digitslt-ir10"):
        for cell in sorted((project / "results" / "golden").glob(f"{method}*"))[:2]:
            shutil.copytree(cell, here / "store" / cell.name)
    import torch

    from bench.engine.nets.network import build_network

    torch.save(build_network("small-cnn", (1, 8, 8), 10, None, 0).state_dict(), here / "net.pt")
    return here


def attempt(words: list[str], fence: Fence, limit: float = 120.0) -> str:
    """What is wrong with how a command line ended, or nothing."""
    out, err, before = io.StringIO(), io.StringIO(), len(fence.crossed)
    streams, handlers = (sys.stdout, sys.stderr), {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGHUP)}
    problem = ""

    def late(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt(f"not done after {limit:g} s")

    old = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, limit)
    sys.stdout, sys.stderr, fence.up = out, err, True
    try:
        main([*words])
        problem = "it did not exit"
    except SystemExit as end:
        if end.code not in CODES:
            problem = f"exit code {end.code}"
    except BaseException:
        problem = traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        fence.up = False
        sys.stdout, sys.stderr = streams
        signal.signal(signal.SIGALRM, old)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if "Traceback (most recent call last)" in err.getvalue() + out.getvalue():
        problem = err.getvalue()
    if fence.crossed[before:]:
        problem = f"written outside: {fence.crossed[before:]}"
    return problem


def fuzz(
    box: Path, project: Path, seed: int, seconds: float, count: int | None = None
) -> Iterator[tuple[list[str], str]]:
    """(command line, what is wrong with its end or nothing) until time or count are up. Moves to the sandbox."""
    here, home = prepare(box, project), os.environ.get("HOME")
    fence, began = Fence(box), time.monotonic()
    os.environ["HOME"] = str(here / "home")
    with contextlib.chdir(here):
        for number, words in enumerate(lines(random.Random(seed))):
            if time.monotonic() - began > seconds or number == count:
                break
            yield words, attempt(words, fence)
    if home is not None:
        os.environ["HOME"] = home


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    os.environ.update(BENCH_OFFLINE="1", MPLBACKEND="agg")
    with tempfile.TemporaryDirectory(prefix="bench-fuzz-") as folder:
        os.environ.update(XDG_CACHE_HOME=f"{folder}/cache", MPLCONFIGDIR=f"{folder}/mpl", TMPDIR=folder)
        tempfile.tempdir = folder
        tried = found = 0
        for line, wrong in fuzz(Path(folder), Path(__file__).resolve().parents[1], chosen.seed, chosen.seconds):
            tried += 1
            if wrong:
                found += 1
                print(f"bench {line!r}\n{wrong}\n", flush=True)
    print(f"{tried} command lines, {found} findings")
    sys.exit(1 if found else 0)
