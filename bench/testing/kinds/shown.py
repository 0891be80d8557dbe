"""What several kinds of cases build and how they state it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.seeding import isolated
from bench.testing.evaluate import build_head
from bench.testing.forms import Split, Tiny, fill
from bench.testing.words import UnsupportedError


def network(case: Mapping[str, Any], forms: Mapping[str, Any], hparams: Mapping[str, Any]) -> nn.Module:
    """The case's tiny network, its head built by the method where the type asks for one."""
    inputs = case["inputs"]
    channels, height, width = inputs["x"]["shape"][1:] if "x" in inputs else (3, inputs["hw"], inputs["hw"])
    features, kind = 4 * (height // 2) * (width // 2), inputs["net"]["type"]
    types: dict[str, Callable[[], nn.Module]] = {
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


def image_facts(x_adv: Tensor, x: Tensor) -> dict[str, Any]:
    """The figures by which a file states an adversarial batch."""
    offset = (x_adv - x).abs()
    return {
        "sum": float(x_adv.sum()),
        "l1_to_x": float(offset.sum()),
        "linf_to_x": float(offset.max()),
        "first8": x_adv.flatten()[:8].tolist(),
        "linf_per_image": offset.flatten(1).amax(1).tolist(),
    }


def gradient_facts(gradients: Mapping[str, Tensor], first: str) -> dict[str, Any]:
    """Norms of the gradients by parameter and first entries of the one named `first`."""
    norms = {name: float(grad.norm()) for name, grad in gradients.items()}
    return {
        "total_norm": sum(norm**2 for norm in norms.values()) ** 0.5,
        "per_param_norm": norms,
        "first_param": first,
        "first5": gradients[first].flatten()[:5].tolist(),
    }


def statistics(buffers: Mapping[str, Tensor]) -> dict[str, Any]:
    """The tiny network's batch-norm statistics."""
    return {name.rpartition(".")[2]: plain(value) for name, value in buffers.items() if "bn." in name}


def front(value: Tensor, count: int) -> dict[str, Any]:
    """L2 norm and the first entries in C order."""
    return {"norm": float(value.norm()), f"first{count}": value.flatten()[:count].tolist()}


def plain(value: Any) -> Any:
    """Tensors as numbers and lists; other objects as they are."""
    if isinstance(value, Tensor):
        return value.tolist()
    return {k: plain(v) for k, v in value.items()} if isinstance(value, Mapping) else value
