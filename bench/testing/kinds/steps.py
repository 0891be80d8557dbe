"""Cases of whole training steps of a method, and of LAS-AT's reward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bench.testing.evaluate import step
from bench.testing.forms import FormNoise, closed_form
from bench.testing.kinds.shown import gradient_facts, image_facts, labels, method_state, network, plain, statistics
from bench.testing.words import METHODS, settings


def full_step(case: Mapping[str, Any], forms: Mapping[str, Any]) -> dict[str, Any]:
    """A whole training step."""
    hparams = settings(case)
    natural = "steps" not in case["params"] and "policies" not in case["params"]
    net, x = network(case, forms, hparams), closed_form(**case["inputs"]["x"])
    result = step(
        METHODS[case["method"]][0],
        model=net,
        x=x,
        y=labels(case),
        class_counts=case["inputs"]["class_counts"],
        hparams=hparams,
        noise=FormNoise(),
        epoch=0 if natural else 99,
        state=method_state(case),
        policies=case["params"].get("policies"),
    )
    got: dict[str, Any] = {
        "loss": result.loss,
        "forward_counts": result.forward_counts,
        **plain(result.extras),
        "grad": gradient_facts(result.grads, first_parameter(case, result.grads)),
        "bn_after": statistics(result.buffers),
    }
    if result.x_adv is not None:
        got["x_adv"] = image_facts(result.x_adv, x)
    if "fc.weight" in result.parameters:
        weight = result.parameters["fc.weight"]
        got["fc_weight_after"] = {"sum": float(weight.sum()), "first5": weight.flatten()[:5].tolist()}
    return got


def first_parameter(case: Mapping[str, Any], gradients: Mapping[str, Tensor]) -> str:
    """The parameter whose first gradient entries the case lists."""
    name: str = case["expected"].get("grad", {}).get("first_param", next(iter(gradients)))
    return name


def reward(case: Mapping[str, Any], forms: Mapping[str, Any]) -> dict[str, Any]:
    """LAS-AT's reward of given policies: a R1 + b R2 + c R3."""
    params, hparams = case["params"], settings(case)
    net, x = network(case, forms, hparams), closed_form(**case["inputs"]["x"])
    result = step(
        "las-at",
        model=net,
        x=x,
        y=labels(case),
        class_counts=case["inputs"]["class_counts"],
        hparams=hparams,
        noise=FormNoise(),
        lr=params.get("lr"),
        policies=params["policies"],
        step_index=19,
    )
    parts = result.extras["rewards"]
    got = {name: float(parts[name]) for name in ("R1", "R2", "R3")}
    return {**got, "reward": sum(params.get(k, 1) * got[r] for k, r in (("a", "R1"), ("b", "R2"), ("c", "R3")))}


KINDS = {"full_step": full_step, "reward": reward}
