"""`examples/quickstart.ipynb` from its first cell to its last, in a process and a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

#: the code cells of a notebook one after the other in one namespace, each one's last value printed as a kernel would
RUNNER = """
import ast, json, sys
space = {"__name__": "__main__"}
for cell in json.load(open(sys.argv[1], encoding="utf-8"))["cells"]:
    if cell["cell_type"] == "code":
        body = ast.parse("".join(cell["source"]))
        last = body.body.pop() if isinstance(body.body[-1], ast.Expr) else None
        exec(compile(body, "<cell>", "exec"), space)
        if last is not None:
            print(eval(compile(ast.Expression(last.value), "<cell>", "eval"), space))
"""


@pytest.fixture(scope="module")
def notebook(project):
    return project / "examples" / "quickstart.ipynb"


def test_it_is_stored_as_it_was_written(notebook):
    """Nothing of a run is in it: no output, no count, no machine."""
    body = json.loads(notebook.read_text(encoding="utf-8"))
    assert (body["nbformat"], body["nbformat_minor"]) == (4, 5)
    code = [cell for cell in body["cells"] if cell["cell_type"] == "code"]
    assert code
    assert {(cell["execution_count"], len(cell["outputs"])) for cell in code} == {(None, 0)}
    assert len({cell["id"] for cell in body["cells"]}) == len(body["cells"])


@pytest.mark.slow
def test_every_cell_runs(notebook, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUNNER, str(notebook)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for word in ("balanced", "mine", "Axes(", "report/report.html", "pgd-20"):
        assert word in done.stdout, done.stdout
    assert "2/2" in done.stderr
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000
