"""Cases of enhancers around a training step: RobustLT's radii, AWP's weights, UDR's soft ball."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bench.testing.evaluate import StepResult, context_for, make_enhancer, make_method, step
from bench.testing.forms import FormNoise, closed_form
from bench.testing.kinds.shown import front, gradient_facts, image_facts, labels, network, statistics
from bench.testing.words import METHODS, UnsupportedError, held, settings, start

Settings = dict[str, Any]
Enhancers = list[tuple[str, Mapping[str, Any]]]
#: settings of a case that are the enhancers' or the optimiser's, not the method's; the rate of a proxy has no effect
WRAPPING = {
    "wrapper",
    "start_scaled",
    "attack_mode",
    "init",
    "gamma",
    "base",
    "proxy",
    "momentum_buffers",
    "lamda",
    "tau",
    "proxy_lr",
}
#: base of a case -> registered method and its settings
BASES: dict[str, tuple[str, Settings]] = {
    "AT": ("at", {}),
    "TRADES": ("trades", {"adversarial_first": True}),
    "pgd": ("udr", {"form": "pgd"}),
    "trades": ("udr", {"form": "trades"}),
}


def robustlt(params: Mapping[str, Any]) -> tuple[Enhancers, Settings]:
    """(RobustLT around the base of a case, where training is). Raises UnsupportedError."""
    wrapper = dict(params["wrapper"])
    if wrapper.pop("name") != "robustlt" or wrapper.keys() != {"alpha", "beta", "epochs", "epoch"}:
        raise UnsupportedError(f"wrapper {params['wrapper']!r}; known: robustlt with alpha, beta, epochs, epoch")
    own: Settings = {"alpha": wrapper["alpha"], "beta": wrapper["beta"], "scaled_start": params["start_scaled"]}
    if params["attack_mode"] == "train-frozen":
        own["mode"] = "train-frozen"
    return [("robustlt", own)], {"epoch": wrapper["epoch"] - 1, "epochs": wrapper["epochs"]}


def started(base: str, params: Mapping[str, Any], own: Settings) -> Settings:
    """The start and the mode of the inner attack as settings of the base; RobustLT's `own` where the base has none."""
    words = str(params["init"]).replace("_i", "")
    if base in ("at", "trades-own"):
        mode = params["attack_mode"]
        return {"start": start(words), "attack_mode": "eval" if mode == "train-frozen" else mode}
    if start(words) == "uniform-clamped":
        own["start"] = "uniform-clamped"
    return {}


def stepped(case: Mapping[str, Any], forms: Mapping[str, Any], base: str, hparams: Settings, **more: Any) -> StepResult:
    """One step of the case's network."""
    net, x = network(case, forms, {}), closed_form(**case["inputs"]["x"])
    return step(
        base,
        model=net,
        x=x,
        y=labels(case),
        class_counts=case["inputs"]["class_counts"],
        hparams=hparams,
        noise=FormNoise(),
        **more,
    )


def facts(case: Mapping[str, Any], result: StepResult) -> dict[str, Any]:
    """What all these cases state of a step."""
    first = case["expected"].get("grad", {}).get("first_param", next(iter(result.grads)))
    got = {
        "loss": result.loss,
        "grad": gradient_facts(result.grads, first),
        "bn_after": statistics(result.buffers),
        "forward_counts": result.forward_counts,
    }
    if result.x_adv is not None:
        got["x_adv"] = image_facts(result.x_adv, closed_form(**case["inputs"]["x"]))
    return got


def radius(case: Mapping[str, Any], _: Mapping[str, Any]) -> dict[str, Any]:
    """RobustLT's radius and step of each class."""
    params, counts = dict(case["params"]), case["inputs"]["class_counts"]
    eps, size, epochs = params.pop("eps"), params.pop("step"), params.pop("epochs")
    trick: Any = make_enhancer("robustlt", {key: value for key, value in params.items() if key != "note"})
    recipe = make_method("at", {}, "paper", epochs)[1]
    like = torch.zeros(1, dtype=torch.float64)
    shares = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    largest = eps * trick.largest(torch.tensor(counts))
    at = {
        epoch: trick.factors(context_for(recipe, counts, like, epoch=int(epoch) - 1))
        for epoch in case["expected"]["eps_at_epoch"]
    }
    return {
        "eps_max": largest.tolist(),
        "mean_eps_max": float((shares * largest).sum()),
        "eps_at_epoch": {epoch: (eps * factor).tolist() for epoch, factor in at.items()},
        "step_at_epoch": {epoch: (size * factor).tolist() for epoch, factor in at.items()},
    }


def wrapped_step(case: Mapping[str, Any], forms: Mapping[str, Any]) -> dict[str, Any]:
    """A base inside RobustLT: the released code's own attack on frozen batch statistics, or the base's."""
    params, name = case["params"], METHODS[case["method"]][0]
    enhancers, where = robustlt(params)
    own: Any = enhancers[0][1]
    released = params["attack_mode"] == "train-frozen"
    left = {
        key: value for key, value in params.items() if key not in WRAPPING - ({"gamma"} if name == "taet" else set())
    }
    hparams = settings({**case, "params": left})
    if released and name != "at":
        own["clean_forward"] = True
    if released and "ce_epochs" in hparams:
        hparams["ce_epochs"] -= 1  # the released count of epochs begins at 1
    hparams |= started(name, params, own)
    result = stepped(case, forms, name, hparams, enhancers=enhancers, **where)
    recipe = make_method(name, hparams, "paper", where["epochs"])[1]
    trick: Any = result.enhancers[0]
    context = context_for(recipe, case["inputs"]["class_counts"], torch.zeros(1), epoch=where["epoch"])
    factors = trick.factors(context)[labels(case)]
    return {
        **facts(case, result),
        "eps_per_image": (factors * recipe.eps).tolist(),
        "step_per_image": (factors * recipe.step).tolist(),
    }


def awp_step(case: Mapping[str, Any], forms: Mapping[str, Any]) -> dict[str, Any]:
    """Attack, perturbation, loss and gradient at the perturbed weights, one optimiser step, restoration."""
    params = case["params"]
    base, hparams = based(case)
    awp: Settings = {"gamma": params["gamma"]}
    enhancers: Enhancers = []
    where: Settings = {}
    own: Settings = {}
    if "wrapper" in params:
        enhancers, where = robustlt(params)
        own = enhancers[0][1]  # type: ignore[assignment]
    if "proxy" in params:
        if params["proxy"] != "own optimiser":
            raise UnsupportedError(f"proxy={params['proxy']!r}; known: own optimiser")
        awp["direction"] = "optimiser"
    if params["attack_mode"] == "train":
        awp["mode"] = "train"
    if base == "at":
        hparams |= started(base, params, own)
    elif (start(params["init"]), params["attack_mode"]) != ("gaussian", "eval"):
        raise UnsupportedError(f"{base} attacks from x + 0.001 G in eval mode")
    net = network(case, forms, {})
    before = {name: p.detach() for name, p in net.named_parameters()}
    result = stepped(
        case,
        forms,
        base,
        hparams,
        enhancers=[*enhancers, ("awp", awp)],
        **where,
        lr=params["lr"],
        momentum_buffers=buffers(params.get("momentum_buffers"), before),
    )
    trick: Any = result.enhancers[-1]
    moved = {name: float((p - before[name]).norm()) for name, p in result.parameters.items()}
    return {
        **facts(case, result),
        "natural_ce": result.logs.get("natural_ce"),
        "kl": result.logs.get("kl_mean"),
        "perturbation_norm": moved,
        "perturbed": {name: front(p, 3) for name, p in result.parameters.items()},
        "after": {name: front(p, 3) for name, p in result.after.items()},
        "proxy_forwards": result.enhancer_forwards,
        "loss_unperturbed": None if trick.unperturbed is None else float(trick.unperturbed),
    }


def based(case: Mapping[str, Any]) -> tuple[str, Settings]:
    """(registered base, its settings and the optimiser's) of a case that names a base."""
    params = case["params"]
    if params["base"] not in BASES:
        raise UnsupportedError(f"base {params['base']!r}; known: {', '.join(BASES)}")
    name, own = BASES[params["base"]]
    left = {key: value for key, value in held(params).items() if key not in WRAPPING | {"note", "natural_weight"}}
    return name, {**own, **left}


def buffers(form: Mapping[str, Any] | None, parameters: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Momentum buffers: the closed form with a phase that grows with the number of the parameter."""
    if form is None:
        return None
    shape = {key: value for key, value in form.items() if key not in ("p", "p_step")}
    return {
        name: closed_form(p.shape, p=form["p"] + form["p_step"] * j, **shape)
        for j, (name, p) in enumerate(parameters.items())
    }


def udr_step(case: Mapping[str, Any], forms: Mapping[str, Any]) -> dict[str, Any]:
    """An inner attack in a soft ball, and the base's loss."""
    params = case["params"]
    base, hparams = based(case)
    udr: Settings = {"lam": params["lamda"], "tau": params.get("tau"), "rate": 0.0}
    if base == "at":
        hparams |= started(base, params, {})
        if params["attack_mode"] == "train":
            udr["mode"] = "train"
    elif (start(params["init"]), params["attack_mode"]) != ("uniform-clamped", "eval"):
        raise UnsupportedError(f"{base} attacks from clip(x + U(-eps, eps)) in eval mode")
    if base == "udr":
        hparams["natural"] = params.get("natural_weight", 1.0)
    result = stepped(case, forms, base, hparams, enhancers=[("udr", udr)])
    assert result.x_adv is not None
    offset = (result.x_adv - closed_form(**case["inputs"]["x"])).abs()
    return {
        **facts(case, result),
        "natural_ce": result.logs.get("natural_ce"),
        "robust": result.logs.get("robust"),
        "delta_l1_mean": float(offset.mean()),
        "share_outside": float((offset > params["eps"] + 1e-12).double().mean()),
    }


def lambda_update(case: Mapping[str, Any], _: Mapping[str, Any]) -> dict[str, Any]:
    """How UDR's lambda moves with the distances of the batches."""
    params, inputs = dict(case["params"]), case["inputs"]
    eps = params.pop("eps")
    names = {"lamda": "lam", "lr": "rate", "minimum": "floor", "period": "period"}
    if unknown := params.keys() - names.keys() - {"note"}:
        raise UnsupportedError(f"setting {min(unknown)!r}; known: {', '.join(names)}, eps")
    trick: Any = make_enhancer("udr", {names[key]: value for key, value in params.items() if key != "note"})
    after: list[float] = []
    if "distances" in inputs:
        for distances in inputs["distances"]:
            if distances:  # none since the last move, as at the end of an epoch of whole periods
                trick.moved(torch.tensor(distances, dtype=torch.float64), eps)
            after.append(float(trick.lam))
        return {"lamda_after": after}
    recipe = make_method("at", {"eps": eps}, "paper")[1]
    context = context_for(recipe, (1, 1), torch.zeros(1))
    for _epoch in range(inputs["epochs"]):
        for context.batch, distance in enumerate(inputs["distance_by_batch"]):
            trick.seen.append(torch.tensor(distance, dtype=torch.float64))
            trick.after_step(torch.nn.Identity(), context)
            after.append(float(trick.lam))
    return {"lamda_after": after}


KINDS = {
    "radius": radius,
    "wrapped_step": wrapped_step,
    "awp_step": awp_step,
    "udr_step": udr_step,
    "lambda_update": lambda_update,
}
