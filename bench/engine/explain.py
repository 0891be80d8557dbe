"""What a method is, in text: formula, settings of both recipes, known differences, cost, licence."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from bench.api import Method
from bench.config import Recipe, format_value
from bench.engine.grid import settle
from bench.engine.plugins import make_model
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
            rows.append((spec.name, *(_show(getattr(recipe, spec.name)) for recipe, _, _ in recipes.values())))
    return rows


def _allowed(spec: dataclasses.Field[Any]) -> str:
    limits = spec.metadata
    if limits.get("choices"):
        return ", ".join(map(str, limits["choices"]))
    signs = (("low", ">="), ("above", ">"), ("high", "<="))
    stated = [f"{sign} {limits[key]:g}" for key, sign in signs if limits.get(key) is not None]
    return ", ".join(stated) or str(spec.type)


def _show(value: Any) -> str:
    return "(" + ", ".join(map(_show, value)) + ")" if isinstance(value, tuple) else format_value(value)


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
