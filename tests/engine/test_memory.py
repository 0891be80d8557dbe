"""The peak of a stage is its own: what was freed before does not count."""

import sys

import pytest
import torch

from bench.engine.host.memory import peak_memory, reset_peak

CPU = torch.device("cpu")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's high-water mark is Linux's")
def test_a_peak_is_forgotten_once_it_is_over():
    reset_peak(CPU)
    start = peak_memory(CPU)
    block = torch.ones(64 * 2**20)  # 256 MiB
    with_block = peak_memory(CPU)
    del block
    assert with_block >= start + 250
    assert peak_memory(CPU) >= with_block - 2  # the kernel counts in batches of pages
    reset_peak(CPU)
    assert peak_memory(CPU) <= with_block - 200
