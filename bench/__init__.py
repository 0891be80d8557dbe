"""A benchmark harness for adversarial training on long-tailed data.

In a notebook or a script: `import bench`, then `bench.run`, `bench.evaluate`, `bench.results`, `bench.compare` and
`bench.report` (see `bench.notebook`). They are imported when they are first used, so importing this costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.errors import BenchError
    from bench.notebook import compare, evaluate, report, results, run

__all__ = ["BenchError", "compare", "evaluate", "report", "results", "run"]


def __getattr__(name: str) -> Any:
    """One of `__all__`, imported now."""
    if name not in __all__:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module("bench.errors" if name == "BenchError" else "bench.notebook"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
