"""The gradient of the training attack, made cheap: folded batch norm, memory layout, recorded or compiled kernels.

An eval-mode attack differentiates a frozen copy of the backbone in which batch norm is folded into the convolutions.
The copy is traced once; before each attack only its weights are folded again from the live network. The head and the
objective are always the live ones. Whether a backbone is folded depends on its structure alone (what was traced must
compute what the backbone does), so one cell gives the same bytes in every process of a CPU.

In float64 the folded gradient is the plain one up to the last bits (tested over whole trainings); in float32 up to
rounding. An attack in train mode, and a network that is not the harness's own, get the plain gradient.
"""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from bench.api import Gradient, Mode, Objective
from bench.config import CellSpec
from bench.engine.gradients.graphs import CudaRecorder, Eager, Engine, Features, Recorder, Replayed, aside
from bench.engine.gradients.inner import ascend, plain_gradient
from bench.engine.nets.fold import Folded, fold, suits_channels_last
from bench.engine.nets.network import Network
from bench.errors import ModelError

#: images of the first batch on which the traced backbone is compared with the real one
PROBE = 2


def make_inner(spec: CellSpec, device: torch.device, network: nn.Module) -> FastInner:
    """What a method attacks `network` with while a cell trains on a device."""
    return FastInner(spec, network, CudaRecorder() if device.type == "cuda" else None)


class FastInner:
    """`ascend` and `plain_gradient` of `bench.engine.gradients.inner`, cheaper for one network in eval mode.

    `recorder`: records kernels (CUDA graphs); None runs them as they come.
    """

    def __init__(self, spec: CellSpec, network: nn.Module, recorder: Recorder | None) -> None:
        self.spec, self.network, self.recorder = spec, network, recorder
        self._gradient: NetworkGradient | None = None

    def ascend(self, model: nn.Module, x: Tensor, objective: Objective, *, mode: Mode = "eval", **rest: Any) -> Tensor:
        """See `bench.engine.gradients.inner.ascend`."""
        return ascend(model, x, objective, mode=mode, gradient=self._choose(model, x, mode != "eval"), **rest)

    def gradient(self, model: nn.Module, x: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
        """See `Context.gradient`; the weights are folded again for every call."""
        return self._choose(model, x, model.training)(model, x, objective)

    def _choose(self, model: nn.Module, x: Tensor, training: bool) -> Gradient:
        """The fast gradient, of the network as it is now, where it is the plain one's equal."""
        if training or model is not self.network or not isinstance(model, Network):
            return plain_gradient
        if self._gradient is None:
            self._gradient = NetworkGradient(self.spec, model, x, self.recorder)
        self._gradient.refresh()
        return self._gradient


class NetworkGradient:
    """A `Gradient` of one network: its backbone folded where that is possible, its head live.

    Call `refresh` whenever the network has changed. `folded` is None where nothing could be folded.
    """

    def __init__(self, spec: CellSpec, network: Network, x: Tensor, recorder: Recorder | None) -> None:
        bf16 = spec.precision == "bf16"
        last = suits_channels_last(x)
        self.folded = fold(network.backbone, prepared(network, x[:PROBE]), channels_last=last)
        features: Features = network.features
        if self.folded is not None:
            if last:
                self.folded.to_channels_last()
            to_dtype(self.folded, torch.bfloat16 if bf16 else None)
            features = twin(network, self.folded.net).features
        if spec.compile:
            features = _compiled(features)
        if self.folded is not None and last:  # all that a convolution sees must be in its layout
            features = _channels_last(features)
        self.refresh = self._refresh
        if recorder is None:
            self.engine: Engine = Eager(features)
            return
        kind = x.device.type

        def autocast() -> AbstractContextManager[Any]:
            return torch.autocast(kind, torch.bfloat16, cache_enabled=False) if bf16 else nullcontext()

        self.engine = Replayed(features, recorder, autocast)
        self._record_refresh(recorder, x.device)

    def _refresh(self) -> None:
        if self.folded is not None:
            self.folded.refresh()

    def _record_refresh(self, recorder: Recorder, device: torch.device) -> None:
        """Fold by one launch too: the live weights change in place, so they stay where the recording reads them."""
        folded = self.folded
        if folded is None:
            return

        def code() -> Tensor:
            folded.refresh()
            return folded.pairs[0][1].weight

        try:
            with aside(device), torch.no_grad():
                code()
                self.refresh = recorder.record(code)[0]
        except RuntimeError:
            self.refresh = self._refresh

    def __call__(self, model: nn.Module, x: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
        """See `bench.engine.gradients.inner.Gradient`; `model` is the network, already in eval mode."""
        with torch.enable_grad():
            features = self.engine.forward(x).detach().requires_grad_(True)
            logits = model.head(features)  # type: ignore[operator]
            (slope,) = torch.autograd.grad(objective(logits).sum(), features)
        return self.engine.pullback(slope), logits.detach()


def prepared(network: Network, x: Tensor) -> Tensor:
    """What the backbone is given for images x: enlarged and normalised as the network does it."""
    bare = twin(network, nn.Identity())
    return bare.features(x.detach())


def twin(network: Network, backbone: nn.Module) -> Network:
    """The network with another backbone; everything else is shared."""
    other = copy.copy(network)
    other._modules = dict(network._modules) | {"backbone": backbone}
    return other


def to_dtype(folded: Folded, dtype: torch.dtype | None) -> None:
    """Keep the folded weights in `dtype` where one is given."""
    for _, target, _ in folded.pairs:
        assert target.bias is not None
        target.weight.data, target.bias.data = target.weight.data.to(dtype=dtype), target.bias.data.to(dtype=dtype)


def _channels_last(features: Features) -> Features:
    return lambda x: features(x.contiguous(memory_format=torch.channels_last))


def _compiled(features: Features) -> Features:
    """The compiled function; its first failure says how to go on without."""
    made = torch.compile(features, dynamic=False)

    def call(x: Tensor) -> Tensor:
        try:
            return made(x)
        except Exception as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(f"the attack step cannot be compiled here ({first}); run without --compile.") from error

    return call
