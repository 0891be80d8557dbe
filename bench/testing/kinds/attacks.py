"""Cases of evaluation attacks: images, predictions, passes, iterates, and the order of targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bench.api import Attack, Objective, Oracle
from bench.testing.evaluate import attack, attacked
from bench.testing.forms import FormNoise, closed_form
from bench.testing.kinds.shown import image_facts, labels, network
from bench.testing.words import UnsupportedError, attack_settings, which_attack


def attack_only(case: Mapping[str, Any], forms: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation attack."""
    if case["params"].get("attack") == "PMA":
        return probability_margin_attack(case, forms)
    name, params = which_attack(case["params"])
    net, x = network(case, forms, {}), closed_form(**case["inputs"]["x"])
    result = attack(name, model=net, x=x, y=labels(case), params=params, noise=FormNoise())
    return {
        "x_adv": image_facts(result.x_adv, x),
        "l2_per_sample": (result.x_adv - x).flatten(1).norm(dim=1).tolist(),
        "pred": result.predictions.tolist(),
        "pred_clean": predictions(net, x),
        "forward_count": round(result.forwards),
    }


def predictions(net: torch.nn.Module, x: Tensor) -> list[int]:
    """Classes of the images in eval mode."""
    with torch.no_grad():
        found: list[int] = net.eval()(x).argmax(1).tolist()
    return found


class Watched:
    """An oracle that notes the images of every forward pass."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle, self.num_classes = oracle, oracle.num_classes
        self.seen: list[Tensor] = []

    def logits(self, x: Tensor) -> Tensor:
        """See `Oracle`."""
        self.seen.append(x.detach().clone())
        return self.oracle.logits(x)

    def forward(self, x: Tensor) -> Tensor:
        """See `Oracle`."""
        self.seen.append(x.detach().clone())
        return self.oracle.forward(x)

    def gradient(self, x: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
        """See `Oracle`."""
        self.seen.append(x.detach().clone())
        return self.oracle.gradient(x, objective)


def probability_margin_attack(case: Mapping[str, Any], forms: Mapping[str, Any]) -> dict[str, Any]:
    """PMA: where each of its passes is at some steps, and what comes of it."""
    net, x, y = network(case, forms, {}), closed_form(**case["inputs"]["x"]), labels(case)
    settings = attack_settings("PMA", case["params"])
    with attacked("pma", net, x, settings) as (chosen, oracle):
        watched = Watched(oracle)
        answer = chosen.run(watched, x, y, FormNoise())
        predicted = oracle.logits(answer).argmax(1)
    steps = chosen.params.steps
    entering = watched.seen[1:]  # the first forward finds the images that are correct
    return {
        "x_adv": image_facts(answer, x),
        "pred": predicted.tolist(),
        "pred_clean": predictions(net, x),
        "resists": (predicted == y).tolist(),
        "step_sizes": [chosen.step_size(i) for i in range(steps)],
        "images_forwarded": sum(len(images) for images in watched.seen),
        "iterates": [
            iterate(entering, wanted["run"], wanted["step"], steps) for wanted in case["expected"].get("iterates", [])
        ],
    }


def iterate(entering: list[Tensor], run: int, step: int, steps: int) -> dict[str, Any]:
    """The images before `step` of pass `run`; nothing is forwarded once no image stands."""
    at = run * (steps + 1) + step
    images = entering[at] if at < len(entering) else torch.empty(0)
    return {
        "run": run,
        "step": step,
        "images": len(images),
        "sum": float(images.sum()),
        "first4": images.flatten()[:4].tolist(),
    }


def target_order(case: Mapping[str, Any], forms: Mapping[str, Any]) -> dict[str, Any]:
    """MALT's ranking of the classes."""
    params = dict(case["params"])
    norm = str(params.pop("norm", "inf"))
    if norm not in ("inf", "2"):
        raise UnsupportedError(f"norm={norm}; known: inf, 2")
    settings = {"targets" if key == "k" else key: value for key, value in params.items() if key != "note"}
    net, x, y = network(case, forms, {}), closed_form(**case["inputs"]["x"]), labels(case)
    with attacked("malt", net, x, settings) as (chosen, oracle):
        found: Attack = chosen
        order, scores = found.target_order(oracle, x, y, norm)  # type: ignore[attr-defined]
    return {"order": order.tolist(), "scores": scores.tolist(), "pred_clean": predictions(net, x)}


KINDS = {"attack_only": attack_only, "target_order": target_order}
