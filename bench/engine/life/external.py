"""A network trained elsewhere, through the same attack suite into the same tables.

A network comes from our registry with the weights of a file, or from a function of the user. Its cell is known by its
name, weights and classes; that it also computes the same is asked before anything stored is taken for its own.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.config import CellSpec, Recipe
from bench.engine.images.subset import CellData
from bench.engine.life.trained import Desk
from bench.engine.nets.network import assemble
from bench.engine.nets.weights import load_weights, read_weights, tensor_hash
from bench.engine.verdicts.inputs import check_network, working_dtype
from bench.engine.verdicts.oracle import NetworkOracle
from bench.errors import ModelError, StoreError, UsageError
from bench.registry import registry
from bench.seeding import isolated
from bench.store.folders import CellFolder

#: what a factory may call the number of classes
CLASSES_NAMES = ("num_classes", "n_classes", "nb_classes", "num_class", "classes")
#: test images whose logits tell networks apart that differ only in code or a plain attribute
PROBED = 4
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
        #: the type of images that the network itself takes
        self.asked: torch.dtype | None = None
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, None if values is None else torch.tensor(list(values)).view(1, -1, 1, 1))
        self.register_buffer("order", torch.tensor(list(order)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits N x C of images N x channels x H x W in [0,1]."""
        if self.mean is not None and self.std is not None:
            x = (x - self.mean) / self.std
        z: Tensor = self.network(x.to(self.asked or x.dtype, copy=True))  # it may change what it is given
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
    sound = all(0 <= m <= 1 for m in mean) and all(0 < s <= 1 for s in std)  # NaN is neither
    if not lengths <= {1, channels} or 0 in lengths or not sound:
        numbers = "one of each" if channels == 1 else f"one or {channels} of each"
        example = f"{','.join(['0.5'] * channels)}/{','.join(['0.25'] * channels)}"
        raise UsageError(
            f"--normalize '{text}' cannot be read; write means in [0,1], a slash and standard deviations above 0 and "
            f"up to 1, {numbers}, such as {example}."
        )
    return mean * (channels // len(mean)), std * (channels // len(std))


def call_factory(text: str, num_classes: int) -> nn.Module:
    """The network that `package.module:factory` returns, called as `arguments` says.

    Raises ModelError when it cannot be imported or called, or returns no network. Draws of the factory stay its own.
    """
    module_name, _, name = text.partition(":")
    try:
        factory: Callable[..., Any] = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ModelError(
            f"'{text}' cannot be imported: {error}; start bench where `import {module_name}` works."
        ) from error
    with isolated(0, "init"):
        given, named = arguments(factory, num_classes, text)
        try:
            network = factory(*given, **named)
        except (Exception, SystemExit) as error:  # code of the user: anything, and its own words say best what
            raise ModelError(f"'{text}' failed: {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"'{text}' returned {type(network).__name__}, not a torch.nn.Module.")
    return network


def arguments(factory: Callable[..., Any], num_classes: int, text: str) -> tuple[tuple[int, ...], dict[str, int]]:
    """(positional, by keyword): how a factory is told the number of classes.

    By keyword where its signature has one of `CLASSES_NAMES`; else as its one required parameter; else not at all: a
    first parameter with a default may be a depth or an epoch. Raises ModelError when it requires anything else.
    """
    try:
        known = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # written in C: it tells nothing
        return (num_classes,), {}
    name = next((n for n in CLASSES_NAMES if n in known), None)
    if name is not None and known[name].kind is inspect.Parameter.POSITIONAL_ONLY:
        name = None
    named = {} if name is None else {name: num_classes}
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [p for p in known.values() if p.default is p.empty and p.kind not in variadic and p.name != name]
    if not required:
        return (), named
    if named or len(required) > 1 or required[0].kind is inspect.Parameter.KEYWORD_ONLY:
        lacking = ", ".join(p.name for p in required)
        raise ModelError(
            f"'{text}' requires {lacking}, which bench cannot know; give a factory that requires at most the number of "
            "classes."
        )
    return (num_classes,), {}


@dataclasses.dataclass(frozen=True)
class GivenNetwork:
    """Where a network comes from. `text`: a file, or package.module:factory (then `weights` may name a file).

    `network`: itself, under the name `text`; it is copied, so its mode, device and weights stay the owner's.
    """

    text: str
    model: str
    weights: Path | None = None
    normalize: str | None = None
    ranked: bool = False
    network: nn.Module | None = None

    @property
    def is_factory(self) -> bool:
        """Whether `text` names code rather than a file."""
        return self.network is not None or (
            bool(re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", self.text)) and not Path(self.text).exists()
        )

    def load(self, data: CellData) -> Wrapped:
        """The network in eval mode, wrapped, checked on a few test images. Raises ModelError."""
        if self.is_factory:
            network = (
                copy.deepcopy(self.network) if self.network is not None else call_factory(self.text, data.num_classes)
            )
            if self.weights is not None:
                load_weights(network, read_weights(self.weights), self.text)
        else:
            with isolated(0, "init"):
                network = assemble(self.model, data.image, data.num_classes, None)
            load_weights(network, read_weights(Path(self.text)), f"'{self.model}' for {data.num_classes} classes")
        mean, std = parse_normalisation(self.normalize, data.image[0])
        order = range(data.num_classes) if self.ranked else data.native_labels
        wrapped = Wrapped(network, mean, std, list(order)).eval()
        some = _few(data, network)
        with isolated(0, "probe"):
            wrapped.asked = check_network(network, some)
            with NetworkOracle(network, data.num_classes, folded=False, dtype=wrapped.asked) as oracle:
                oracle.plain(some)
        return wrapped


def _few(data: CellData, network: nn.Module) -> Tensor:
    """The first test images, N x channels x H x W in [0,1], in the type in which it is attacked."""
    return data.test_images[:PROBED].permute(0, 3, 1, 2).to(working_dtype(network)) / 255


@torch.no_grad()
def probe(network: Wrapped, data: CellData) -> Tensor:
    """Logits N x C of the first test images: what the network computes, whatever it is called and made of.

    Taken where the network lies, the CPU, with draws of their own, so a noisy network gives the same ones again.
    """
    with isolated(0, "probe"):
        return network(_few(data, network))  # type: ignore[no-any-return]


def refuse_another(folder: Path, logits: Tensor) -> None:
    """Raise StoreError when a cell's folder was made by a network with other logits than these.

    They are equal when they agree, relative to the largest, in half the digits of their type: other processors and
    numbers of threads add in another order. A hash of rounded logits could not allow for that, so no id holds them.
    """
    try:
        stored = (CellFolder(folder.parent, folder.name).read() or {}).get("logits")
    except StoreError:
        return  # whoever works there next says what is wrong with it, or sets it aside and begins again
    if stored is None:
        return
    before, now = torch.tensor(stored, dtype=torch.float64), logits.double()
    allowed = torch.finfo(logits.dtype).eps ** 0.5 * now.abs().max()
    if before.shape != now.shape or (before - now).abs().max() > allowed:
        raise StoreError(
            f"{folder} holds the counts of another network with this name and these weights, which gives other logits "
            "for the first test images; give this one another --name, or another --results folder."
        )


def fingerprint(network: nn.Module) -> str:
    """16 hex digits of the weights and the code's class names: what the id of an evaluated network holds of it."""
    return tensor_hash(network.state_dict(), "/".join(type(m).__name__ for m in network.modules()))[:16]


def described(spec: CellSpec, label: str, source: GivenNetwork, network: nn.Module) -> CellSpec:
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


class Given:
    """A `bench.engine.life.trained.Weights` without training: the network, and its `probe`, which its cell keeps."""

    def __init__(self, network: Wrapped, logits: Tensor) -> None:
        self.given, self.logits = network, logits

    def wanted(self, lacks: list[str]) -> list[str]:
        """Everything but a training."""
        return [what for what in lacks if what != "train"]

    def network(self, desk: Desk, data: CellData, train: bool) -> Wrapped:
        """The network; that it was trained here for 0 s, as older versions stored, is struck out."""
        stages = {name: facts for name, facts in desk.cell["stages"].items() if name != "train"}
        desk.keep(desk.cell | {"logits": self.logits.tolist(), "stages": stages})
        return self.given.to(desk.device)

    def deployed(self, network: nn.Module) -> AbstractContextManager[None]:
        """It has no other form."""
        return nullcontext()
