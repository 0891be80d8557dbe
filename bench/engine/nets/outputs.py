"""The logits in what a network returns: the tensor itself, or the one in a tuple, a mapping or an output object.

Many networks return features or a loss beside their logits. Where exactly one tensor of N x C stands in the output, or
one that is called `logits`, that is meant; anything else is a question to the user, not a guess.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from bench.errors import ModelError

#: what leads to the logits: keys of mappings, names of fields, positions; empty where the output is the tensor
Steps = tuple[str | int, ...]
#: how deep outputs are looked into
DEPTH = 4


def find_logits(output: Any, images: int, classes: int) -> Steps:
    """Where the logits of `images` images of `classes` classes stand in an output. Raises ModelError."""
    if isinstance(output, Tensor):
        check_logits(output, images, classes)
        return ()
    found = dict(_tensors(output, (), DEPTH))
    fitting = [steps for steps, z in found.items() if _fits(z, images, classes)]
    named = [steps for steps in fitting if steps[-1] == "logits"]
    chosen = named if len(named) == 1 else fitting
    if len(chosen) == 1:
        return chosen[0]
    wanted = f"it must give a tensor of N x {classes} logits"
    kind = type(output).__name__
    if not chosen:
        shapes = ", ".join(f"{in_words(s)} {_kind(z)} of shape {tuple(z.shape)}" for s, z in [*found.items()][:4])
        raise ModelError(
            f"the network gave a {kind}{f' with {shapes}' if shapes else ''} for {images} images; {wanted}."
        )
    several = ", ".join(in_words(steps) for steps in chosen[:4])
    raise ModelError(
        f"the network gave a {kind} with {len(chosen)} tensors of {images} x {classes} ({several}); {wanted}, "
        "so let it return the one that is meant."
    )


def pick(output: Any, steps: Steps) -> Any:
    """What stands at `steps` in an output."""
    for step in steps:
        keyed = isinstance(output, Mapping) or isinstance(step, int)
        output = output[step] if keyed else getattr(output, str(step))
    return output


def check_logits(z: Any, images: int, classes: int) -> None:
    """Raise ModelError unless z is a real tensor of images x classes."""
    if not isinstance(z, Tensor) or not z.is_floating_point() or z.layout != torch.strided:
        form = "" if not isinstance(z, Tensor) or z.layout == torch.strided else ", sparse"
        kind = f"{type(z).__name__} of {z.dtype}{form}" if isinstance(z, Tensor) else type(z).__name__
        raise ModelError(f"the network gave a {kind}; it must give a plain tensor of N x {classes} logits.")
    if z.ndim != 2 or z.shape != (images, classes):
        raise ModelError(
            f"the network gave an output of shape {tuple(z.shape)} for {images} images; "
            f"it must be {images} x {classes} logits."
        )


def in_words(steps: Steps) -> str:
    """`[0]`, `['logits']`, `.logits`: as it is written behind an output."""
    return "".join(f"[{step!r}]" for step in steps)


def _fits(z: Tensor, images: int, classes: int) -> bool:
    return z.is_floating_point() and z.shape == (images, classes)


def _kind(z: Tensor) -> str:
    return str(z.dtype).removeprefix("torch.")


def _tensors(output: Any, steps: Steps, depth: int) -> Iterator[tuple[Steps, Tensor]]:
    """(steps, tensor) of every tensor in an output."""
    for step, member in _members(output):
        if isinstance(member, Tensor):
            yield (*steps, step), member
        elif depth:
            yield from _tensors(member, (*steps, step), depth - 1)


def _members(output: Any) -> list[tuple[str | int, Any]]:
    if isinstance(output, Mapping):
        return [(key, member) for key, member in output.items() if isinstance(key, (str, int))]
    if isinstance(output, (list, tuple)):
        return [*enumerate(output)]
    if dataclasses.is_dataclass(output) or hasattr(output, "__dict__"):
        return [(name, member) for name, member in vars(output).items() if not name.startswith("_")]
    return []
