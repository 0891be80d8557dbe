"""Which gradient the training attack uses: the plain one, or a faster one that is equal where that is promised."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from bench.engine.inner import ascend

if TYPE_CHECKING:
    import torch

    from bench.config import CellSpec


def make_ascend(spec: CellSpec, device: torch.device) -> Callable[..., Tensor]:
    """The inner ascent of a cell on a device."""
    return ascend
