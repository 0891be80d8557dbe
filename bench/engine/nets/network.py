"""One classifier: an architecture's backbone, a method's head, and between image and backbone only what is stated.

The network takes images in [0,1]. Where its architecture declares another input size it enlarges them itself
(bilinear), and where it declares constants it normalises them itself: so an attack's radius is always in pixels of the
image given.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.engine.nets.modes import evaluating
from bench.errors import ModelError, in_words
from bench.plugins import make_model
from bench.seeding import isolated

#: a method's `build_head`: (features, classes) -> module from N x features to N x classes, or None for a linear layer
HeadBuilder = Callable[[int, int], nn.Module | None]


class Network(nn.Module):
    """images N x channels x H x W in [0,1] -> logits N x C. `size`: (H, W) the backbone wants, or None."""

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        *,
        size: tuple[int, int] | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.size = backbone, head, size
        # not persistent: they belong to the architecture, and published state dicts do not hold them
        for name, values in (("mean", mean), ("std", std)):
            constant = None if values is None else torch.tensor(values).view(1, -1, 1, 1)
            self.register_buffer(name, constant, persistent=False)

    def features(self, x: Tensor) -> Tensor:
        """Features N x D of images in [0,1]."""
        if self.size is not None and tuple(x.shape[-2:]) != self.size:
            x = F.interpolate(x, self.size, mode="bilinear", align_corners=False)
        if self.mean is not None and self.std is not None:
            x = (x - self.mean) / self.std
        out: Tensor = self.backbone(x)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Logits N x C of images in [0,1]."""
        out: Tensor = self.head(self.features(x))
        return out


def build_network(
    model_name: str,
    image: tuple[int, int, int],
    num_classes: int,
    build_head: HeadBuilder | None,
    root_seed: int,
) -> Network:
    """The network of a cell, on the CPU, initialised from the stream `init` of `root_seed` (no global generator moves).

    image: (channels, height, width) of what it will be given. Raises UsageError for an unknown model, ModelError when
    it cannot be built for such images or does not give N x D features and N x C logits.
    """
    with isolated(root_seed, "init"):
        net = assemble(model_name, image, num_classes, build_head)
    _probe(net, model_name, image, num_classes)
    return net


def assemble(model_name: str, image: tuple[int, int, int], num_classes: int, build_head: HeadBuilder | None) -> Network:
    """Backbone, head and what lies between, initialised from the global generator on torch's current device."""
    model = make_model(model_name)
    declared = model.input_size(image)
    backbone, width = model.build(declared)
    head = build_head(width, num_classes) if build_head else None
    size = declared[1:] if declared[1:] != image[1:] else None
    return Network(backbone, head or nn.Linear(width, num_classes), size=size, mean=model.mean, std=model.std)


def _probe(net: Network, name: str, image: tuple[int, int, int], classes: int) -> None:
    """One image through the network, shapes compared with what was declared."""
    try:
        with torch.no_grad(), evaluating(net):
            features = net.features(torch.zeros(1, *image))
            logits = net.head(features)
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        said = in_words(error, RuntimeError, ValueError, AssertionError)
        raise ModelError(f"model '{name}' cannot take images of {_shape(image)}: {said.rstrip('.')}.") from error
    if features.ndim != 2:
        raise ModelError(f"model '{name}' gives features of shape {tuple(features.shape)} an image; (1, D) is needed.")
    if tuple(logits.shape) != (1, classes):
        raise ModelError(
            f"model '{name}' gives logits of shape {tuple(logits.shape)} an image; (1, {classes}) is needed."
        )


def _shape(image: tuple[int, int, int]) -> str:
    return f"{image[1]}x{image[2]} with {image[0]} channel{'s' if image[0] > 1 else ''}"
