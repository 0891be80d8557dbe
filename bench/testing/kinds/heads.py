"""Cases of heads: logits of given features, and the gradients of their sum weighted by given numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bench.testing.evaluate import build_head, context_for, make_method
from bench.testing.forms import closed_form
from bench.testing.kinds.shown import front
from bench.testing.words import METHODS, UnsupportedError, settings


def head(case: Mapping[str, Any], _: Mapping[str, Any]) -> dict[str, Any]:
    """A method's head, in the form it has in training or when deployed."""
    params, inputs = dict(case["params"]), case["inputs"]
    mode = params.pop("mode", "eval")
    if mode not in ("train", "eval"):
        raise UnsupportedError(f"mode={mode!r}; known: train, eval")
    deployed = params.pop("posthoc", True)
    name, chosen_settings = METHODS[case["method"]][0], settings({**case, "params": params})
    arrays = {key: closed_form(**form) for key, form in inputs["arrays"].items() if form is not None}
    features = arrays["feat"].requires_grad_(True)
    method, recipe = make_method(name, chosen_settings, "paper")
    context = context_for(recipe, inputs["class_counts"], features)
    built: Any = build_head(name, features.shape[1], inputs["C"], chosen_settings).double().train(mode == "train")
    method.setup(built, context)
    with torch.no_grad():
        built.weight.copy_(arrays["weight"] * inputs["weight_scale"])
        for key in ("bias", "scale", "moving"):
            own = getattr(built, key, None)
            if key in arrays and isinstance(own, Tensor):
                own.copy_(arrays[key])
            elif key == "bias" and isinstance(own, Tensor):  # null: there is none
                own.zero_()
    method.deploy(built, deployed)
    logits = built(features)
    if mode == "train" and hasattr(method, "tempered"):
        logits = method.tempered(logits, context)
    (logits * arrays["grad_out"]).sum().backward()
    logits = logits.detach()
    got = {
        "logits_row0": logits[0].tolist(),
        "logits_last": logits[-1].tolist(),
        "sum": float(logits.sum()),
        "abs_sum": float(logits.abs().sum()),
        "grad_feat": front(grad_of(features), 5),
        "grad_weight": front(grad_of(built.weight), 5),
    }
    if isinstance(getattr(built, "scale", None), Tensor):
        got["grad_scale"] = front(grad_of(built.scale), 5)
    if isinstance(getattr(built, "moving", None), Tensor):
        got["moving_after"] = built.moving.flatten().tolist()
    return got


def grad_of(leaf: Tensor) -> Tensor:
    """The gradient that has reached a leaf, zeros where none has."""
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


KINDS = {"head": head}
