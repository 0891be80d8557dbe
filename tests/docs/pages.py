"""What the pages of the documentation tell a reader to type, in order: files to write and commands to run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


class Step(NamedTuple):
    """`file`: write `text` as `name`; `run`: its lines are commands; `python`: run it; `workflow`: a file to copy."""

    kind: str
    name: str
    text: str


def steps(page: Path) -> list[Step]:
    """The marked blocks of a page: an HTML comment (`<!-- file: NAME -->`, `<!-- run -->`, ...) before a code block."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"<!-- (file|run|python|workflow)(?:: (\S+))? -->\n```\w+\n([\s\S]*?)```\n", text)
    return [Step(*one) for one in found]


def commands(text: str) -> list[str]:
    """Every command of bench in the code blocks of a page, marked or not, without comments and what comes before it."""
    blocks = re.findall(r"^```\w*\n([\s\S]*?)^```", text, flags=re.MULTILINE)
    rest = re.sub(r"^```[\s\S]*?^```", "", text, flags=re.MULTILINE)
    indented = re.findall(r"(?:^ {4}\S.*\n)+", rest, flags=re.MULTILINE)
    lines = [line.strip() for block in (*blocks, *indented) for line in block.splitlines()]
    joined = [part.strip() for line in lines for part in line.split(" && ")]
    called = [re.sub(r"^(?:- run: )?(?:\.venv/bin/)?", "", line) for line in joined]
    return [re.split(r"\s+#\s", line)[0] for line in called if line.startswith("bench ")]
