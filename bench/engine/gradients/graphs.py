"""The network's half of an attack gradient: images to features, and a slope on the features back to the images.

`Eager` launches every kernel. `Replayed` records both directions once as CUDA graphs over fixed buffers and replays
them, so that a step costs the host two launches instead of a few hundred. The head and the objective stay outside: they
are a method's own, their closures hold tensors that change from batch to batch, and a recording must never hold those.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor

log = logging.getLogger("bench")

#: images (N x channels x H x W) -> features (N x D), differentiable
Features = Callable[[Tensor], Tensor]
#: batch shapes that are recorded (full, last, and two more); others run eagerly, because a recording holds memory
SHAPES = 4
#: passes before a recording, in which libraries choose their kernels
WARM_UP = 3


class Engine(Protocol):
    """Both directions of one pass."""

    def forward(self, x: Tensor) -> Tensor:
        """Features of constant images x, without a graph; `pullback` refers to the latest call."""

    def pullback(self, slope: Tensor) -> Tensor:
        """Gradient with respect to the images, for the gradient `slope` with respect to the features."""


class Eager:
    """Autograd, kernel by kernel."""

    def __init__(self, features: Features) -> None:
        self.features = features
        self._pass: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """See Engine."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            out = self.features(x)
        self._pass = x, out
        return out.detach()

    def pullback(self, slope: Tensor) -> Tensor:
        """See Engine."""
        assert self._pass is not None
        (x, out), self._pass = self._pass, None
        return torch.autograd.grad(out, x, slope)[0]


class Recorder(Protocol):
    """Turns code into something that can be replayed."""

    def record(self, code: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """(replay, output): `replay()` runs the code's kernels again and leaves their result in `output`."""


class CudaRecorder:
    """CUDA graphs that share one memory pool."""

    def __init__(self) -> None:
        self.pool: Any = None

    def record(self, code: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """See Recorder. Raises RuntimeError when the code cannot be recorded."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            out = code().detach()
        self.pool = graph.pool()
        return graph.replay, out


class Recording:
    """Both directions for one batch shape, over buffers that stay where they are."""

    def __init__(
        self, features: Features, like: Tensor, recorder: Recorder, quiet: AbstractContextManager[Any]
    ) -> None:
        self.x = torch.empty_like(like).copy_(like).requires_grad_(True)
        live: dict[str, Tensor] = {}

        def there() -> Tensor:
            live["out"] = features(self.x)
            return live["out"]

        def back() -> Tensor:
            return torch.autograd.grad(live["out"], self.x, self.slope)[0]

        with torch.enable_grad(), quiet:
            self.slope = torch.ones_like(there().detach())
            for _ in range(WARM_UP):
                there()
                back()
            self._forward, self.out = recorder.record(there)
            self._pullback, self.gradient = recorder.record(back)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """See Engine; the result is overwritten by the next call."""
        self.x.copy_(x)
        self._forward()
        return self.out

    @torch.no_grad()
    def pullback(self, slope: Tensor) -> Tensor:
        """See Engine; the result is overwritten by the next call."""
        self.slope.copy_(slope)
        self._pullback()
        return self.gradient


class Replayed:
    """An Engine that records each batch shape when it meets it, and runs eagerly what cannot be recorded.

    `autocast` makes the block in which kernels run; inside a recording its cache of weights must be off, because a
    cached copy would go stale.
    """

    def __init__(
        self, features: Features, recorder: Recorder, autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    ) -> None:
        self.features, self.recorder, self.autocast = features, recorder, autocast
        self.eager = Eager(features)
        self.recordings: dict[tuple[int, ...], Recording] = {}
        self.failed = False
        self._current: Engine = self.eager

    def forward(self, x: Tensor) -> Tensor:
        """See Engine."""
        self._current = self._engine(x)
        return self._current.forward(x)

    def pullback(self, slope: Tensor) -> Tensor:
        """See Engine."""
        return self._current.pullback(slope)

    def _engine(self, x: Tensor) -> Engine:
        shape = tuple(x.shape)
        if shape not in self.recordings and not self.failed and len(self.recordings) < SHAPES:
            try:
                with aside(x.device):
                    self.recordings[shape] = Recording(self.features, x.detach(), self.recorder, self.autocast())
            except RuntimeError as error:
                self.failed = True
                log.warning("the attack step cannot be recorded and runs kernel by kernel: %s", error)
        return self.recordings.get(shape, self.eager)


def aside(device: torch.device) -> AbstractContextManager[Any]:
    """A stream of its own for warm-up passes on a GPU, as recording asks for; nothing on a CPU."""
    if device.type != "cuda":
        return nullcontext()
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    return torch.cuda.stream(stream)
