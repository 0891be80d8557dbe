"""What every enhancer keeps: its words, its ranges, the bytes of its base when off, the same bytes when resumed."""

from __future__ import annotations

import copy
import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.api import Enhancer, Recipe
from bench.config import CellSpec, make
from bench.engine.images.subset import CellData, load_data
from bench.engine.nets.network import build_network
from bench.engine.resume.checkpoint import load_checkpoint
from bench.engine.train import train
from bench.plugins import make_enhancers, make_method
from bench.testing.contract import Target, require
from bench.testing.contract.shared import describes_itself, keeps_the_rules, refuses

EPOCHS = 3

BASE = Enhancer

Weights = Mapping[str, Tensor]


def checks(target: Target) -> Iterator[tuple[str, Callable[[], None]]]:
    """Around adversarial training of a few digits, under the class's `small` settings."""
    cls: type[Enhancer] = target.cls
    yield "describes itself", partial(words, target)
    yield "keeps the rules of a plug-in", partial(keeps_the_rules, target)
    yield "refuses what does not fit", partial(refuses, cls.Hparams, cls.name)
    yield "states its cost", partial(cost, cls)
    if cls.off is not None:
        yield "switched off gives the bytes of its base", partial(switched_off, cls)
    yield "states how long an epoch is", partial(length, cls)
    yield "resumes after any epoch", partial(resumes, cls)


def words(target: Target) -> None:
    """Everything that `bench show enhancer` prints is there, and names only settings that exist."""
    describes_itself(target)
    cls: type[Enhancer] = target.cls
    for name in ("paper", "formula", "licence"):
        require(getattr(cls, name).strip(), f"`{name}` of {cls.__name__} is empty; `bench show {cls.name}` prints it.")
    own = {field.name for field in dataclasses.fields(cls.Hparams)}
    for name in ("official", "off", "small"):
        unknown = sorted({*(getattr(cls, name) or {})} - own)
        require(not unknown, f"`{name}` names settings that do not exist: {', '.join(unknown)}.")
    for field in dataclasses.fields(cls.Hparams):
        require(field.metadata.get("help"), f"the setting '{field.name}' has no help; make it with setting(help=...).")


def cost(cls: type[Enhancer]) -> None:
    """Passes for the estimate: none below zero, and none with its `off` settings."""
    for settings, free in (({}, False), (cls.off or {}, bool(cls.off))):
        more = cls(make(cls.Hparams, dict(settings), cls.name)).passes(Recipe())
        require(min(more) >= 0, f"passes() gives {more}; an enhancer adds passes or none.")
        require(not free or max(more) == 0, f"passes() gives {more} with its `off` settings, where it does nothing.")


def length(cls: type[Enhancer]) -> None:
    """An epoch has as many images as the estimate is told."""
    spec = cell(cls)
    method, (made,) = make_method(spec), make_enhancers(spec)
    network = build_network(spec.model, images().image, images().num_classes, method.build_head, 0)
    seen = train(spec, images(), network, method, torch.device("cpu"), enhancers=[made]).images
    told = EPOCHS * made.epoch_images(images().train_counts, spec.recipe)
    require(round(told) == seen, f"epoch_images() tells of {told:g} images in {EPOCHS} epochs; order() gave {seen}.")


def cell(cls: type[Enhancer] | None, settings: Mapping[str, Any] | None = None) -> CellSpec:
    """Three epochs on the embedded digits, at most eight images a class; without an enhancer for None."""
    recipe = Recipe(epochs=EPOCHS, full_epochs=EPOCHS, batch_size=16, steps=2, milestones=(2,), factors=(0.1,))
    enhancers: Any = ()
    if cls is not None:
        made = make(cls.Hparams, {**cls.small, **(settings or {})}, cls.name)
        enhancers = ((cls.name, tuple(sorted(dataclasses.asdict(made).items()))),)
    return CellSpec("at", "digitslt", 5.0, "small-cnn", 0, recipe=recipe, limit=8, enhancers=enhancers)


@cache
def images() -> CellData:
    """The images of every cell here."""
    return load_data(cell(None))


def trained(spec: CellSpec, start: Any = None, **more: Any) -> dict[str, Tensor]:
    """The weights and statistics that are evaluated."""
    method = make_method(spec)
    network = build_network(spec.model, images().image, images().num_classes, method.build_head, 0)
    cpu = torch.device("cpu")
    train(spec, images(), network, method, cpu, enhancers=make_enhancers(spec), start=start, **more)
    return network.state_dict()


@cache
def plain() -> dict[str, Tensor]:
    """Those of the base alone."""
    return trained(cell(None))


def other(one: Weights, two: Weights) -> list[str]:
    """Names of what differs."""
    return [name for name, value in one.items() if not torch.equal(value, two[name])]


def switched_off(cls: type[Enhancer]) -> None:
    """With its `off` settings a cell has the bytes of its base, with others it has not."""
    wrong = other(plain(), trained(cell(cls, cls.off)))
    require(not wrong, f"with its `off` settings the training ends with another {wrong[:1]} than its base.")
    require(
        other(plain(), trained(cell(cls))), "with its `small` settings it changes nothing; `off` says what is nothing."
    )


def resumes(cls: type[Enhancer]) -> None:
    """A training that goes on from the checkpoint of any epoch ends with the same bytes."""
    states: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "state.pt")
        whole = trained(
            cell(cls),
            checkpoint=path,
            checkpoint_seconds=0.0,
            on_epoch=lambda _: states.append(copy.deepcopy(load_checkpoint(path))),
        )
    for epoch, state in enumerate(states[:-1], 1):
        wrong = other(whole, trained(cell(cls), start=state))
        require(not wrong, f"a run resumed after epoch {epoch} ends with another {wrong[:1]}; state() lacks something.")
