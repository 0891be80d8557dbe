"""A network trained elsewhere, through the same attack suite into the same tables.

Weights are safetensors or a state dict read with `weights_only`; anything else is a pickle, which can run code when it
is read, and is refused. A network comes from our registry with the weights of a file, or from a function of the user.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import pickle
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.config import CellSpec, Recipe, Task
from bench.engine.cell import CellRun, Emit
from bench.engine.data import CellData
from bench.engine.inputs import check_network
from bench.engine.network import Network, assemble
from bench.engine.oracle import NetworkOracle
from bench.engine.settings import Settings
from bench.errors import ModelError, UsageError
from bench.registry import registry
from bench.seeding import isolated

#: names of the one linear layer that published networks end with
HEADS = ("fc", "linear", "classifier", "head", "heads.head")
#: keys under which training scripts keep the state dict beside other things
NESTS = ("network", "state_dict", "model_state_dict", "model", "net")
RECIPE = Recipe(name="external", epochs=1, full_epochs=1, milestones=(), factors=(), augment="none")


class Wrapped(nn.Module):
    """Images in [0,1] -> logits in this benchmark's class order: normalisation before, a reordering after.

    `mean`, `std`: one constant a channel, or none. `order`: the network's class of each of our class indices.
    """

    mean: Tensor | None
    std: Tensor | None
    order: Tensor

    def __init__(
        self, network: nn.Module, mean: Sequence[float] | None, std: Sequence[float] | None, order: Sequence[int]
    ) -> None:
        super().__init__()
        self.network, self.sorted = network, list(order) == list(range(len(order)))
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, None if values is None else torch.tensor(list(values)).view(1, -1, 1, 1))
        self.register_buffer("order", torch.tensor(list(order)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits N x C of images N x channels x H x W in [0,1]."""
        if self.mean is not None and self.std is not None:
            x = (x - self.mean) / self.std
        z: Tensor = self.network(x)
        return z if self.sorted else z[:, self.order]


def parse_normalisation(text: str | None, channels: int) -> tuple[list[float] | None, list[float] | None]:
    """`0.5,0.5,0.5/0.2,0.2,0.2` -> (mean, std); one number stands for all channels. Raises UsageError."""
    if text is None:
        return None, None
    try:
        mean, std = ([float(v) for v in part.split(",")] for part in text.split("/"))
    except ValueError:
        mean, std = [], []
    lengths = {len(mean), len(std)}
    if not lengths <= {1, channels} or 0 in lengths or min(std, default=0.0) <= 0:
        raise UsageError(
            f"--normalize '{text}' cannot be read; write means, a slash and positive standard deviations, "
            f"one or {channels} of each, such as 0.49,0.48,0.45/0.25,0.24,0.26."
        )
    return mean * (channels // len(mean)), std * (channels // len(std))


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
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} is refused: it is a pickle of objects, and reading one can run any code; "
            "save the network's state_dict() with torch.save, or safetensors, and give that."
        ) from error
    except Exception as error:  # torch's reader raises anything on a damaged file
        raise ModelError(f"{path} cannot be read as weights ({type(error).__name__}); it is damaged.") from error
    for nest in ("", *NESTS):
        inner = found.get(nest) if nest and isinstance(found, Mapping) else found
        if isinstance(inner, Mapping) and inner and all(isinstance(v, Tensor) for v in inner.values()):
            return {str(k).removeprefix("module."): v for k, v in inner.items()}
    raise ModelError(f"{path} holds no state dict (a mapping from names to tensors); save network.state_dict().")


def load_into(network: Network, state: Mapping[str, Tensor], what: str) -> None:
    """Fill our network from a state dict: ours, or a published one with the same backbone and a linear layer.

    Raises ModelError that names the first keys that do not fit.
    """
    own = network.state_dict()
    for head in HEADS:
        translated = {_rename(name, head): tensor for name, tensor in state.items()}
        for candidate in (dict(state), translated):
            if {k: v.shape for k, v in candidate.items()} == {k: v.shape for k, v in own.items()}:
                network.load_state_dict(candidate)
                return
    flat = {_rename(name, "fc") for name in state} | set(state)
    absent = [k for k in own if k not in flat]
    extra = [k for k in state if k not in own and _rename(k, "fc") not in own]
    sizes = [f"{k} {tuple(state[k].shape)} for {tuple(own[k].shape)}" for k in own
             if k in state and state[k].shape != own[k].shape]  # fmt: skip
    reasons = [f"{label} {', '.join(names[:3])}" for label, names in
               (("missing", absent), ("not known", extra), ("of another shape", sizes)) if names]  # fmt: skip
    raise ModelError(f"these weights do not fit {what}: {'; '.join(reasons)}; give another --model or a factory.")


def _rename(name: str, head: str) -> str:
    return f"head.{name.removeprefix(head + '.')}" if name.startswith(head + ".") else f"backbone.{name}"


def call_factory(text: str, num_classes: int) -> nn.Module:
    """The network that `package.module:factory` returns, called with the number of classes or with nothing.

    Raises ModelError when it cannot be imported or returns no network. Draws of the factory stay its own.
    """
    module_name, _, name = text.partition(":")
    try:
        factory: Callable[..., Any] = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ModelError(
            f"'{text}' cannot be imported: {error}; start bench where `import {module_name}` works."
        ) from error
    with isolated(0, "init"):
        try:
            network = factory(num_classes)
        except TypeError:
            network = factory()
    if not isinstance(network, nn.Module):
        raise ModelError(f"'{text}' returned {type(network).__name__}, not a torch.nn.Module.")
    return network


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a network comes from. `text`: a file, or package.module:factory (then `weights` may name a file)."""

    text: str
    model: str
    weights: Path | None = None
    normalize: str | None = None
    ranked: bool = False

    @property
    def is_factory(self) -> bool:
        """Whether `text` names a function rather than a file."""
        return bool(re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", self.text)) and not Path(self.text).exists()

    def load(self, data: CellData) -> Wrapped:
        """The network in eval mode, wrapped, checked on a few test images. Raises ModelError."""
        if self.is_factory:
            network = call_factory(self.text, data.num_classes)
            if self.weights is not None:
                try:
                    network.load_state_dict(read_weights(self.weights))
                except RuntimeError as error:
                    raise ModelError(f"{self.weights} does not fit {self.text}: {_first(error)}.") from error
        else:
            with isolated(0, "init"):
                network = assemble(self.model, data.image, data.num_classes, None)
            load_into(network, read_weights(Path(self.text)), f"'{self.model}' for {data.num_classes} classes")
        mean, std = parse_normalisation(self.normalize, data.image[0])
        order = range(data.num_classes) if self.ranked else data.native_labels
        wrapped = Wrapped(network, mean, std, list(order)).eval()
        weights = next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)
        some = data.test_images[:2].permute(0, 3, 1, 2).to(weights) / 255
        check_network(wrapped.network, some)
        with NetworkOracle(network, data.num_classes, folded=False) as oracle:
            oracle.plain(some)
        return wrapped


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def fingerprint(network: nn.Module) -> str:
    """16 hex digits of the weights and the code's class names: what tells two evaluated networks apart."""
    digest = hashlib.sha256("/".join(type(m).__name__ for m in network.modules()).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def described(spec: CellSpec, label: str, source: Source, network: nn.Module) -> CellSpec:
    """The cell of an evaluated network: `spec` says data and threat, `label` stands in the method's column.

    Raises UsageError when the label is a method's name or not a plain word.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", label):
        raise UsageError(f"--name '{label}' is not a plain word; use small letters, digits and hyphens.")
    if label in registry("methods").names():
        raise UsageError(f"--name '{label}' is a method of this benchmark; choose a name of its own for this network.")
    settings = {"weights": fingerprint(network), "normalize": source.normalize or ""}
    model = source.text if source.is_factory else source.model
    return dataclasses.replace(
        spec, method=label, model=model, recipe=RECIPE, hparams=tuple(sorted(settings.items())), variant=""
    )


def external(network: Wrapped) -> Callable[[Task, Settings, Emit], CellRun]:
    """A cell's life without training: `network` is attacked and nothing of it is kept but its bits and facts."""

    class External(CellRun):
        def weights(self, data: CellData, lacks: Sequence[str]) -> Any:
            size = sum(p.numel() * p.element_size() for p in network.parameters()) / 2**20
            stage = {"seconds": 0.0, "peak_memory_mib": 0.0, "epochs": 0, "images": 0, "forward": 0, "backward": 0,
                     "weights_mib": round(size, 3)}  # fmt: skip
            self._keep(self.cell | {"stages": self.cell.get("stages", {}) | {"train": stage}})
            return network.to(self.device)

        @contextmanager
        def deployed(self, _: nn.Module) -> Iterator[None]:
            yield

    return External
