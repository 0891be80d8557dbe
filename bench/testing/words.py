"""The words of the golden schema in ours: methods, settings, starts and attacks.

The schema names methods as their authors do and spells settings as their code does. A setting that no table knows, or a
value that ours cannot take, is unsupported, never skipped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: name in the file -> registered method and the settings that make it the authors' code
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "CE": ("ce", {}),
    "AT": ("at", {}),
    "TRADES": ("trades", {}),
    "MART": ("mart", {}),
    "GAIRAT": ("gairat", {}),
    "HE": ("he", {}),
    "ADT-EXP": ("adt", {"accumulate": True}),
    "ADT-EXP-AM": ("adt", {"variant": "EXP-AM"}),
    "LAS-AT": ("las-at", {}),
    "RoBal": ("robal", {}),
    "REAT": ("reat", {}),
    "AT-BSL": ("at-bsl", {}),
    "HARL": ("harl", {}),
    "TAET": ("taet", {}),
    "LDAM": ("ldam", {}),
    "DRW": ("ldam", {}),
    "UniMargin": ("he", {}),
    "Focal": ("focal", {}),
    "CB": ("cb", {}),
    "CDT": ("cdt", {}),
    "CDT-head": ("cdt", {}),
    "LA": ("la", {}),
    "BCE": ("bce", {}),
    "Cos": ("cos", {}),
    "tau-norm": ("tau-norm", {}),
    "LWS": ("lws", {}),
    "CDT-post": ("cdt-posthoc", {}),
    "LA-post": ("la-posthoc", {}),
    "TDE": ("tde", {"record": "always"}),
}
#: cases that are not about a method
OTHERS = {
    "PM", "PMA", "MALT", "RobustLT", "AWP-AT", "AWP-TRADES", "AWP-RobustLT", "UDR", "UDR-AT", "UDR-PGD", "UDR-TRADES",
    "CFOL", "EMA", "SWA", "SmoothCE",
}  # fmt: skip
#: setting in the file -> ours; settings not named here keep their name
RENAMED = {
    "Lambda": "lam", "num_steps": "steps", "lbd": "entropy", "adam_lr": "inner_lr", "num_samples": "samples",
    "label_smoothing_factor": "smoothing", "factor": "smoothing", "extra_clean_train_forward": "extra_clean_forward",
    "R2_param": "robust_weight", "R3_param": "clean_weight",
}  # fmt: skip
#: start of the inner attack as the file words it
STARTS = {
    "uniform(-eps,eps) then clamp [0,1]": "uniform-clamped",
    "uniform(-eps,eps)": "uniform",
    "0.001*gaussian": "gaussian",
}
#: handled by the case itself, or without effect on any number of one step; of every method, and of each
ASIDE = {"note", "lr", "init", "tail_classes"}
OWN_ASIDE: dict[str, set[str]] = {
    "GAIRAT": {"kappa"},
    "LAS-AT": {"policies", "a", "b", "c", "head_sizes", "actions", "reward"},
    "RoBal": {"mu", "weight", "cosplus", "postproc"},
    "REAT": {"prev_epoch_adv_prediction_counts"},
}
#: settings of the original that ours holds fixed; of every method, and of each
FIXED = {"adam_betas": [0.0, 0.0], "adam_eps": 1e-8, "classifier_scale": 1, "decay": 1}
OWN_FIXED: dict[str, dict[str, Any]] = {
    "LDAM": {"inv": False},
    "CB": {"use_sigmoid": True, "alpha": 1},
    "tau-norm": {"feature_norm": False, "avg_T": 1, "bias": False},
    "LWS": {"lws": True, "feature_norm": False, "avg_T": 1, "bias": False},
    "AT-BSL": {"tau_b": 1},
    "PMA": {"attack": "PMA", "loss": "probability margin"},
}
#: attack as the file names it -> ours, with the start its authors give it
ATTACKS: dict[str, tuple[str, dict[str, Any]]] = {
    "FGSM": ("fgsm", {"start": "gaussian"}),
    "PGD": ("pgd-20", {"start": "uniform"}),
    "CW": ("cw-linf", {"start": "uniform"}),
    "LSA": ("lsa", {"start": "uniform"}),
    "MIM": ("mim", {"start": "uniform"}),
}
#: a setting by which an attack without a name is recognised, first match first; else it is FGSM from the image
RECOGNISED: dict[str, tuple[str, dict[str, Any]]] = {
    "c": ("cw-l2", {"stop": "batch"}),
    "margin": ("cw-linf", {"start": "uniform"}),
    "decay": ("mim", {"start": "uniform"}),
    "steps": ("pgd-20", {}),
}


class UnsupportedError(Exception):
    """A case asks for something that is not known here."""


def settings(case: Mapping[str, Any]) -> dict[str, Any]:
    """Our settings of a case."""
    name, chosen = METHODS[case["method"]][0], dict(METHODS[case["method"]][1])
    aside = ASIDE | OWN_ASIDE.get(case["method"], set())
    for key, value in held(case["params"], case["method"]).items():
        if key not in aside:
            chosen[RENAMED.get(key, key)] = value.lower() if key == "func" else value
    if chosen.get("lam") == math.inf:
        chosen["lam"] = 100.0  # tanh and sigmoid are exactly 1 from far less on
    if "init" in case["params"]:
        chosen["start"] = start(case["params"]["init"])
    if case["params"].get("tail_classes") is not None:
        tail, classes = case["params"]["tail_classes"], case["inputs"]["C"]
        chosen["tail_start"] = min(tail, default=classes)
        if sorted(tail) != list(range(chosen["tail_start"], classes)):
            raise UnsupportedError(f"tail_classes={tail}; only the last classes can be the tail")
    if name == "adt" and "steps" in chosen:
        chosen["inner_steps"] = chosen.pop("steps")
    return own_form(case["method"], chosen)


def held(params: Mapping[str, Any], method: str = "") -> dict[str, Any]:
    """The settings without those that ours hold fixed; raises UnsupportedError where one of these differs."""
    fixed = FIXED | OWN_FIXED.get(method, {})
    for key in fixed.keys() & params.keys():
        if params[key] != fixed[key]:
            raise UnsupportedError(f"{key}={params[key]!r}; only {fixed[key]!r} is supported")
    return {key: value for key, value in params.items() if key not in fixed}


def own_form(method: str, chosen: dict[str, Any]) -> dict[str, Any]:
    """The settings of methods whose authors word a choice in another way than ours."""
    if method == "Focal" and "use_sigmoid" in chosen:
        chosen["form"] = "binary" if chosen.pop("use_sigmoid") else "softmax"
    if method == "CB" and "loss_type" in chosen:
        chosen["form"] = chosen.pop("loss_type")
    if method == "LDAM" and (drw := chosen.pop("drw", None)) is not None:
        if set(drw) != {"beta"}:
            raise UnsupportedError(f"drw={drw!r}; only its beta is known")
        chosen |= {"drw_epochs": (0,), "drw_betas": (drw["beta"],)}
    if method == "DRW":
        return {f"drw_{key}": tuple(value) if isinstance(value, list) else value for key, value in chosen.items()}
    return chosen


def start(words: str) -> str:
    """Our name of a start of an attack."""
    if words not in STARTS:
        raise UnsupportedError(f"start {words!r}; known: {', '.join(STARTS)}")
    return STARTS[words]


def which_attack(params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(registered attack, its parameters), recognised by the settings of the case."""
    if "method" in params:
        if params["method"] not in ATTACKS:
            raise UnsupportedError(f"attack {params['method']!r}; known: {', '.join(ATTACKS)}")
        name, own = ATTACKS[params["method"]]
    else:
        name, own = next((found for key, found in RECOGNISED.items() if key in params), ("fgsm", {}))
    renamed = {"margin": "kappa", "alpha": "scale", "init": "start", "random_start": "start"}
    values = {key: value for key, value in held(params).items() if key not in ("method", "note")}
    if "init" in values:
        values["init"] = start(values["init"])
    if "random_start" in values:
        values["random_start"] = "uniform-clamped" if values["random_start"] else "image"
    if name == "pgd-20" and "alpha" in values:
        name = "lsa"  # the authors' factor on the logits inside PGD
    if name == "fgsm" and (values.pop("step", values.get("eps")), values.pop("steps", 1)) != (values.get("eps"), 1):
        raise UnsupportedError("FGSM makes one step as long as the radius")
    return name, {**own, **{renamed.get(key, key): value for key, value in values.items()}}


def attack_settings(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Our parameters of an attack that a case names itself."""
    values = {key: value for key, value in held(params, method).items() if key != "note"}
    if "init" in values:
        values["start"] = start(values.pop("init"))
    return values
