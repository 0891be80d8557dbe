"""Weights: their hash; and those of a network trained elsewhere, found among the tensors of a file by their names.

The weights are where all names of the network stand beneath one prefix (`model.`, `state_dict.module.`, none). Names
are translated where published networks call the same part otherwise.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import ModelError, UsageError

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
#: what else stands beside weights and says nothing about the function: torch's count of averaged networks
COUNTED = "n_averaged"


def tensor_hash(tensors: Mapping[str, Any], before: str = "") -> str:
    """64 hex digits of a text and of named tensors, in whatever order they come; what is no tensor is left out."""
    digest = hashlib.sha256(before.encode())
    for name, tensor in sorted(tensors.items()):
        if not isinstance(tensor, Tensor):  # packed weights of a quantised network, state of its own kind
            continue
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def weights_mib(network: nn.Module) -> float:
    """Size of the parameters."""
    return round(sum(p.numel() * p.element_size() for p in network.parameters()) / 2**20, 3)


@dataclass(frozen=True)
class Entry:
    """Where in a file the weights of a network stand. `prefix`: empty, or dotted with a dot at its end.

    `names`: of the file -> of the network. `beside`: other tensors of the same mapping, which the network has not.
    """

    prefix: str
    names: Mapping[str, str]
    beside: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What `--entry` calls it; empty for the whole file."""
        return self.prefix.rstrip(".")


def load_weights(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    what: str,
    *,
    level: Mapping[str, str] | None = None,
    entry: str | None = None,
) -> Entry:
    """Fill a network strictly from the tensors of a file, with its own names or those of published networks.

    `what`: the network in words, for the message. `level`: path of the mapping that each tensor lies in, as
    `bench.engine.nets.files.Stored` has it (None: all in one). `entry`: the part of the file to look in. Returns where
    they were found. Raises ModelError that names the first keys that do not fit, or the entries that all fit but
    differ, and UsageError for an entry that is not there; the network is then as it was.
    """
    own = {name: value for name, value in network.state_dict().items() if isinstance(value, Tensor)}
    inside = _by_prefix(tensors)
    if entry is not None:
        above = entry.strip(".") + "."
        if above not in inside:
            raise UsageError(f"--entry '{entry}' is not in the file; it has {_listed(_tops(tensors, level))}.")
        inside = {prefix: names for prefix, names in inside.items() if prefix.startswith(above)}
    fits = [
        Entry(prefix, names)
        for prefix, theirs in inside.items()
        if (names := _fitting(prefix, theirs, own, tensors)) is not None
    ]
    if not fits:
        raise _misfit(inside, own, tensors, what)
    chosen, given = fits[0], _values(fits[0], tensors)
    if any(not _equal(given, _values(other, tensors)) for other in fits[1:]):
        keys = ", ".join(f"'{fit.key}'" for fit in fits if fit.key)
        raise ModelError(f"several entries fit {what}, and they differ: {keys}; choose one with --entry KEY.")
    given |= {name: own[name] for name in own.keys() - given.keys()}  # counters that the file lacks
    try:
        network.load_state_dict(given, strict=False)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise ModelError(f"these weights do not fit {what}: {' '.join(str(error).split())[:200]}.") from error
    levels = {level[name] for name in chosen.names} if level else {""}
    beside = (
        name
        for name in tensors
        if not name.startswith(chosen.prefix)
        and (level[name] if level else "") in levels
        and not name.endswith((COUNTER, COUNTED))
    )
    return Entry(chosen.prefix, chosen.names, tuple(beside) if chosen.prefix else ())


def _by_prefix(names: Iterable[str]) -> dict[str, list[str]]:
    """Every dotted prefix of the names, the empty one first -> the names beneath it."""
    found: dict[str, list[str]] = {"": []}
    for name in names:
        ends = [0, *(dot.end() for dot in re.finditer(r"\.", name))]
        for end in ends:
            found.setdefault(name[:end], []).append(name)
    return found


def _tops(tensors: Mapping[str, Tensor], level: Mapping[str, str] | None) -> list[str]:
    """The mappings of a file that hold tensors, else the first parts of their names."""
    levels = {at.rstrip(".") for at in (level or {}).values()} - {""}
    return sorted(levels or {name.partition(".")[0] for name in tensors})


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:8]) + (", ..." if len(names) > 8 else "")


def _fitting(
    prefix: str, theirs: list[str], own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> dict[str, str] | None:
    """The network's name of each of these names, when they are all of its names and of its shapes and kinds."""
    needed = {name for name in own if not name.endswith(COUNTER)}
    if sum(not name.endswith(COUNTER) for name in theirs) != len(needed):
        return None
    names = _our_names(prefix, theirs, own)
    given = [*names.values()]
    sound = len({*given}) == len(given) and needed <= {*given} <= {*own}
    alike = sound and all(tensors[theirs].shape == own[ours].shape for theirs, ours in names.items())
    return names if alike and not _other_kinds(_values(Entry(prefix, names), tensors), own) else None


def _other_kinds(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Names whose numbers cannot be the network's: whole ones are no weights, and complex ones would lose a part."""
    both = [name for name in own if name in given and not name.endswith(COUNTER)]
    return [
        name
        for name in both
        if given[name].is_floating_point() != own[name].is_floating_point()
        or given[name].is_complex() != own[name].is_complex()
    ]


def _values(entry: Entry, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {ours: tensors[theirs] for theirs, ours in entry.names.items()}


def _equal(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    kept = [name for name in one if not name.endswith(COUNTER)]
    return all(one[name].dtype == two[name].dtype and torch.equal(one[name], two[name]) for name in kept)


def _misfit(
    inside: Mapping[str, list[str]], own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], what: str
) -> ModelError:
    """What is wrong with the entry that comes nearest."""
    common = _wrapper([*tensors])
    tried = {prefix: _our_names(prefix, theirs, own) for prefix, theirs in inside.items()}
    best = max(tried, key=lambda p: (len({*tried[p].values()} & {*own}), len(p) == common, -len(p)))
    names = tried[best]
    given = {ours: tensors[theirs] for theirs, ours in names.items()}
    unknown = [theirs for theirs, ours in names.items() if ours not in own or given[ours] is not tensors[theirs]]
    absent = [name for name in own if name not in given and not name.endswith(COUNTER)]
    sizes = [
        f"{name} {tuple(given[name].shape)} for {tuple(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    kinds = [f"{name} {_kind(given[name])} for {_kind(own[name])}" for name in _other_kinds(given, own)]
    told = (("missing", absent), ("not known", unknown), ("of another shape", sizes), ("of another kind", kinds))
    reasons = [f"{label} {', '.join(found[:3])}" for label, found in told if found]
    mend = "name the network they were trained with" if absent or unknown or sizes else "save them as they were trained"
    return ModelError(f"these weights do not fit {what}: {'; '.join(reasons)}; {mend}.")


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def begin(network: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Fill a network as `load_weights` does, but its head with what there is of it; the rest stays as it was drawn.

    Raises ModelError when the backbone is another, or the head one of other classes.
    """
    try:
        load_weights(network, tensors, what)
        return
    except ModelError as error:
        strict = error
    own = network.state_dict()
    heads = {name: value for name, value in own.items() if name.startswith("head.")}
    body = {name for name in own.keys() - heads.keys() if not name.endswith(COUNTER)}
    for prefix, theirs in _by_prefix(tensors).items():
        names = _our_names(prefix, theirs, own)
        beside = [name for name, ours in names.items() if ours not in own]
        if body <= {*names.values()} and all(_spelled(name[len(prefix) :]).startswith("head.") for name in beside):
            load_weights(network, heads | {o: tensors[t] for t, o in names.items() if o in own}, what)
            return
    raise strict


def _our_names(prefix: str, theirs: Iterable[str], ours: Iterable[str]) -> dict[str, str]:
    """The name in the network of each name of a file beneath `prefix`; a name that means nothing there stays.

    First as they stand, then by common spelling: a network of the user may have an `fc` and a `linear`, which only the
    second takes for the same part.
    """
    theirs, ours = list(theirs), list(ours)
    inner = _wrapper(ours)
    names: dict[str, str] = {}
    spellings: tuple[Callable[[str], str], ...] = (str, _spelled)
    for spelled in spellings:
        known = {spelled(name[inner:]): name for name in ours}
        names = {name: known.get(spelled(name[len(prefix) :]), name) for name in theirs}
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
