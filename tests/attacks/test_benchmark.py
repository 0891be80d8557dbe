"""The benchmark of the attacks runs, and ours and the peers agree on every image. Nothing is timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_verdicts_agree(project: Path, tmp_path: Path) -> None:
    words = [
        "--rounds",
        "1",
        "--images",
        "24",
        "--epochs",
        "1",
        "--only",
        "pgd-20,cw-l2",
        "--json",
        str(tmp_path / "out.json"),
    ]
    # its neighbours are imported from its own folder, which the environments of tox leave out
    here = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, str(project / "benchmarks" / "attacks.py"), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=here,
    )
    assert done.returncode == 0, done.stderr
    lines = json.loads((tmp_path / "out.json").read_text())["lines"]
    assert [line["verdicts that differ"] for line in lines] == [0, 0]
    assert all(line["robust ours"] < 1 for line in lines)
    assert len(done.stdout.splitlines()) == 2
