"""A method and its enhancers as a user wrote them -> recipe and settings with everything filled in."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bench.api import Enhancer, Method
from bench.config import Recipe, RecipeName, check_setting, is_silent, make, one_of, variant_label
from bench.errors import UsageError, did_you_mean
from bench.registry import registry

#: hook by which a method claims what no enhancer may then change
CLAIMED = {"order": "order", "average": "evaluated"}
#: fields of the recipe that a user may set, in the brackets of a method or of the recipe
RECIPE_SETTINGS = tuple(f.name for f in dataclasses.fields(Recipe) if f.name not in ("name", "full_epochs"))


class Settled(NamedTuple):
    """A method with everything filled in: recipe, hyper-parameters sorted by name, label of what the user changed."""

    recipe: Recipe
    hparams: tuple[tuple[str, Any], ...]
    variant: str


def settle(
    cls: type[Method],
    settings: Mapping[str, Any],
    recipe: str,
    epochs: int | None = None,
    augment: str = "crop-flip",
    common: Mapping[str, Any] | None = None,
) -> Settled:
    """A method's recipe and hyper-parameters with what the user set.

    `recipe`: paper | official. `augment`: the data set's, used unless the recipe or the user names one.
    `settings` may name hyper-parameters and fields of the recipe, `common` (the recipe's own brackets) only the latter:
    a method's own settings, and what it always has, come before these. `epochs` in either is the published length,
    which milestones count, and `epochs` beside them that of this run. Raises UsageError.
    """
    one_of(recipe, RecipeName, "recipe")
    if epochs is not None and epochs < 1:
        raise UsageError(f"--epochs {epochs} is not a positive number.")
    known: dict[str, type[Any]] = dict.fromkeys(RECIPE_SETTINGS, Recipe)
    for name in common or {}:
        if name not in known:
            raise UsageError(f"recipe '{recipe}' has no setting '{name}'. {did_you_mean(name, known)}")
    settings = {k: v for k, v in (common or {}).items() if k not in cls.always} | dict(settings)
    known |= {f.name: cls.Hparams for f in dataclasses.fields(cls.Hparams)}
    for name in settings:
        if name not in known:
            raise UsageError(f"{cls.name} has no setting '{name}'. {did_you_mean(name, known)}")
    chosen = {name: check_setting(known[name], name, value, cls.name) for name, value in settings.items()}
    usual = {"augment": augment, **cls.always, **(cls.official if recipe == "official" else {})}
    made, hparams = _made(cls, usual | chosen, recipe, epochs)
    standard, own = _made(cls, usual, recipe, epochs)
    before = vars(standard) | {"epochs": standard.full_epochs} | own
    changed = {name: value for name, value in chosen.items() if value != before[name]}
    told = {f.name: hparams[f.name] for f in dataclasses.fields(cls.Hparams) if not is_silent(f, hparams[f.name])}
    return Settled(made, tuple(sorted(told.items())), variant_label("", changed).strip("[]"))


def settle_enhancers(
    enhancers: Sequence[tuple[str, Mapping[str, Any]]], recipe: str, method: type[Method] = Method
) -> tuple[tuple[tuple[str, tuple[tuple[str, Any], ...]], ...], str]:
    """(name and settings of each, by name; how they are written). Raises UsageError, also for two that clash."""
    settled, labels = {}, []
    claimed = {
        claim: method.name for claim, hook in CLAIMED.items() if getattr(method, hook) is not getattr(Method, hook)
    }
    for name, settings in sorted(enhancers, key=lambda each: each[0]):
        cls: type[Enhancer] = registry("enhancers").get(name)
        if name in settled:
            raise UsageError(f"enhancer '{name}' stands twice; give it once, with all its settings.")
        for claim in sorted(cls.claims):
            if claim in claimed:
                raise UsageError(f"'{claimed[claim]}' and '{name}' both change the {claim}; leave one of them out.")
            claimed[claim] = name
        usual = dict(cls.official) if recipe == "official" else {}
        made, standard = make(cls.Hparams, {**usual, **settings}, name), make(cls.Hparams, usual, name)
        changed = {key: v for key in settings if (v := getattr(made, key)) != getattr(standard, key)}
        told = ((f.name, getattr(made, f.name)) for f in dataclasses.fields(cls.Hparams))
        silent = {f.name for f in dataclasses.fields(cls.Hparams) if is_silent(f, getattr(made, f.name))}
        settled[name] = tuple(sorted((key, value) for key, value in told if key not in silent))
        labels.append("+" + variant_label(name, changed))
    return tuple(settled.items()), "".join(labels)


def _made(
    cls: type[Method], values: Mapping[str, Any], recipe: str, epochs: int | None
) -> tuple[Recipe, dict[str, Any]]:
    """(recipe, hyper-parameters) of `values`, which name fields of either; `epochs` in it are the published ones.

    A method that always has its own length, as a second stage does, is shortened by `epochs` and never lengthened.
    """
    own = {f.name for f in dataclasses.fields(cls.Hparams)}
    full = int(values.get("epochs", Recipe.full_epochs))
    length = min(epochs or full, full) if "epochs" in cls.always else epochs or full
    common = {k: v for k, v in values.items() if k not in own} | {"epochs": length, "full_epochs": full}
    hparams = make(cls.Hparams, {k: v for k, v in values.items() if k in own}, cls.name)
    return make(Recipe, common | {"name": recipe}, cls.name), {name: getattr(hparams, name) for name in own}
