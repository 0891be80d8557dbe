"""Verbs that only read or explain start at once: what is slow to import is not imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: packages whose import alone takes a good part of the half second that a verb may take
HEAVY = ("torch", "torchvision", "sklearn", "scipy", "matplotlib", "pandas", "medmnist", "pyautoattack", "timm")
VERBS = ["--help", "ls", "ls methods", "ls presets", "report --help", "check --help", "run --help", "estimate --help",
         "show --help", "doctor --help"]  # fmt: skip

CODE = """
import sys
from bench.cli import main
code = 0
try:
    main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_heavy_is_imported(verb, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CODE, *verb.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert set(done.stderr.split()) & set(HEAVY) == set()


def test_a_package_that_is_imported_would_be_seen(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CODE.replace("import sys\n", "import sys, pandas\n", 1), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
        timeout=120,
    )
    assert "pandas" in done.stderr.split()
