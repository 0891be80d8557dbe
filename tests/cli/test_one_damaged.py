"""One damaged file costs one cell, whatever it holds now: every verb goes on with the others, and names the one."""

from __future__ import annotations

import json
import shutil

import pytest

from bench.cli import main
from bench.judge.reference import shipped

GOLDEN = shipped("golden")
#: the damaged one, then others
CELLS = [next(GOLDEN.glob(f"{name}-digitslt-ir10-s0-*")).name for name in ("trades", "at", "mart")]
WAYS = {
    "cut": lambda body: body[: len(body) // 2],
    "empty": lambda _: b"",
    "garbage": lambda _: b"\x00\xff{]" * 50,
    "another kind": lambda _: b"[1, 2]\n",
}
ALL = {"cell.json", "per_class.csv", "per_sample.npz"}
#: verb, and the files of whose damage its exit status tells; with the others it has nothing to do
VERBS = {
    ("status",): {"cell.json"},
    ("ls", "cells"): set(),
    ("report", "--tables", "overview", "--figures", "none", "--output", "{out}"): ALL,
    ("verify",): ALL,
    ("check", "--against", "{golden}", "--allow-missing"): ALL,
}


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


@pytest.mark.parametrize("name", ["cell.json", "per_class.csv", "per_sample.npz"])
@pytest.mark.parametrize("how", WAYS)
def test_every_verb_goes_on_with_the_other_cells_and_names_the_one(tmp_path, capsys, name, how):
    root = tmp_path / "runs"
    for cell in CELLS:
        shutil.copytree(GOLDEN / cell, root / cell)
    damaged = root / CELLS[0] / name
    damaged.write_bytes(WAYS[how](damaged.read_bytes()))
    for verb, told in VERBS.items():
        words = [word.format(out=tmp_path / "out", golden=GOLDEN) for word in verb]
        code = call(*words, "--results", str(root))
        out, err = capsys.readouterr()
        assert code == (name in told), (verb, out, err)
        assert "Traceback" not in out + err, verb
        if code:
            assert CELLS[0] in out + err, (verb, out, err)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert all(f'id="cell-{cell}"' in page for cell in CELLS[1:])
    assert call("ls", "cells", "--json", "--results", str(root)) == 0
    listed = {cell["cell"]: cell["state"] for cell in json.loads(capsys.readouterr().out)}
    assert listed == dict.fromkeys(CELLS, "done") | ({CELLS[0]: "damaged"} if name == "cell.json" else {})
