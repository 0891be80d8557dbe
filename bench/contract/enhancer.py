"""What an enhancer is: a trick or wrapper that changes how any method trains, without changing what the method is.

Part of the contract of `bench.api`, through which plug-ins import it. Hooks in the order in which a training calls them
(the defaults do nothing):

    setup                 once, before the first step and before a resumed state is loaded
    order, draw           before each epoch and each batch: which images they see
    inner                 whenever the method asks for its inner attack: how that attack runs
    mix                   with the augmented batch, before anything else sees it: images and labels
    attacked              with the adversarial batch
    before_gradient       before the loss whose gradient is taken: weights may be moved
    image_weights         how much each image of the batch counts in that gradient
    after_loss            after the method's loss, with the logits of x'
    after_step            after the optimiser's step: weights are put back, averages follow
    after_epoch           after the last step of an epoch
    evaluated             which weights are evaluated and kept, where not the network's own

Whatever an enhancer remembers between steps is in `state`, so a resumed run repeats the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal

from bench.config import Recipe
from bench.contract.method import Context, H, Inner, Need
from bench.fields import check_fields

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

#: what only one enhancer of a cell may claim
Claim = Literal["radius", "ball", "weights", "average", "order", "targets", "mixing"]


@dataclass(frozen=True)
class Step:
    """One optimiser step before its gradient is taken.

    `loss`: the method's loss on this batch, as often as asked for; the method remembers nothing of these calls.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Callable[[], Tensor]
    context: Context


class Enhancer(Generic[H]):
    """A plug-in of the kind `enhancers`; written `class Mine(Enhancer["Mine.Hparams"])`. Every hook has a default."""

    name: ClassVar[str]
    #: one line: authors, venue, year
    paper: ClassVar[str] = ""
    #: what it does as text, shown by `bench show enhancer`
    formula: ClassVar[str] = ""
    #: licence of the authors' code
    licence: ClassVar[str] = "none stated"
    #: where paper and official code differ, one sentence each
    differences: ClassVar[tuple[str, ...]] = ()
    #: settings of `recipe=official` that differ from `recipe=paper`
    official: ClassVar[Mapping[str, Any]] = {}
    #: what no second enhancer of a cell may claim
    claims: ClassVar[frozenset[Claim]] = frozenset()
    #: what it cannot do without, as of a method
    needs: ClassVar[frozenset[Need]] = frozenset()
    #: settings with which a cell has the bytes of its base (contract-tested); None where there are none
    off: ClassVar[Mapping[str, Any] | None] = None
    #: settings that switch on, in a run of three epochs, what would begin later; the contract runs it with them
    small: ClassVar[Mapping[str, Any]] = {}

    @dataclass(frozen=True)
    class Hparams:
        """The enhancer's own settings; fields made with `setting` carry their range."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        check_fields(cls.Hparams, f"{cls.__qualname__}.Hparams")

    def __init__(self, hparams: H | None = None) -> None:
        self.hp: H = hparams if hparams is not None else self.Hparams()  # type: ignore[assignment]

    def setup(self, model: nn.Module, context: Context) -> None:
        """Called once. It must not draw from the noise."""

    def passes(self, recipe: Recipe) -> tuple[float, float]:
        """Forward and backward passes that an average step gains, for the cost estimate."""
        return 0.0, 0.0

    def order(self, labels: Tensor, context: Context, generator: torch.Generator) -> Tensor | None:
        """Indices (int64) of the epoch's images in order, from the training labels (N); None: a permutation."""
        return None

    def epoch_images(self, counts: Sequence[int], recipe: Recipe) -> float:
        """How many images an average epoch of a whole run has, of these a class (length C), for the cost estimate."""
        return sum(counts)

    def draw(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """The indices of a batch in place of the epoch's order, as many."""
        return batch

    def mix(self, x: Tensor, y: Tensor, context: Context, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images (N x channels x H x W in [0,1]) and labels in place of the batch's."""
        return x, y

    def inner(self, attack: Inner, context: Context) -> Inner:
        """How the method's inner attack runs; `context.labels` are those of its images."""
        return attack

    def attacked(self, x: Tensor, x_adv: Tensor, context: Context) -> None:
        """The batch and its adversarial images, in an adversarial phase."""

    def before_gradient(self, step: Step) -> None:
        """Move the weights at which loss and gradient are taken; `after_step` puts them back."""

    def image_weights(self, y: Tensor, context: Context) -> Tensor | None:
        """N factors of the gradient that comes back to each image's logits; None: all 1."""
        return None

    def after_loss(self, model: nn.Module, x: Tensor, x_adv: Tensor, logits: Tensor | None, context: Context) -> None:
        """After the method's loss, before the optimiser's step. `x_adv`: x itself in a natural phase.

        `logits`: those of x_adv in train mode as the loss saw them first, without a graph; None where it saw none.
        """

    def after_step(self, model: nn.Module, context: Context) -> None:
        """After the optimiser's step, with `context.step` and `context.batch` counted from 0."""

    def after_epoch(self, model: nn.Module, context: Context) -> None:
        """After the last step of an epoch."""

    def evaluated(self, model: nn.Module, clean: Callable[[], Iterable[Tensor]]) -> Mapping[str, Tensor] | None:
        """Values by name of parameters and buffers that evaluations see in place of the network's own, or None.

        `clean()`: one pass over the augmented clean training images, in batches.
        """
        return None

    def state(self) -> dict[str, Any]:
        """Everything remembered between steps: tensors and plain values only."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave."""


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Batch norm in train mode normalises by the batch inside the block and leaves running statistics and counter."""
    from torch.nn.modules.batchnorm import _BatchNorm

    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def class_aware(labels: Tensor, classes: int, generator: torch.Generator, count: int | None = None) -> Tensor:
    """Indices (int64, on the CPU) of `count` draws in which every C contain each class once (Shen et al., ECCV 2016).

    Classes come in shuffled cycles, the images of a class in shuffled cycles of their own. `labels`: N class indices,
    each class present. `count`: n_max C by default.
    """
    import torch

    labels = labels.cpu()
    images = [(labels == c).nonzero().squeeze(1) for c in range(classes)]
    count = max(map(len, images)) * classes if count is None else count
    cycles = -(-count // classes)
    turns = torch.stack([torch.randperm(classes, generator=generator) for _ in range(cycles)])
    own = torch.stack([_cycled(of_class, cycles, generator) for of_class in images])  # C x cycles
    return own.gather(0, turns.T).T.flatten()[:count]


def _cycled(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the images, shuffled anew whenever all have been taken."""
    import torch

    rounds = -(-count // len(images))
    return torch.cat([images[torch.randperm(len(images), generator=generator)] for _ in range(rounds)])[:count]
