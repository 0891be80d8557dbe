"""Write the reference of `import bench` into docs/python.md from the docstrings: `python tests/docs/make_api.py`."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import bench
from bench import notebook

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"
MARK = "<!-- generated from the docstrings of bench/notebook.py by tests/docs/make_api.py -->\n"


def reference() -> str:
    """A section a function: its signature and its docstring."""
    parts = ["\n## Reference\n"]
    for name in ("run", "evaluate", "results", "compare", "report"):
        function = getattr(bench, name)
        assert function is getattr(notebook, name)
        signature, told = _signature(name, function), inspect.getdoc(function)
        parts.append(f"### bench.{name}\n\n```python\n{signature}\n```\n\n{told}\n")
    return "\n".join(parts)


def _signature(name: str, function: object) -> str:
    """A parameter a line, as it is written in the file."""
    found = inspect.signature(function)  # type: ignore[arg-type]
    lines, keyword = [], False
    for parameter in found.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword:
            lines.append("    *,")
            keyword = True
        lines.append(f"    {str(parameter).replace(chr(39), chr(34))},")
    return "\n".join([f"bench.{name}(", *lines, f") -> {found.return_annotation}"])


def written(text: str) -> str:
    """The page with the reference as it is now."""
    return re.sub(re.escape(MARK) + r"[\s\S]*", lambda _: MARK + reference(), text)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
