"""Cases of losses and terms on given arrays: no network, no attack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from bench.api import Attack, ThreatModel
from bench.config import make
from bench.registry import registry
from bench.testing.evaluate import build_head, context_for, loss, make_method
from bench.testing.forms import FormNoise, closed_form
from bench.testing.kinds.shown import front, labels, method_state, plain
from bench.testing.words import METHODS, UnsupportedError, settings

#: name of an array in the file -> ours
ARRAYS = {"clean": "clean", "cos_clean": "clean", "adv": "adv", "cos_adv": "adv", "feat": "features", "phi": "phi"}
#: our arrays -> name of their gradient in the file
GRADIENTS = {"clean": "grad_clean_logits", "adv": "grad_adv_logits", "features": "grad_features"}


def loss_only(case: Mapping[str, Any], _: Mapping[str, Any]) -> dict[str, Any]:
    """A loss or a term of it on given arrays."""
    params, inputs = case["params"], case["inputs"]
    if case["method"] in SPECIAL:
        return SPECIAL[case["method"]](case)
    special: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
        "cosplus": robal_heads,
        "actions": policy_loss,
        "phi": perturbation,
    }
    for key, function in special.items():
        if key in params or key in inputs.get("arrays", {}):
            return function(case)
    part = "loss"
    if case["method"] == "RoBal" and "beta_reg" not in params:
        part = "margin_loss"
    if case["method"] == "REAT" and "prev_epoch_adv_prediction_counts" in params:
        part = "rebalanced"
    arrays: dict[str, Any] = {ARRAYS[name]: closed_form(**form) for name, form in inputs["arrays"].items()}
    result = loss(
        METHODS[case["method"]][0],
        part=part,
        y=labels(case),
        class_counts=inputs["class_counts"],
        hparams=settings(case),
        state=method_state(case),
        extras={"kappa": torch.tensor(params["kappa"])} if "kappa" in params else None,
        **arrays,
    )
    gradients = {GRADIENTS[name]: front(grad, 5) for name, grad in result.gradients.items()}
    return {"loss": result.loss, "total": result.loss, **result.parts, **plain(result.extras), **gradients}


def weights(case: Mapping[str, Any], _: Mapping[str, Any]) -> dict[str, Any]:
    """GAIRAT's weights of given counts."""
    kappa = torch.tensor(case["inputs"]["kappa"], dtype=torch.float64)
    result = loss(METHODS[case["method"]][0], part="weights", hparams=settings(case), kappa=kappa)
    return {"weights": result.outputs[0].tolist()}


def robal_heads(case: Mapping[str, Any]) -> dict[str, Any]:
    """RoBal's head in training and at inference."""
    params, inputs = case["params"], case["inputs"]
    features = closed_form(**inputs["arrays"]["feat"])
    got: dict[str, Any] = {}
    for name, tau in (("cosplus", 0.0), ("postproc", params["postproc"].get("tau_p", 0.0))):
        shape = params["weight"]["shape"]
        head: Any = build_head("robal", shape[1], shape[0], {"gamma": params[name]["gamma"]}).double()
        counts = torch.tensor(inputs["class_counts"], dtype=torch.float64)
        with torch.no_grad():
            head.weight.copy_(closed_form(**params["weight"]))
            head.log_prior.copy_((counts / counts.sum()).log())
            head.scale, head.tau = params[name]["scale"], tau
            logits = head(features)
        got |= {f"{name}_logits_row0": logits[0].tolist(), f"{name}_sum": float(logits.sum())}
    return got


def policy_loss(case: Mapping[str, Any]) -> dict[str, Any]:
    """LAS-AT's strategy loss; the logits of head j have a closed form of their own."""
    params = case["params"]
    rows = case["inputs"].get("N", len(params["actions"][0]))
    heads = [closed_form((rows, n), a=1.0, w=0.7 + 0.1 * j, p=0.3 + j) for j, n in enumerate(params["head_sizes"])]
    actions = [torch.tensor(row) for row in params["actions"]]
    result = loss("las-at", part="policy_loss", heads=heads, actions=actions, reward=params["reward"])
    return {"policy_loss": result.loss, "grad_head_norms": [float(g.norm()) for g in result.gradients["heads"]]}


def perturbation(case: Mapping[str, Any]) -> dict[str, Any]:
    """ADT-EXP-AM's perturbation and entropy from a generator's output."""
    phi = closed_form(**case["inputs"]["arrays"]["phi"])
    a, entropy = loss("adt", part="perturbation", noise=FormNoise(), phi=phi).outputs
    return {
        "adv_sum": float(a.sum()),
        "adv_abs_sum": float(a.abs().sum()),
        "adv_first8": a.flatten()[:8].tolist(),
        "entropy": float(entropy),
    }


def class_weights(case: Mapping[str, Any], _: Mapping[str, Any]) -> dict[str, Any]:
    """LDAM's deferred class weights at some epochs (0-based)."""
    counts = case["inputs"]["class_counts"]
    method: Any
    method, recipe = make_method(METHODS[case["method"]][0], settings(case), "paper")
    like = torch.zeros(1, dtype=torch.float64)
    found = {}
    for epoch in case["expected"]["weights_at_epoch"]:
        context = context_for(recipe, counts, like, epoch=int(epoch))
        found[epoch] = method.class_weights(context.class_counts.double(), context)
    ones = [1.0] * len(counts)
    return {"weights_at_epoch": {epoch: ones if w is None else w.tolist() for epoch, w in found.items()}}


def probability_margin(case: Mapping[str, Any]) -> dict[str, Any]:
    """The objective of a phase of PMA on given logits."""
    params = {key: value for key, value in case["params"].items() if key != "note"}
    phase = params.pop("phase", "margin")
    reduction = params.pop("reduction", "sum" if phase == "margin" else "mean")
    if params or phase not in ("margin", "first", "true", "other") or reduction not in ("mean", "sum"):
        raise UnsupportedError(f"settings {case['params']}; known: phase=margin|first|true|other, reduction=mean|sum")
    y, z = labels(case), closed_form(**case["inputs"]["arrays"]["adv"]).requires_grad_(True)
    cls: type[Attack] = registry("attacks").get("pma")
    attack: Any = cls(make(cls.Params, {}, "pma"), ThreatModel(), z.shape[1])
    values: Tensor = attack.objective(phase, y)(z)
    total = values.sum() if reduction == "sum" else values.mean()
    (gradient,) = torch.autograd.grad(total, z)
    return {
        "loss": float(total.detach()),
        "per_sample": values.detach().tolist(),
        "runner_up": attack.runner_up(z.detach(), y).tolist(),
        "grad_adv_logits": front(gradient, 5),
    }


def smoothed(case: Mapping[str, Any]) -> dict[str, Any]:
    """Cross-entropy with softened labels on given logits, in the two conventions."""
    params = {key: value for key, value in case["params"].items() if key != "note"}
    variant, amount = params.pop("variant", None), params.pop("smoothing", None)
    over = {"uniform-over-all": "all", "uniform-over-others": "others"}
    if params or variant not in over or amount is None:
        raise UnsupportedError(f"settings {case['params']}; known: smoothing, variant={' | '.join(over)}")
    result = loss(
        "at",
        y=labels(case),
        class_counts=case["inputs"]["class_counts"],
        enhancers=[("smoothing", {"s": amount, "over": over[variant]})],
        adv=closed_form(**case["inputs"]["arrays"]["adv"]),
    )
    return {"loss": result.loss, "grad_adv_logits": front(result.gradients["adv"], 5)}


#: losses that are no method's
SPECIAL = {"PM": probability_margin, "SmoothCE": smoothed}
KINDS = {"loss_only": loss_only, "weights": weights, "class_weights": class_weights}
