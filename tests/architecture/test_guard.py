"""The guard of tests/conftest.py sees what it is there to see."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from bench.seeding import isolated, torch_stream

SINNERS = {
    "random": lambda: random.random(),
    "numpy": lambda: np.random.random(),  # noqa: NPY002 - the sin itself
    "torch": lambda: torch.rand(1),
}


@pytest.fixture
def states(request):
    """The function that reads the global generators, from the conftest at the root of the tests."""
    plugin = request.config.pluginmanager.get_plugin(str(request.config.rootpath / "tests" / "conftest.py"))
    return plugin._global_states


@pytest.mark.parametrize("name", SINNERS)
def test_a_draw_is_seen_and_isolation_hides_it(states, name):
    before = states()
    with isolated(0, "test"):
        SINNERS[name]()
        assert states()[name] != before[name]
    assert states() == before


def test_a_private_stream_is_not_seen(states):
    before = states()
    torch.rand(3, generator=torch_stream(0, "test"))
    assert states() == before
