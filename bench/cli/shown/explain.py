"""What a plug-in is, in text: a method with both recipes, an attack with its settings, a data set, a network."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from bench.api import Enhancer, Method
from bench.config import REFERENCE_EPS, AttackSpec, Recipe, format_value, make
from bench.engine.settled import settle
from bench.plugins import dataset_facts, make_model
from bench.registry import registry


def explain_method(name: str) -> str:
    """The text of `bench show method NAME`. Raises UsageError when there is no such method."""
    cls: type[Method] = registry("methods").get(name)
    module = inspect.getmodule(cls)
    recipes = {kind: _values(cls, kind) for kind in ("paper", "official")}
    passes = []
    for kind, (recipe, hparams, _) in recipes.items():
        forward, backward = cls(hparams).passes(recipe)
        unit = recipe.steps + 1 if kind == "paper" else recipes["paper"][0].steps + 1
        share = (forward + backward) / 2 / unit
        passes.append(f"{kind}: {forward:g} forward, {backward:g} backward on average ({share:.2f} of AT's)")
    described = inspect.cleandoc(module.__doc__) if module and module.__doc__ else ""
    parts = [
        f"{cls.name}: {cls.paper}",
        f"origin   {registry('methods').origin(name).file}\nformula  {cls.formula}\nlicence  {cls.licence}",
        described,
        "Settings of the method\n" + _table(_hparam_rows(cls, recipes)),
        "Recipe\n" + _table(_recipe_rows(recipes)),
        f"Passes a step\n  {cls.cost}\n" + "\n".join(f"  {line}" for line in passes),
    ]
    if cls.differences:
        parts.append("Known differences between paper and code\n" + "\n".join(f"  - {d}" for d in cls.differences))
    if cls.needs:
        parts.append("Needs\n  " + ", ".join(sorted(cls.needs)))
    return "\n\n".join(part for part in parts if part)


def explain_enhancer(name: str) -> str:
    """The text of `bench show enhancer NAME`. Raises UsageError when there is no such enhancer."""
    cls: type[Enhancer] = registry("enhancers").get(name)
    module = inspect.getmodule(cls)
    both = {kind: cls.Hparams(**(cls.official if kind == "official" else {})) for kind in ("paper", "official")}
    rows: list[tuple[str, ...]] = [("setting", *both, "allowed", "meaning")]
    for spec in dataclasses.fields(cls.Hparams):
        values = [format_value(getattr(hparams, spec.name)) for hparams in both.values()]
        rows.append((spec.name, *values, _allowed(spec), spec.metadata.get("help", "")))
    forward, backward = cls(both["paper"]).passes(Recipe())
    parts = [
        f"{cls.name}: {cls.paper}",
        f"origin   {registry('enhancers').origin(name).file}\nformula  {cls.formula}\nlicence  {cls.licence}",
        inspect.cleandoc(module.__doc__) if module and module.__doc__ else "",
        "Settings\n" + _table(rows if len(rows) > 1 else [("none",)]),
        f"Passes that a step gains\n  {forward:g} forward, {backward:g} backward on average",
    ]
    if cls.differences:
        parts.append("Known differences between paper and code\n" + "\n".join(f"  - {d}" for d in cls.differences))
    if cls.claims:
        parts.append("No second enhancer of a cell may change the same\n  " + ", ".join(sorted(cls.claims)))
    return "\n\n".join(part for part in parts if part)


def _values(cls: type[Method], kind: str) -> tuple[Recipe, Any, str]:
    recipe, pairs, label = settle(cls, {}, kind)
    return recipe, cls.Hparams(**dict(pairs)), label


def _hparam_rows(cls: type[Method], recipes: dict[str, tuple[Recipe, Any, str]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("setting", "paper", "official", "allowed", "meaning")]
    for spec in dataclasses.fields(cls.Hparams):
        values = [format_value(getattr(hparams, spec.name)) for _, hparams, _ in recipes.values()]
        rows.append((spec.name, *values, _allowed(spec), spec.metadata.get("help", "")))
    return rows if len(rows) > 1 else [("none",)]


def _recipe_rows(recipes: dict[str, tuple[Recipe, Any, str]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("setting", "paper", "official")]
    for spec in dataclasses.fields(Recipe):
        if spec.name not in ("name", "full_epochs"):
            rows.append((spec.name, *(format_value(getattr(recipe, spec.name)) for recipe, _, _ in recipes.values())))
    return rows


def _allowed(spec: dataclasses.Field[Any]) -> str:
    limits = spec.metadata
    if limits.get("choices"):
        return ", ".join(map(str, limits["choices"]))
    signs = (("low", ">="), ("above", ">"), ("high", "<="))
    stated = [f"{sign} {limits[key]:g}" for key, sign in signs if limits.get(key) is not None]
    return ", ".join(stated) or str(spec.type)


#: settings that are distances, stated at the reference radius and scaled to a data set's
DISTANCES = ("eps", "step")


def distance(name: str, stated: Any, scale: float) -> str:
    """A setting as it takes effect: `0.2 (8/255, scaled to this data set)` for a distance that a radius scales."""
    if name not in DISTANCES or scale == 1:
        return format_value(stated)
    return f"{stated * scale:.4g} ({format_value(stated)}, scaled to this data set)"


def explain_attack(text: str) -> str:
    """What an attack does, and its settings once those in brackets are set. Raises UsageError."""
    spec = AttackSpec.parse(text)
    cls = registry("attacks").get(spec.name)
    params = make(cls.Params, dict(spec.params), f"attack '{spec.name}'")
    fields = dataclasses.fields(cls.Params)
    rows: list[tuple[str, ...]] = [("setting", "value", "usually", "allowed", "meaning")] if fields else [("none",)]
    for field in fields:
        values = (format_value(getattr(params, field.name)), format_value(field.default))
        rows.append((field.name, *values, _allowed(field), field.metadata.get("help", "")))
    module = inspect.getmodule(cls)
    parts = [
        spec.label,
        inspect.cleandoc(module.__doc__ or "") if module else "",
        inspect.cleandoc(cls.__doc__ or ""),
        "Settings\n" + _table(rows),
    ]
    if any(field.name in DISTANCES for field in fields):
        known = " and ".join(field.name for field in fields if field.name in DISTANCES)
        parts.append(
            f"{known}: at the reference radius {format_value(REFERENCE_EPS)}; scaled to the radius of the data set."
        )
    return "\n\n".join(part for part in parts if part)


def explain_dataset(name: str) -> str:
    """What is known of a data set before its images are read. `name` may carry an argument (`archive:PATH`)."""
    facts = dataset_facts(name, None)
    channels, height, width = facts.image
    own = [
        f"{what} {' '.join(map(str, counts))}"
        for what, counts in (("training", facts.own_train), ("test", facts.own_test))
        if counts
    ]
    sizes = [
        f"{count or 'an unknown number of'} {what} images"
        for count, what in ((facts.train_max, "training"), (facts.test_max, "test"))
    ]
    imbalance = (
        "made long-tailed, at any ratio above 1 (--irs)"
        if facts.native_ir is None
        else f"its own, {facts.native_ir:g} (--irs natural)"
    )
    rows: list[tuple[str, ...]] = [
        ("classes", str(facts.classes)),
        ("images", f"{height} x {width} pixels, channels: {channels}"),
        ("largest class", ", ".join(sizes)),
        ("imbalance", imbalance),
        *([("its images a class", "; ".join(own))] if own else []),
        ("radius", f"l_inf {distance('eps', REFERENCE_EPS, facts.eps / REFERENCE_EPS)}"),
        ("usual network", facts.default_model),
        ("augmentation", facts.augment),
    ]
    return f"{name}: {registry('datasets').origin(name).describe()}\n" + _table(rows)


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def explain_model(name: str) -> str:
    """Input, normalisation and size of a network, as text. `name` may carry an argument (`timm:NAME`)."""
    model = make_model(name)
    parts = [f"{name}: {registry('models').origin(name).describe()}"]
    for image in ((3, 32, 32), (1, 8, 8)):
        declared = "x".join(map(str, model.input_size(image)))
        given = "x".join(map(str, image))
        how = "" if given == declared else ", resized inside it"
        parts.append(f"  images of {given}: the network takes {declared}{how}")
    constants = f"mean {model.mean}, std {model.std}" if model.mean else "none (images go in as [0,1])"
    return "\n".join([*parts, f"  normalisation inside the network: {constants}"])
