"""Batch norm folded into the convolution before it: the same function in eval mode, with less to compute.

Only a pair is folded: a plain convolution whose one reader is a plain batch norm in eval mode. Whatever else stands
there (hooks, weights computed in the forward pass, subclasses) is left as it is, and so is a net that `torch.fx` cannot
trace. In float64 the folded net agrees with the
plain one to rounding; in float32 a rounding can turn a ReLU gate, so verdicts always come from the plain net.
"""

from __future__ import annotations

import copy
import io
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from bench.engine.nets.modes import evaluating

#: largest relative difference of logits and of input gradients between the folded and the plain net, per dtype
TOLERANCE = {torch.float64: (1e-9, 1e-6), torch.float32: (1e-4, 2e-2)}
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass
class Folded:
    """`net`: a frozen copy in eval mode, images -> N x C logits. `pairs`: (convolution, its fold, batch norm)."""

    net: nn.Module
    pairs: list[tuple[nn.Conv2d, nn.Conv2d, nn.BatchNorm2d]] = field(default_factory=list)

    @torch.no_grad()
    def refresh(self) -> None:
        """Fold the present weights and running statistics of the source again, in place (after a training step)."""
        for source, target, norm in self.pairs:
            mean, variance = norm.running_mean, norm.running_var
            assert mean is not None
            assert variance is not None
            assert target.bias is not None
            weight, bias = fuse_conv_bn_weights(
                source.weight, source.bias, mean, variance, norm.eps, norm.weight, norm.bias
            )
            target.weight.copy_(weight)
            target.bias.copy_(bias)

    def to_channels_last(self) -> None:
        """Lay the folded kernels out channels last, which convolutions read faster; what is shared keeps its layout."""
        for _, target, _ in self.pairs:
            if target.weight.ndim == 4:
                target.weight.data = target.weight.data.contiguous(memory_format=torch.channels_last)


def fold(network: nn.Module, probe: Tensor | None = None, *, channels_last: bool = False) -> Folded | None:
    """A folded copy of `network`, or None when it cannot be traced or has no pair to fold.

    The copy shares every tensor that is not part of a pair with the source, so `refresh` is all that a training step
    asks for. The source is not changed. `probe`: a few images on which the net, folded in double precision, must
    compute what the source does there: so this asks about the structure, whatever the weights are. `channels_last`: it
    will be laid out so, and is asked so.
    """
    try:
        with evaluating(network):
            if probe is not None and not _keeps_the_function(network, probe, channels_last):
                return None
            return _folded(network)
    except Exception:  # a net may do anything in its forward; one that cannot be traced or folded is used as it is
        return None


def _keeps_the_function(network: nn.Module, probe: Tensor, channels_last: bool) -> bool:
    wide, images = copy.deepcopy(network).double(), probe.detach().double()
    folded = _folded(wide)
    if folded is not None and channels_last:
        folded.to_channels_last()
        images = images.contiguous(memory_format=torch.channels_last)
    return folded is not None and agrees(folded.net, wide, images)


def _folded(network: nn.Module) -> Folded | None:
    traced = fx.symbolic_trace(network)
    modules, result = dict(traced.named_modules()), Folded(traced)
    prefix = "folded"
    while any(name.startswith(prefix) for name in modules):
        prefix += "_"
    for node in list(traced.graph.nodes):
        source = _conv_before(node, modules)
        if source is None:
            continue
        conv = cast(nn.Conv2d, modules[str(source.target)])  # or its 1d or 3d sister: the same attributes
        norm = cast(nn.BatchNorm2d, modules[str(node.target)])
        target = _with_bias(conv)
        name = f"{prefix}{len(result.pairs)}"
        traced.add_submodule(name, target)
        source.target, modules[name] = name, target  # a second batch norm behind it is folded into the fold
        node.replace_all_uses_with(source)
        traced.graph.erase_node(node)
        result.pairs.append((conv, target, norm))
    if not result.pairs:
        return None
    traced.delete_all_unused_submodules()
    traced.recompile()
    traced.eval()
    result.refresh()
    return result


def suits_channels_last(x: Tensor) -> bool:
    """Whether channels last is the faster layout for images x (N x channels x H x W).

    With one channel it is not: the first kernel is several times slower in it, its gradient comes in the other layout.
    """
    return x.shape[1] > 1


def _conv_before(node: fx.Node, modules: dict[str, nn.Module]) -> fx.Node | None:
    """The convolution that only this batch norm reads and that only one call uses, or None."""
    norm = modules.get(str(node.target)) if node.op == "call_module" else None
    if not isinstance(norm, _BATCH_NORMS) or norm.running_mean is None:
        return None
    if type(norm) not in _BATCH_NORMS or not _is_bare(norm):
        return None
    source = node.args[0] if node.args else node.kwargs["input"]
    if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) != 1:
        return None
    conv = modules[str(source.target)]
    calls = sum(1 for n in node.graph.nodes if n.op == "call_module" and modules.get(str(n.target)) is conv)
    return source if type(conv) in _CONVS and _is_bare(conv) and calls == 1 else None


def _is_bare(module: nn.Module) -> bool:
    """Whether a call does nothing but what its class does: no hook, and a weight that is a parameter of its own.

    Weight norm, spectral norm and pruning compute the weight before each call.
    """
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return not any(hooks) and module._parameters.get("weight") is not None


def _with_bias(conv: nn.Conv2d) -> nn.Conv2d:
    target = copy.copy(conv)
    target._parameters = dict(conv._parameters)
    weight = conv.weight.detach()
    target.weight = nn.Parameter(weight.clone(), requires_grad=False)
    target.bias = nn.Parameter(weight.new_zeros(len(weight)), requires_grad=False)
    return target


def agrees(folded: nn.Module, plain: nn.Module, probe: Tensor) -> bool:
    """Whether both nets (eval mode) give the same logits and input gradients on the probe images.

    The gradients are compared because tracing forgets `torch.no_grad()` inside a forward pass. A folded net that fails
    where the plain one does not (a `view` of what a convolution answers in another layout) does not agree.
    """
    try:
        with redirect_stderr(io.StringIO()):  # a traced module prints where it failed
            logits_a, gradient_a = _answer(folded, probe)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception:
        return False
    logits_b, gradient_b = _answer(plain, probe)
    allowed = TOLERANCE.get(probe.dtype, TOLERANCE[torch.float32])
    return all(
        bool((a - b).norm() <= limit * b.norm())
        for a, b, limit in ((logits_a, logits_b, allowed[0]), (gradient_a, gradient_b, allowed[1]))
    )


def _answer(net: nn.Module, probe: Tensor) -> tuple[Tensor, Tensor]:
    """(logits, gradient of a function of all of them by the images), zeros where nothing flows back."""
    x = probe.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        logits = net(x)
        spread = logits.log_softmax(1).square().sum() if logits.requires_grad else None
    if spread is None:
        return logits.detach(), torch.zeros_like(x)
    return logits.detach(), torch.autograd.grad(spread, [x], materialize_grads=True)[0]
