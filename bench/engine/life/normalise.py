"""The normalisation that a network expects of its images: as the user writes it, or as its file of weights holds it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from bench.config import format_number
from bench.errors import ModelError, UsageError

Constants = tuple[list[float], list[float]]
#: last parts of names under which layers of normalisation keep their two constants
MEANS, STDS = r"(?:^|[._])(?:means?|mu)", r"(?:^|[._])(?:stds?|sigma)"


def parse_normalisation(text: str | None, channels: int) -> tuple[list[float] | None, list[float] | None]:
    """`0.5,0.5,0.5/0.2,0.2,0.2` -> (mean, std); one number stands for all channels. Raises UsageError."""
    if text is None:
        return None, None
    try:
        mean, std = ([float(v) for v in part.split(",")] for part in text.split("/"))
    except ValueError:
        mean, std = [], []
    lengths = {len(mean), len(std)}
    if not lengths <= {1, channels} or 0 in lengths or not _sound(mean, std):
        numbers = "one of each" if channels == 1 else f"one or {channels} of each"
        example = f"{','.join(['0.5'] * channels)}/{','.join(['0.25'] * channels)}"
        raise UsageError(
            f"--normalize '{text}' cannot be read; write means in [0,1], a slash and standard deviations above 0 and "
            f"up to 1, {numbers}, such as {example}."
        )
    return mean * (channels // len(mean)), std * (channels // len(std))


def beside_weights(tensors: Mapping[str, Tensor], names: Iterable[str], channels: int) -> tuple[str | None, set[str]]:
    """(`MEANS/STDS` of a layer of normalisation among tensors that stand beside the weights, the names it is made of).

    None without one, and where it changes nothing. Raises ModelError where there is one that cannot be used.
    """
    names = list(names)
    means = {name for name in names if re.search(f"{MEANS}$", name)}
    stds = {name for name in names if re.search(f"{STDS}$", name)}
    if not means and not stds:
        return None, set()
    shown = ", ".join(sorted(means | stds))
    ask = ModelError(
        f"beside its weights the file holds {shown}, constants of a normalisation that cannot be used as they are; "
        "say with --normalize MEANS/STDS which is meant."
    )
    if len(means) != 1 or len(stds) != 1 or any(tensors[name].is_complex() for name in means | stds):
        raise ask
    mean, std = (_constants(tensors[one.pop()]) for one in (set(means), set(stds)))
    if not {len(mean), len(std)} <= {1, channels} or not _sound(mean, std):
        raise ask
    if not any(mean) and all(s == 1 for s in std):
        return None, means | stds
    return "/".join(",".join(map(format_number, values)) for values in (mean, std)), means | stds


def _constants(tensor: Tensor) -> list[float]:
    """Its values as the shortest numbers that are stored as the same ones: 0.4914, not 0.49140000343322754."""
    exact = tensor.detach().flatten().to(torch.float64 if tensor.dtype == torch.float64 else torch.float32)
    return [float(str(value)) for value in exact.numpy()]


def _sound(mean: list[float], std: list[float]) -> bool:
    return all(0 <= m <= 1 for m in mean) and all(0 < s <= 1 for s in std)  # NaN is neither
