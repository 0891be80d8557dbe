"""Cases of what enhancers do between steps: CFOL's sampler, averages of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.engine.step import become
from bench.testing.evaluate import context_for, make_enhancer, make_method
from bench.testing.forms import closed_form, fill
from bench.testing.kinds.shown import front, network, statistics
from bench.testing.words import UnsupportedError


def sampler(case: Mapping[str, Any], _: Mapping[str, Any]) -> dict[str, Any]:
    """CFOL's distributions before and after some batches."""
    params, inputs = dict(case["params"]), case["inputs"]
    prior = params.pop("prior", "uniform")
    chosen: dict[str, Any] = {"prior": "base" if prior is None else prior}
    if isinstance(prior, list):
        chosen = {"prior": "shares", "shares": tuple(prior)}
    names: dict[str, str] = {"base_dist": "base"}
    chosen |= {names.get(str(key), str(key)): value for key, value in params.items() if key != "note"}
    trick: Any = make_enhancer("cfol", chosen)
    recipe = make_method("at", {}, "paper")[1]
    trick.setup(nn.Identity(), context_for(recipe, inputs["class_counts"], torch.zeros(1)))
    got: dict[str, Any] = {"loss_weights": [], **{name: [getattr(trick, name).tolist()] for name in ("p", "q", "w")}}
    for batch in inputs["batches"]:
        y, wrong = torch.tensor(batch["labels"]), torch.tensor(batch["wrong"], dtype=torch.float64)
        got["loss_weights"].append(trick.weights(y).tolist())
        trick.update(y, wrong)
        for name in ("p", "q", "w"):
            got[name].append(getattr(trick, name).tolist())
    return got


def numbered(case: Mapping[str, Any], forms: Mapping[str, Any], number: int) -> nn.Module:
    """The case's network with weights and statistics of that number: every phase is 0.35 further on."""
    shifted = {name: {**form, "p": form["p"] + 0.35 * number} for name, form in forms.items()}
    return fill(network(case, forms, {}), shifted, case["inputs"]["net"]["fc_scale"])


def average(case: Mapping[str, Any], forms: Mapping[str, Any]) -> dict[str, Any]:
    """EMA and SWA over given weights."""
    if case["inputs"].get("weights", "number j has phase p + 0.35 j") != "number j has phase p + 0.35 j":
        raise UnsupportedError(f"weights: {case['inputs']['weights']!r}; known: number j has phase p + 0.35 j")
    if case["method"] not in AVERAGES:
        raise UnsupportedError(f"average {case['method']!r}; known: {', '.join(AVERAGES)}")
    return AVERAGES[case["method"]](case, forms)


def moving(case: Mapping[str, Any], forms: Mapping[str, Any]) -> dict[str, Any]:
    """EMA: decays, the average after each update, its statistics before and after the end of an epoch."""
    params, inputs = dict(case["params"]), case["inputs"]
    first, warmup = params.pop("first_step", 1), params.pop("warmup_steps")
    # one epoch of that many steps, all of them warm-up
    trick: Any = make_enhancer("ema", {**{k: v for k, v in params.items() if k != "note"}, "warmup": 1.0})
    recipe = make_method("at", {}, "paper", 1)[1]
    context = context_for(recipe, (1, 1), torch.zeros(1))
    context.steps_per_epoch = warmup
    live = numbered(case, forms, inputs["average_starts_as"])
    trick.setup(live, context)
    decays, after = [], []
    for context.step, number in enumerate(inputs["updates"], first - 1):
        become(live, numbered(case, forms, number).state_dict())
        trick.after_step(live, context)
        decays.append(trick.decay(context.step + 1, context))
        after.append(shown(trick.average))
    before = statistics(trick.buffers)
    trick.after_epoch(live, context)
    return {
        "decay": decays,
        "after_update": after,
        "bn_before_sync": before,
        "bn_after_sync": statistics(trick.buffers),
    }


def stochastic(case: Mapping[str, Any], forms: Mapping[str, Any]) -> dict[str, Any]:
    """SWA: the mean after each update, and statistics estimated anew over given batches."""
    params, inputs = {key: value for key, value in case["params"].items() if key != "note"}, case["inputs"]
    if params.keys() - {"swa_n_first"}:
        raise UnsupportedError(f"settings {params}; known: swa_n_first")
    trick: Any = make_enhancer("swa", {})
    recipe = make_method("at", {}, "paper")[1]
    live = numbered(case, forms, inputs["average_starts_as"])
    trick.setup(live, context_for(recipe, (1, 1), torch.zeros(1)))
    trick.count = params.get("swa_n_first", 0)
    after = []
    for number in inputs["updates"]:
        become(live, numbered(case, forms, number).state_dict())
        trick.collect(live)
        after.append(shown(trick.average))
    values = trick.evaluated(live, lambda: [closed_form(**form) for form in inputs["bn_batches"]])
    (norm,) = (module for module in live.modules() if isinstance(module, nn.BatchNorm2d))
    return {"after_update": after, "bn_reestimated": statistics(values), "momentum_restored": norm.momentum}


def shown(parameters: Mapping[str, Tensor]) -> dict[str, Any]:
    """Norm and first entries of each."""
    return {name: front(value, 3) for name, value in parameters.items()}


AVERAGES = {"EMA": moving, "SWA": stochastic}
KINDS = {"sampler": sampler, "average": average}
