"""Damage a results folder at random and read it with every verb: no traceback, no hang, no number changed silently.

python benchmarks/mutations.py --count 1000 --seed 0

Each mutation is one of: a file cut, a bit turned, two files exchanged, a line of a table moved, doubled or lost, a
value of cell.json of another type or size, a file gone, empty, a folder, a pipe or a link into nowhere, a cell copied.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner
from report import grow

from bench.cli import group
from bench.errors import BenchError
from bench.seeding import numpy_stream
from bench.store import query
from bench.store.results import Results
from bench.store.schema import CELL, CURVES, ROWS, SAMPLES

Random = np.random.Generator
FILES = (CELL, ROWS, SAMPLES, CURVES)
#: put in the place of a value
VALUES: tuple[Any, ...] = (None, True, -1, 0, 2**70, 1e308, "", "x" * 9, "\u202e\n`=1", [], {}, [[]], {"a": None})
#: seconds after which a verb hangs
PATIENCE = 60


# ------------------------------------------------------------------------------------------------------ mutations


def cut(root: Path, rng: Random) -> str:
    """A file ends early."""
    path = _file(root, rng)
    body = path.read_bytes()
    path.write_bytes(body[: int(rng.integers(len(body)))])
    return f"cut {path.name}"


def turn(root: Path, rng: Random) -> str:
    """One bit of a file."""
    path = _file(root, rng)
    body = bytearray(path.read_bytes())
    body[int(rng.integers(len(body)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(body)
    return f"turn {path.name}"


def exchange(root: Path, rng: Random) -> str:
    """A file with the same of another cell, or with another of its own."""
    one = _file(root, rng)
    others = [path for path in _files(root) if path != one and (path.name == one.name or path.parent == one.parent)]
    other = others[int(rng.integers(len(others)))]
    mine, its = one.read_bytes(), other.read_bytes()
    one.write_bytes(its)
    other.write_bytes(mine)
    return f"exchange {one.name} {other.name}"


def lines(root: Path, rng: Random) -> str:
    """A line of a table is lost, there twice, or in another's place; or a field of it is another."""
    path = _cell(root, rng) / (ROWS, CURVES)[int(rng.integers(2))]
    text = path.read_text(encoding="utf-8").splitlines()
    at, to = (int(i) for i in rng.integers(len(text), size=2))
    kind = ("lost", "twice", "swapped", "field")[int(rng.integers(4))]
    if kind == "lost":
        del text[at]
    elif kind == "twice":
        text.insert(to, text[at])
    elif kind == "swapped":
        text[at], text[to] = text[to], text[at]
    else:
        fields = text[at].split(",")
        fields[int(rng.integers(len(fields)))] = ("", "-3", "99999", "nan", "1e400", "x", '"')[int(rng.integers(7))]
        text[at] = ",".join(fields)
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return f"line {kind} {path.name}"


def value(root: Path, rng: Random) -> str:
    """A value anywhere in cell.json is another, of any type."""
    path = _cell(root, rng) / CELL
    document = json.loads(path.read_text(encoding="utf-8"))
    places = list(_places(document))
    holder, key = places[int(rng.integers(len(places)))]
    holder[key] = VALUES[int(rng.integers(len(VALUES)))]
    path.write_text(json.dumps(document), encoding="utf-8")
    return f"value {key}"


def replace(root: Path, rng: Random) -> str:
    """A file is gone, empty, a folder, a pipe, a link into nowhere or in a circle, or huge."""
    path = _file(root, rng)
    path.unlink()
    kinds: dict[str, Callable[[], object]] = {
        "gone": lambda: None,
        "empty": path.touch,
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to("nowhere"),
        "circle": lambda: path.symlink_to(path.name),
        "zero": lambda: path.symlink_to("/dev/zero"),
        "deep": lambda: path.write_text("[" * 100_000),
        "huge": lambda: [path.touch(), os.truncate(path, 2**40)],
    }
    kind = sorted(kinds)[int(rng.integers(len(kinds)))]
    kinds[kind]()
    return f"{kind} {path.name}"


def copy(root: Path, rng: Random) -> str:
    """A cell lies there twice."""
    cell = _cell(root, rng)
    shutil.copytree(cell, cell.with_name(cell.name.replace("-s", "-s9")))
    return "copy"


MUTATIONS = (cut, turn, exchange, lines, value, replace, copy)


def _cell(root: Path, rng: Random) -> Path:
    cells = sorted(path for path in root.iterdir() if path.is_dir())
    return cells[int(rng.integers(len(cells)))]


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("*/*") if path.name in FILES)


def _file(root: Path, rng: Random) -> Path:
    cell = _cell(root, rng)
    return cell / FILES[int(rng.integers(len(FILES)))]


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, inner in items:
        yield node, key
        yield from _places(inner)


# ---------------------------------------------------------------------------------------------------- what is seen


class Seen:
    """What a sound store holds: the numbers that a damaged one may show, or leave out with a reason."""

    def __init__(self, root: Path) -> None:
        found = Results(root)
        self.rows = {tuple(row) for row in found.rows.astype(object).fillna("").itertuples(index=False)}
        self.cells = {cell.id: _numbers(cell.document) for cell in found.cells}
        self.bits = {cell.id: found.samples(cell.id) for cell in found.cells}
        self.curves = {cell: query.curves(found.folder(cell)) for cell in self.cells}

    def silent(self, root: Path) -> str:
        """What a damaged store shows otherwise or lacks without a word; nothing when all is well."""
        found = Results(root)
        rows = {tuple(row) for row in found.rows.astype(object).fillna("").itertuples(index=False)}
        if rows - self.rows:
            return f"other rows: {sorted(map(str, rows - self.rows))[:1]}"
        cells = {cell.id: cell for cell in found.cells}
        for name, cell in cells.items():
            if _numbers(cell.document) != self.cells.get(name):
                return f"{name} says something else"
            for path in (found.folder(name) / CURVES,):
                try:
                    found.must_be_written(path)
                    if path.exists() and not query.curves(path.parent).equals(self.curves[name]):
                        return f"{name} has other curves"
                except BenchError:
                    continue
            try:
                bits = found.samples(name)
            except BenchError:
                continue
            if bits and any(not np.array_equal(bits[key], known) for key, known in self.bits[name].items()):
                return f"{name} has other bits"
        if (self.rows - rows or self.cells.keys() - cells.keys()) and not found.problems:
            return "something is left out and nothing says so"
        return ""


def _numbers(cell: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in cell.items() if key not in ("status", "history", "failure", "seal")}


def verbs(root: Path, methods: list[str], output: Path) -> dict[str, list[str]]:
    """Every verb that reads a store."""
    at, ids = ["--results", str(root)], sorted(path.name for path in root.iterdir())
    return {
        "report": ["report", *at, "--output", str(output), "--format", "html,markdown,latex,csv", "--figures", "fig2"],
        "check": ["check", *at, "--allow-missing"],
        "compare": ["compare", *methods, *at],
        "findings": ["findings", *at],
        "status": ["status", *at, "--all"],
        "verify": ["verify", *at],
        "publish": ["publish", str(output / "published"), *at],
        **{f"show {name}": ["show", name, *at] for name in ids},
    }


def fault(words: list[str]) -> str:
    """What is wrong with how a verb ended: a traceback, or that it did not end; nothing when all is well."""

    def stop(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(PATIENCE)
    try:
        done = CliRunner().invoke(group, words, standalone_mode=False, catch_exceptions=True)
    finally:
        signal.alarm(0)
    error = done.exception
    if error is None or isinstance(error, BenchError | SystemExit):
        return ""
    return "".join(traceback.format_exception(error)[-3:])


def main() -> None:
    """Print a line a fault and how many mutations of each kind there were; exit code 1 when there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbs", default="", help="only these, separated by commas")
    given = parser.parse_args()
    kinds, faults = Counter[str](), 0
    with tempfile.TemporaryDirectory() as scratch:
        sound = Path(scratch) / "sound"
        sound.mkdir()
        grow(sound, 4)
        seen = Seen(sound)
        methods = sorted({cell.made.method for cell in Results(sound).cells})[:2]
        for number in range(given.count):
            rng = numpy_stream(given.seed, "mutation", number)
            root = Path(scratch) / "damaged" / str(number)
            shutil.copytree(sound, root)
            kind = MUTATIONS[int(rng.integers(len(MUTATIONS)))](root, rng)
            kinds[kind.partition(" ")[0]] += 1
            wrong = {"numbers": seen.silent(root)}
            for name, words in verbs(root, methods, Path(scratch) / "out").items():
                if not given.verbs or name.partition(" ")[0] in given.verbs.split(","):
                    wrong[name] = fault(words)
            for name, what in wrong.items():
                if what:
                    faults += 1
                    print(f"{number} {kind}: {name}: {what}")
            shutil.rmtree(root)
    print(f"{given.count} mutations ({', '.join(f'{n} {k}' for k, n in sorted(kinds.items()))}): {faults} faults.")
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
