"""What every test stands on: one thread, no network, private caches, and untouched global random generators.

The environment is set before torch can be imported, and child processes inherit it.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_PRIVATE = tempfile.TemporaryDirectory(prefix="bench-tests-", ignore_cleanup_errors=True)
#: settings a user may have made that would change what a test sees
_FOREIGN = ("BENCH_RESULTS", "BENCH_DATA", "BENCH_CALIBRATION", "PYTHONWARNINGS", "COLUMNS")

os.environ.update(
    OMP_NUM_THREADS="1",
    BENCH_OFFLINE="1",
    CUDA_VISIBLE_DEVICES="",
    XDG_CACHE_HOME=str(Path(_PRIVATE.name, "cache")),
    MPLCONFIGDIR=str(Path(_PRIVATE.name, "matplotlib")),
    TORCH_HOME=str(Path(_PRIVATE.name, "torch")),
    MPLBACKEND="agg",
)
for _name in _FOREIGN:
    os.environ.pop(_name, None)


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parents[1]


def _global_states() -> dict[str, Any]:
    """The state of every global generator that exists by now, in a form that compares."""
    _, key, *rest = np.random.get_state()
    states: dict[str, Any] = {"random": random.getstate(), "numpy": (key.tobytes(), *rest)}
    if "torch" in sys.modules:
        states["torch"] = sys.modules["torch"].get_rng_state().numpy().tobytes()
    return states


@pytest.fixture(autouse=True)
def _global_generators_stay_still() -> Iterator[None]:
    """Fail a test in which anybody seeded or drew from a global generator of `random`, NumPy or torch."""
    before = _global_states()
    yield
    after = _global_states()
    moved = [name for name, state in before.items() if after[name] != state]
    assert not moved, f"the global random generator of {', '.join(moved)} moved; draw from a bench.seeding stream."
