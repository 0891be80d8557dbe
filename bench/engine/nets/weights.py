"""Weights: their hash; and those of a network trained elsewhere: their files, and the names its parts have there.

A file holds safetensors or a state dict read with `weights_only`; anything else is a pickle, which can run code when it
is read, and is refused. Names are translated where published networks call the same part otherwise.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.errors import ModelError

#: keys under which training scripts keep the state dict beside other things
NESTS = ("network", "state_dict", "model_state_dict", "model", "net")
#: (pattern, replacement) in this order, for names of a file and of ours alike: what is one part gets one spelling
SPELLINGS = (
    (r"^(?:fc|linear|classifier|heads\.head)\.", "head."),  # before `backbone.` goes: a backbone may have an `fc` too
    (r"^backbone\.", ""),
    (r"^stages\.", ""),  # our pre-activation networks
    (r"^block(\d+)\.layer\.", r"layer\1."),  # published WideResNets, with `bn1` for the last norm
    (r"^bn1\.", "bn."),
    (r"\.(?:shortcut|downsample|convShortcut)\.(?:0\.)?", ".shortcut."),
)
#: a batch norm's count of steps, unused in evaluation; early versions of torch did not store it
COUNTER = "num_batches_tracked"
#: how files begin that `torch.save` wrote: a zip archive, or a pickle before torch 1.6
BEGINNINGS = (b"PK", b"\x80")


def tensor_hash(tensors: Mapping[str, Tensor], before: str = "") -> str:
    """64 hex digits of a text and of named tensors, in whatever order they come."""
    digest = hashlib.sha256(before.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def weights_mib(network: nn.Module) -> float:
    """Size of the parameters."""
    return round(sum(p.numel() * p.element_size() for p in network.parameters()) / 2**20, 3)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict of a file. Raises ModelError when it is absent, unreadable, a pickle, or holds no state dict."""
    if not path.is_file():
        raise ModelError(f"{path} does not exist; give a file of weights, or package.module:factory.")
    if path.suffix == ".safetensors":
        try:
            from safetensors.torch import load_file
        except ImportError:
            raise ModelError("safetensors is not installed; pip install 'robust-longtail-bench[weights]'.") from None
        try:
            return dict(load_file(path))
        except Exception as error:  # its reader raises its own type on a damaged file
            raise ModelError(f"{path} cannot be read as safetensors ({str(error).splitlines()[0]}).") from error
    with path.open("rb") as file:
        if not file.read(2).startswith(BEGINNINGS):
            raise ModelError(
                f"{path} is no file of weights; give what torch.save(network.state_dict(), PATH) wrote, a safetensors "
                "file, or package.module:factory."
            )
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} is refused: it is a pickle of objects, and reading one can run any code; "
            "save the network's state_dict() with torch.save, or safetensors, and give that."
        ) from error
    except Exception as error:  # torch's reader raises anything on a damaged file
        raise ModelError(f"{path} is damaged or cut short as a file of weights; copy or save it again.") from error
    for nest in ("", *NESTS):
        inner = found.get(nest) if nest and isinstance(found, Mapping) else found
        if isinstance(inner, Mapping) and inner and all(isinstance(v, Tensor) for v in inner.values()):
            return {str(k): v for k, v in inner.items()}
    raise ModelError(f"{path} holds no state dict (a mapping from names to tensors); save network.state_dict().")


def load_weights(network: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Fill a network strictly from a state dict, with its own names or those of published networks.

    `what`: the network in words, for the message. Raises ModelError that names the first keys that do not fit; the
    network is then as it was.
    """
    own = network.state_dict()
    names = _our_names(state, own)
    given = {ours: state[theirs] for theirs, ours in names.items()}
    unknown = [theirs for theirs, ours in names.items() if ours not in own or given[ours] is not state[theirs]]
    given |= {name: own[name] for name in own.keys() - given.keys() if name.endswith(COUNTER)}
    absent = [name for name in own if name not in given]
    sizes = [f"{name} {tuple(given[name].shape)} for {tuple(own[name].shape)}" for name in own
             if name in given and given[name].shape != own[name].shape]  # fmt: skip
    reasons = [f"{label} {', '.join(found[:3])}" for label, found in
               (("missing", absent), ("not known", unknown), ("of another shape", sizes)) if found]  # fmt: skip
    if reasons:
        raise ModelError(
            f"these weights do not fit {what}: {'; '.join(reasons)}; name the network they were trained with."
        )
    network.load_state_dict(given)


def _our_names(theirs: Iterable[str], ours: Iterable[str]) -> dict[str, str]:
    """The name here of each name of a file; a name that means nothing here stays.

    First as they stand inside their wrappers, then by common spelling: a network of the user may have an `fc` and a
    `linear`, which only the second takes for the same part.
    """
    theirs, ours = list(theirs), list(ours)
    cut, inner = _wrapper(theirs), _wrapper(ours)
    names: dict[str, str] = {}
    for spelled in (str, _spelled):
        known = {spelled(name[inner:]): name for name in ours}
        names = {name: known.get(spelled(name[cut:]), name) for name in theirs}
        if len({*names.values()} & {*ours}) == len(names):
            break
    return names


def _wrapper(names: list[str]) -> int:
    """Length of what stands before every name: `module.` of DataParallel, `model.` of a class around the network."""
    return os.path.commonprefix(names).rfind(".") + 1  # noqa: RUF071 - by character, then cut at a dot


def _spelled(name: str) -> str:
    """`layer2.0.downsample.0.weight` and `backbone.layer2.0.shortcut.0.weight` -> `layer2.0.shortcut.weight`."""
    for pattern, replacement in SPELLINGS:
        name = re.sub(pattern, replacement, name)
    return name
