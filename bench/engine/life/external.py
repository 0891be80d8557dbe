"""A network trained elsewhere, through the same attack suite into the same tables.

A network comes from our registry with the weights of a file, or from a function of the user. Its cell is known by its
name, weights and classes; that it also computes the same is asked before anything stored is taken for its own.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.config import CellSpec, Recipe
from bench.engine.images.planes import planes
from bench.engine.images.subset import CellData
from bench.engine.life.factory import ANYTHING, call_factory
from bench.engine.life.normalise import beside_weights, parse_normalisation
from bench.engine.life.trained import Desk
from bench.engine.nets.files import read_file
from bench.engine.nets.modes import evaluating
from bench.engine.nets.network import assemble
from bench.engine.nets.outputs import Steps, find_logits, in_words, pick
from bench.engine.nets.weights import load_weights, tensor_hash
from bench.engine.verdicts.inputs import check_network, working_dtype
from bench.engine.verdicts.oracle import NetworkOracle
from bench.errors import BenchError, ModelError, StoreError, UsageError
from bench.errors import in_words as said
from bench.paths import in_full
from bench.registry import registry
from bench.seeding import isolated
from bench.store.folders import CellFolder

#: test images whose logits tell networks apart that differ only in code or a plain attribute
PROBED = 4
#: longest name of a network: it is part of its folder's name and of every row
NAME_LETTERS = 80
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
        #: the type of images that the network itself takes, and where in its output the logits stand
        self.asked: torch.dtype | None = None
        self.taken: Steps = ()
        #: how it came about: what cell.json keeps in `network`
        self.facts: dict[str, Any] = {}
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, None if values is None else torch.tensor(list(values)).view(1, -1, 1, 1))
        self.register_buffer("order", torch.tensor(list(order)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits N x C of images N x channels x H x W in [0,1]."""
        if self.mean is not None and self.std is not None:
            x = (x - self.mean) / self.std
        # a copy: it may change what it is given
        z: Tensor = pick(self.network(x.to(self.asked or x.dtype, copy=True)), self.taken)
        return z if self.sorted else z[:, self.order]


@dataclasses.dataclass(frozen=True)
class GivenNetwork:
    """Where a network comes from. `text`: a file, or package.module:factory (then `weights` may name a file).

    `network`: itself, under the name `text`; it is copied, so its mode, device and weights stay the owner's; `called`
    says how it came about. `entry`: the part of the file that holds the weights, where several fit.
    """

    text: str
    model: str
    weights: Path | None = None
    normalize: str | None = None
    ranked: bool = False
    network: nn.Module | None = None
    entry: str | None = None
    called: str = ""

    @property
    def is_factory(self) -> bool:
        """Whether `text` names code rather than a file."""
        if self.network is not None:
            return True
        try:
            return bool(re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", self.text)) and not Path(self.text).exists()
        except OSError:  # a name that no file can have
            return True

    def load(self, data: CellData) -> Wrapped:
        """The network in eval mode, wrapped, checked on a few test images. Raises ModelError."""
        facts: dict[str, Any] = {}
        normalize = self.normalize
        parse_normalisation(normalize, data.image[0])
        if self.is_factory:
            if self.network is not None:
                network, facts["called"] = copy.deepcopy(self.network), self.called
            else:
                network, facts["called"] = call_factory(self.text, data.num_classes)
            file, what = self.weights, f"'{self.text}'"
        else:
            if self.weights is not None:
                raise UsageError(f"--weights belongs to a factory, and '{self.text}' is a file; give one of the two.")
            with isolated(0, "init"):
                network = assemble(self.model, data.image, data.num_classes, None)
            file, what = in_full(self.text), f"'{self.model}' for {data.num_classes} classes"
        if file is not None:
            stored = read_file(file)
            entry = load_weights(network, stored.tensors, what, level=stored.level, entry=self.entry)
            used: set[str] = set()
            if normalize is None:
                normalize, used = beside_weights(stored.tensors, entry.beside, data.image[0])
            facts |= {
                "file": str(file),
                "entry": entry.key,
                "normalised": sorted(used),
                "beside": [name for name in entry.beside if name not in used],
                "unread": list(stored.objects),
            }
        elif self.entry is not None:
            raise UsageError(f"--entry '{self.entry}' names a part of a file of weights; give one with --weights.")
        mean, std = parse_normalisation(normalize, data.image[0])
        order = range(data.num_classes) if self.ranked else data.native_labels
        wrapped = Wrapped(network.cpu(), mean, std, list(order)).eval()
        some = _few(data, network)
        with isolated(0, "probe"):
            wrapped.asked = check_network(network, some)
            with torch.no_grad(), evaluating(network):
                wrapped.taken = find_logits(network(some.to(wrapped.asked, copy=True)), len(some), data.num_classes)
            with NetworkOracle(wrapped, data.num_classes, folded=False) as oracle:
                oracle.plain(some)
        facts["logits"] = in_words(wrapped.taken)
        wrapped.facts = {"normalize": normalize or ""} | {key: value for key, value in facts.items() if value}
        return wrapped


def told(facts: dict[str, Any]) -> list[str]:
    """What a user should know of how the network came about, a sentence each."""
    lines = []
    if called := facts.get("called"):
        lines.append(f"called {called}.")
    if file := facts.get("file"):
        lines.append(f"read {facts['entry']!r} of {file}." if facts.get("entry") else f"read {file}.")
    by = f"by {facts['normalize']}" if facts["normalize"] else "by constants that change nothing"
    for key, words in (
        ("beside", "left out, as the network has no such part"),
        ("unread", "not read, as no tensors"),
        ("normalised", f"images are normalised {by}, from the file's"),
    ):
        if names := facts.get(key):
            lines.append(f"{words}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}.")
    if taken := facts.get("logits"):
        lines.append(f"the network returns more than logits; output{taken} is taken.")
    return lines


@contextmanager
def speaking_for_itself() -> Iterator[None]:
    """Whatever the code of a foreign network raises inside becomes a ModelError in its own words."""
    try:
        yield
    except BenchError:
        raise
    except ANYTHING as error:
        raise ModelError(f"the network failed: {said(error)}") from error


def _few(data: CellData, network: nn.Module) -> Tensor:
    """The first test images, N x channels x H x W in [0,1], in the type in which it is attacked."""
    return planes(data.test_images[:PROBED], working_dtype(network))


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


def described(spec: CellSpec, label: str, source: GivenNetwork, network: Wrapped) -> CellSpec:
    """The cell of an evaluated network: `spec` says data and threat, `label` stands in the method's column.

    Raises UsageError when the label is a method's name or not a plain word.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", label):
        raise UsageError(f"--name '{label}' is not a plain word; use small letters, digits and hyphens.")
    if len(label) > NAME_LETTERS:
        raise UsageError(
            f"--name '{label}' has {len(label)} letters; at most {NAME_LETTERS} fit into tables and paths."
        )
    if label in registry("methods").names():
        raise UsageError(f"--name '{label}' is a method of this benchmark; choose a name of its own for this network.")
    settings = {"weights": fingerprint(network), "normalize": network.facts["normalize"]}
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
        kept = {"logits": self.logits.tolist(), "network": self.given.facts, "stages": stages}
        desk.keep(desk.cell | kept)
        return self.given.to(desk.device)

    def deployed(self, network: nn.Module) -> AbstractContextManager[None]:
        """It has no other form."""
        return nullcontext()
