"""What each kind of golden case asks for, and what ours gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from bench.seeding import isolated
from bench.testing.evaluate import attack, build_head, loss, step
from bench.testing.forms import FormNoise, Split, Tiny, closed_form, fill
from bench.testing.words import METHODS, UnsupportedError, settings, which_attack

#: name of an array in the file -> ours
ARRAYS = {"clean": "clean", "cos_clean": "clean", "adv": "adv", "cos_adv": "adv", "feat": "features", "phi": "phi"}
#: our arrays -> name of their gradient in the file
GRADIENTS = {"clean": "grad_clean_logits", "adv": "grad_adv_logits", "features": "grad_features"}


def network(case: Mapping[str, Any], forms: Mapping[str, Any], hparams: Mapping[str, Any]) -> torch.nn.Module:
    """The case's tiny network, its head built by the method where the type asks for one."""
    inputs = case["inputs"]
    channels, height, width = inputs["x"]["shape"][1:]
    features, kind = 4 * (height // 2) * (width // 2), inputs["net"]["type"]
    types: dict[str, Callable[[], torch.nn.Module]] = {
        "Tiny": lambda: Tiny(channels, build_head("ce", features, inputs["C"])),
        "HETiny": lambda: Tiny(channels, build_head("he", features, inputs["C"], hparams)),
        "RBTiny": lambda: Split(channels, build_head("robal", features, inputs["C"], hparams)),
    }
    if kind not in types:
        raise UnsupportedError(f"network {kind!r}; known: {', '.join(types)}")
    with isolated(0, "init"):
        net = types[kind]()
    return fill(net, forms, inputs["net"]["fc_scale"])


def labels(case: Mapping[str, Any]) -> Tensor:
    """The case's labels."""
    return torch.tensor(case["inputs"]["labels"], dtype=torch.int64)


def method_state(case: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """REAT's counts of the previous epoch, where the case gives them."""
    counts = case["params"].get("prev_epoch_adv_prediction_counts")
    return None if counts is None else {"previous": torch.tensor(counts)}


def full_step(case: Mapping[str, Any], forms: Mapping[str, Any]) -> dict[str, Any]:
    """A whole training step."""
    hparams = settings(case)
    natural = "steps" not in case["params"] and "policies" not in case["params"]
    net, x = network(case, forms, hparams), closed_form(**case["inputs"]["x"])
    result = step(
        METHODS[case["method"]][0], model=net, x=x, y=labels(case), class_counts=case["inputs"]["class_counts"],
        hparams=hparams, noise=FormNoise(), epoch=0 if natural else 99, state=method_state(case),
        policies=case["params"].get("policies"),
    )  # fmt: skip
    first = case["expected"].get("grad", {}).get("first_param", next(iter(result.grads)))
    norms = {name: float(grad.norm()) for name, grad in result.grads.items()}
    got: dict[str, Any] = {
        "loss": result.loss, "forward_counts": result.forward_counts, **plain(result.extras),
        "grad": {
            "total_norm": sum(norm**2 for norm in norms.values()) ** 0.5, "per_param_norm": norms,
            "first_param": first, "first5": result.grads[first].flatten()[:5].tolist(),
        },
        "bn_after": {name.rpartition(".")[2]: plain(value) for name, value in result.buffers.items() if "bn." in name},
    }  # fmt: skip
    if result.x_adv is not None:
        got["x_adv"] = image_facts(result.x_adv, x)
    if "fc.weight" in result.parameters:
        weight = result.parameters["fc.weight"]
        got["fc_weight_after"] = {"sum": float(weight.sum()), "first5": weight.flatten()[:5].tolist()}
    return got


def image_facts(x_adv: Tensor, x: Tensor) -> dict[str, Any]:
    """The figures by which a file states an adversarial batch."""
    offset = (x_adv - x).abs()
    return {
        "sum": float(x_adv.sum()), "l1_to_x": float(offset.sum()), "linf_to_x": float(offset.max()),
        "first8": x_adv.flatten()[:8].tolist(),
    }  # fmt: skip


def loss_only(case: Mapping[str, Any], _: Mapping[str, Any]) -> dict[str, Any]:
    """A loss or a term of it on given arrays."""
    params, inputs = case["params"], case["inputs"]
    special: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
        "cosplus": robal_heads, "actions": policy_loss, "phi": perturbation,
    }  # fmt: skip
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
        METHODS[case["method"]][0], part=part, y=labels(case), class_counts=inputs["class_counts"],
        hparams=settings(case), state=method_state(case),
        extras={"kappa": torch.tensor(params["kappa"])} if "kappa" in params else None,
        **arrays,
    )  # fmt: skip
    gradients = {
        GRADIENTS[name]: {"norm": float(grad.norm()), "first5": grad.flatten()[:5].tolist()}
        for name, grad in result.gradients.items()
    }
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
        "adv_sum": float(a.sum()), "adv_abs_sum": float(a.abs().sum()), "adv_first8": a.flatten()[:8].tolist(),
        "entropy": float(entropy),
    }  # fmt: skip


def reward(case: Mapping[str, Any], forms: Mapping[str, Any]) -> dict[str, Any]:
    """LAS-AT's reward of given policies: a R1 + b R2 + c R3."""
    params, hparams = case["params"], settings(case)
    net, x = network(case, forms, hparams), closed_form(**case["inputs"]["x"])
    result = step(
        "las-at", model=net, x=x, y=labels(case), class_counts=case["inputs"]["class_counts"], hparams=hparams,
        noise=FormNoise(), lr=params.get("lr"), policies=params["policies"], step_index=19,
    )  # fmt: skip
    parts = result.extras["rewards"]
    got = {name: float(parts[name]) for name in ("R1", "R2", "R3")}
    return {**got, "reward": sum(params.get(k, 1) * got[r] for k, r in (("a", "R1"), ("b", "R2"), ("c", "R3")))}


def attack_only(case: Mapping[str, Any], forms: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation attack."""
    name, params = which_attack(case["params"])
    net, x = network(case, forms, {}), closed_form(**case["inputs"]["x"])
    result = attack(name, model=net, x=x, y=labels(case), params=params, noise=FormNoise())
    with torch.no_grad():
        clean = net.eval()(x).argmax(1)
    return {
        "x_adv": image_facts(result.x_adv, x), "l2_per_sample": (result.x_adv - x).flatten(1).norm(dim=1).tolist(),
        "pred": result.predictions.tolist(), "pred_clean": clean.tolist(), "forward_count": round(result.forwards),
    }  # fmt: skip


KINDS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]] = {
    "full_step": full_step, "loss_only": loss_only, "weights": weights, "reward": reward, "attack_only": attack_only,
}  # fmt: skip


def plain(value: Any) -> Any:
    """Tensors as numbers and lists; other objects as they are."""
    if isinstance(value, Tensor):
        return value.tolist()
    return {k: plain(v) for k, v in value.items()} if isinstance(value, Mapping) else value
