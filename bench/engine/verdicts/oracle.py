"""A network as an attack sees it: eval mode, weights frozen, input gradients only, every pass counted."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn

from bench.api import Objective
from bench.engine.nets.fold import agrees, fold, suits_channels_last
from bench.engine.nets.modes import evaluating
from bench.engine.nets.outputs import check_logits
from bench.errors import ModelError


class NetworkOracle:
    """`bench.api.Oracle` around an nn.Module; use it in a `with` block, which puts modes and gradients back.

    network: N x channels x H x W in [0,1] -> N x `num_classes` logits. `folded`: attack a copy with batch norm folded
    into the convolutions, if it agrees with the plain net on `probe` (a few images); `plain` always asks the net as it
    is. `forwards`, `backwards` count passes of one image each. Raises ModelError when outputs are not N x C or not
    finite. `dtype`: what the network is asked in (None: what it is given); answers come in the type of the images.
    """

    def __init__(
        self,
        network: nn.Module,
        num_classes: int,
        *,
        probe: Tensor | None = None,
        folded: bool = True,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.network, self.num_classes, self.dtype = network, num_classes, dtype
        self.channels_last = probe is not None and suits_channels_last(probe)
        self.forwards = self.backwards = 0
        self.folded = False
        self._want_fold, self._probe = folded, probe
        self._attacked = network
        self._entered = ExitStack()
        self._frozen: list[nn.Parameter] = []

    def __enter__(self) -> Self:
        self._entered.enter_context(evaluating(self.network))
        self._frozen = [p for p in self.network.parameters() if p.requires_grad]
        for parameter in self._frozen:
            parameter.requires_grad_(False)
        self._attacked = self.network
        if self._want_fold and self._probe is not None:
            copy = fold(self.network)
            if copy is not None and self.channels_last:
                copy.to_channels_last()
            if copy is not None and agrees(copy.net, self.network, self._asked(self._probe)):
                self._attacked, self.folded = copy.net, True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.close()
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        self._attacked, self.folded = self.network, False

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N x C) with a graph back to x if x asks for one; for code that takes gradients by itself."""
        z = self._ask(x)
        if z.requires_grad:
            z.register_hook(self._count_backward)  # type: ignore[no-untyped-call]
        return z

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """Logits (N x C) without a graph."""
        return self._ask(x.detach())

    def gradient(self, x: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
        """(gradient of the summed objective, logits at x), both without a graph; zeros where nothing flows back."""
        x = x.detach().requires_grad_(True)
        with torch.enable_grad():
            z = self._ask(x)
            value = objective(z).sum() if z.requires_grad else None
        if value is None:
            return torch.zeros_like(x), z.detach()
        self.backwards += len(x)
        (gradient,) = torch.autograd.grad(value, [x], materialize_grads=True)
        return gradient, z.detach()

    @torch.no_grad()
    def plain(self, x: Tensor) -> Tensor:
        """Logits (N x C) of the network as it is, in its own precision: the only source of verdicts."""
        self.forwards += len(x)
        z: Tensor = self.network(self._asked(x))
        check_logits(z, len(x), self.num_classes)
        if not torch.isfinite(z).all():
            raise ModelError("the network gave logits that are NaN or infinite; it cannot be evaluated.")
        return z.to(x.dtype)

    def _asked(self, x: Tensor) -> Tensor:
        """A copy of the images in the network's type: a network may change what it is given."""
        return x.to(self.dtype or x.dtype, copy=True)

    def _ask(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        if self.folded and self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        z: Tensor = self._attacked(self._asked(x))
        return z.to(x.dtype)

    def _count_backward(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)
