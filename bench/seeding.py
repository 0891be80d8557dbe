"""Named random streams. Nothing in this project seeds or draws from a global generator.

Every draw belongs to a stream named by an axis (`subset`, `init`, `order`, `augment`, `inner`, `evaluation`, ...) and,
where it recurs, by its epoch; its seed is a hash of the root seed and that name. So a killed run needs no generator
state to go on, an evaluation cannot disturb training, and two methods with one seed see the same images in the same
order. Draws of an evaluation belong to the image (`CounterNoise`): they do not know what else is in the batch.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def stream_seed(root: int, *axis: str | int) -> int:
    """A 63-bit seed from the root seed and a stream's name: `stream_seed(0, "order", epoch)`."""
    text = "/".join(str(part) for part in (root, *axis))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_stream(root: int, *axis: str | int) -> np.random.Generator:
    """A private NumPy generator for a stream."""
    return np.random.Generator(np.random.PCG64(stream_seed(root, *axis)))


def torch_stream(root: int, *axis: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A private torch generator for a stream, on `device`."""
    import torch

    generator = torch.Generator(device=device)
    generator.manual_seed(stream_seed(root, *axis))
    return generator


@contextmanager
def isolated(root: int, *axis: str | int, cuda: bool = False) -> Iterator[None]:
    """Run foreign code that draws from the global generators, without anybody noticing.

    The global states of torch (and CUDA if asked), NumPy and `random` are set from the stream inside the block and
    put back after it. The only door to them: third-party constructors and packages offer no generator argument.
    """
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    seed = stream_seed(root, *axis)
    devices = list(range(torch.cuda.device_count())) if cuda else []
    with torch.random.fork_rng(devices=devices):
        try:
            torch.default_generator.manual_seed(seed)
            if devices:
                torch.cuda.manual_seed_all(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


class StreamNoise:
    """The noise of training: draws of one torch generator, in the order in which a method asks for them."""

    def __init__(self, generator: torch.Generator, dtype: torch.dtype) -> None:
        self.generator, self.dtype = generator, dtype

    def gaussian(self, shape: Sequence[int]) -> torch.Tensor:
        """Standard normal draws of the given shape."""
        import torch

        return torch.randn(tuple(shape), generator=self.generator, device=self.generator.device, dtype=self.dtype)

    def rand(self, shape: Sequence[int]) -> torch.Tensor:
        """Uniform draws in [0, 1)."""
        import torch

        return torch.rand(tuple(shape), generator=self.generator, device=self.generator.device, dtype=self.dtype)

    def uniform(self, shape: Sequence[int], low: float, high: float) -> torch.Tensor:
        """Uniform draws in [low, high)."""
        return low + (high - low) * self.rand(shape)


class CounterNoise:
    """The noise of an evaluation: a hash of (stream, image, draw, position), so each image has its own.

    `images` are the images' indices in the test set (any int64 vector). The same image gets the same draws whatever
    the batch, its size, the device or the number of processes. The generator is the finaliser of SplitMix64 applied
    twice to a counter; it needs only integer arithmetic, so CPU and GPU agree to the last bit.
    """

    def __init__(self, root: int, *axis: str | int, images: torch.Tensor, dtype: torch.dtype) -> None:
        self.seed, self.images, self.dtype = stream_seed(root, *axis), images.to("cpu").long(), dtype
        self.device = images.device
        self.draw = 0

    def subset(self, keep: torch.Tensor) -> CounterNoise:
        """The noise of the images chosen by an index or a mask; it goes on at the same draw."""
        other = object.__new__(CounterNoise)
        other.seed, other.dtype, other.device, other.draw = self.seed, self.dtype, self.device, self.draw
        other.images = self.images[keep.to("cpu")]
        return other

    def bits(self, shape: Sequence[int], draw: int | None = None) -> torch.Tensor:
        """Int64 of the given shape (first axis: images), each a hash; `draw` numbers the draw (default: the next)."""
        import torch

        if draw is None:
            draw, self.draw = self.draw, self.draw + 1
        per_image = 1
        for size in shape[1:]:
            per_image *= size
        first = _mix(_mix(self.images.to(self.device) + _signed(self.seed)) + _signed(draw * _GOLDEN))
        position = torch.arange(per_image, device=self.device, dtype=torch.int64) * _signed(_GOLDEN)
        return _mix(_mix(first[:, None] + position[None, :])).reshape(tuple(shape))

    def rand(self, shape: Sequence[int], draw: int | None = None) -> torch.Tensor:
        """Uniform draws in [0, 1) with 24 random bits, shape (images, ...)."""
        return ((self.bits(shape, draw) >> 40) & 0xFFFFFF).to(self.dtype) / 2**24

    def uniform(self, shape: Sequence[int], low: float, high: float, draw: int | None = None) -> torch.Tensor:
        """Uniform draws in [low, high), shape (images, ...)."""
        return low + (high - low) * self.rand(shape, draw)

    def gaussian(self, shape: Sequence[int], draw: int | None = None) -> torch.Tensor:
        """Standard normal draws (Box-Muller), shape (images, ...)."""
        import torch

        bits = self.bits(shape, draw)
        radius = (((bits >> 40) & 0xFFFFFF).to(torch.float64) + 1) / 2**24
        angle = ((bits >> 16) & 0xFFFFFF).to(torch.float64) / 2**24
        return (torch.sqrt(-2 * torch.log(radius)) * torch.cos(2 * torch.pi * angle)).to(self.dtype)


_GOLDEN = 0x9E3779B97F4A7C15


def _signed(value: int) -> int:
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def _mix(x: torch.Tensor) -> torch.Tensor:
    """SplitMix64's finaliser on wrapping int64 (shifts made logical by masking the sign bits)."""
    x = (x ^ ((x >> 30) & (2**34 - 1))) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ ((x >> 27) & (2**37 - 1))) * _signed(0x94D049BB133111EB)
    return x ^ ((x >> 31) & (2**33 - 1))


def global_states() -> dict[str, Any]:
    """The state of each global random generator that exists by now, in a form that compares."""
    states: dict[str, Any] = {"random": random.getstate()}
    if numpy := sys.modules.get("numpy"):
        _, keys, *rest = numpy.random.get_state()
        states["numpy"] = (keys.tobytes(), *rest)
    if torch := sys.modules.get("torch"):
        states["torch"] = torch.get_rng_state().numpy().tobytes()
    return states
