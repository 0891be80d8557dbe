"""Every command of every page: guides are walked through as they stand, the rest is what the program understands."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bench.cli import group

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
#: guide -> what a reader has at its end
GUIDES = {
    "first-result": "report/report.html",
    "paper-table": "paper/paper.tex",
    "my-data": "results/runs",
    "my-checkpoint": "net.pt",
    "tuning": "results/runs/tunings",
    "ci": "check.xml",
    "python": "report/report.html",
}
#: the recorded run of the first page, in seconds instead of minutes
SHORT = {
    "--epochs 12": "--epochs 1 --limit 20",
    "pgd-20,aa": "pgd-20,'aa[steps=2,queries=5]'",
    "--attack aa": "--attack 'aa[steps=2,queries=5]'",
}
#: a stand-in for the package of Hugging Face, which would fetch: ten pictures as its data sets show them
HUB = """
from PIL import Image
class Names:
    names = ["cat", "dog"]
class Split(list):
    features = {"img": None, "label": Names()}
def load_dataset(name):
    rows = [{"img": Image.new("RGB", (8, 8), (9 * i, 0, 0)), "label": i % 2} for i in range(10)]
    return {"train": Split(rows), "test": Split(rows)}
"""


def module(name):
    """A file beside this one."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


pages = module("pages")


def called(line, site, cwd):
    """Run a line as a reader types it: `bench` and `python` of this environment, `pip install` into the reader's."""
    words = shlex.split(line)
    if words[:3] == ["pip", "install", "-e"]:
        more = ["-q", "--no-index", "--no-deps", "--no-build-isolation", "--target", str(site), str(cwd / words[3])]
        words = [sys.executable, "-m", "pip", "install", *more]
    else:
        words = [*{"bench": [sys.executable, "-m", "bench"], "python": [sys.executable]}[words[0]], *words[1:]]
    env = os.environ | {"PYTHONPATH": str(site), "MPLBACKEND": "agg", "COLUMNS": "80"}
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


@pytest.mark.slow
@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_is_walked_through(name, tmp_path):
    site, here = tmp_path / "site", tmp_path / "here"
    site.mkdir()
    here.mkdir()
    (site / "datasets.py").write_text(HUB)
    found = pages.steps(DOCS / f"{name}.md")
    assert {step.kind for step in found} & {"run", "python"}
    for step in found:
        if step.kind == "file":
            (here / step.name).write_text(step.text)
        elif step.kind == "python":
            called(f"python -c {shlex.quote(step.text)}", site, here)
        for line in step.text.splitlines() if step.kind == "run" else ():
            for long, short in SHORT.items() if name == "first-result" else ():
                line = line.replace(long, short)
            called(line, site, here)
    assert (here / GUIDES[name]).exists()
    if name == "ci":
        assert "<testsuites>" in (here / "check.xml").read_text()
        assert "passed" in (here / "summary.md").read_text()


@pytest.mark.parametrize(
    "page", [*sorted(DOCS.glob("*.md")), HERE.parents[1] / "README.md"], ids=lambda path: path.stem
)
def test_every_command_is_one_that_the_program_understands(page):
    """Verb, options and choices; what a command then finds on a machine is not asked."""
    for line in pages.commands(page.read_text(encoding="utf-8")):
        words = shlex.split(re.split(r"\s[|>]\s", line)[0].removesuffix("\\"), comments=True)[1:]
        if any(word.isupper() or "..." in word for word in words):
            continue  # a form to fill, no command
        try:
            understood(words)
        except (click.exceptions.Exit, SystemExit):
            pass  # --help and --version do what they say
        except click.ClickException as error:
            if not isinstance(error, click.BadParameter) or "does not exist" not in error.message:  # a reader's file
                pytest.fail(f"{page.name}: {line}: {error.format_message()}")


def understood(words):
    """Parse words as verbs and options, without calling them."""
    words = [word for word in words if word != "--verbose"]
    command, context = group, click.Context(group, info_name="bench")
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, words)
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=name, parent=context)
    command.make_context(command.name, list(words), parent=context)


def test_commands_are_found_and_a_wrong_one_is_noticed():
    text = "Do\n\n    bench ls   # all\n\nthen\n\n```sh\ncd x && bench report --format csv\n```\n"
    assert pages.commands(text) == ["bench report --format csv", "bench ls"]
    assert len(pages.commands((DOCS / "cli.md").read_text(encoding="utf-8"))) > 20
    for wrong in (["run", "--epoch-count", "3"], ["rnu"], ["data", "shwo"], ["report", "--test-split", "all"]):
        with pytest.raises(click.ClickException):
            understood(wrong)


def test_every_method_has_a_line_in_a_table():
    from bench.registry import registry

    lines = [line for line in (DOCS / "methods.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    told = {name for line in lines for name in re.findall("`([^`]+)`", line.split(" | ")[0])}
    assert set(registry("methods").names()) <= told


def test_a_block_of_commands_begins_with_its_indentation():
    """A first line without it is text, and the others go on from that."""
    for page in DOCS.glob("*.md"):
        lines = page.read_text(encoding="utf-8").splitlines()
        for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
            assert before or not line.startswith("python ") or not after.startswith("    "), f"{page.name}: {line}"


def test_the_reference_of_python_is_that_of_the_docstrings():
    text = (DOCS / "python.md").read_text(encoding="utf-8")
    assert module("make_api").written(text) == text, "run `python tests/docs/make_api.py`"
    assert text.count("### bench.") == 5


def test_the_workflow_runs_what_the_page_has_run():
    steps = pages.steps(DOCS / "ci.md")
    (workflow,) = [step.text for step in steps if step.kind == "workflow"]
    assert workflow.startswith("name: numbers\non: [push]\n")
    assert "\t" not in workflow
    runs = re.findall(r"- run: (bench .*)", workflow)
    walked = [line for step in steps if step.kind == "run" for line in step.text.splitlines()]
    assert len(runs) == 3
    assert runs[0].removesuffix(" --quiet") in walked


def test_the_pictures_are_those_of_the_stored_grid(tmp_path):
    """Written again, they say the same; another matplotlib may draw a line elsewhere."""
    spec = importlib.util.spec_from_file_location("pictures", DOCS.parent / "benchmarks" / "pictures.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for path in script.main(tmp_path):
        kept = (DOCS / "pictures" / path.name).read_text(encoding="utf-8")
        words = [re.findall(r"<!-- (.*?) -->", text) for text in (kept, path.read_text(encoding="utf-8"))]
        assert words[0] == words[1]
        assert len(words[0]) > 10
        assert f"pictures/{path.name}" in (DOCS / "reading.md").read_text(encoding="utf-8")
