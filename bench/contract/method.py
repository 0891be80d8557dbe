"""What a training method is: the hooks it may write (`Method`) and all it is told and may use (`Context`, `Noise`).

Part of the contract of `bench.api`, through which plug-ins import it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol

from bench.config import Recipe, ThreatModel
from bench.fields import check_fields, one_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from torch import Tensor, nn
    from typing_extensions import TypeVar

    H = TypeVar("H", default=Any)
else:
    from typing import TypeVar

    H = TypeVar("H")

#: closed sets; anything else is refused where the class is made or the value is returned
Phase = Literal["natural", "adversarial"]
Mode = Literal["eval", "train", "train-frozen"]
Start = Literal["gaussian", "uniform", "uniform-clamped", "one-sided", "none"]
Need = Literal["class_counts", "features", "extra"]
#: maps logits (N x C) to a scalar or to one value an image; only its sign of ascent matters inside an attack
Objective = Callable[["Tensor"], "Tensor"]
#: (model, x, objective) -> (gradient of the summed objective with respect to x, logits), both without a graph
Gradient = Callable[["nn.Module", "Tensor", Objective], tuple["Tensor", "Tensor"]]


class Noise(Protocol):
    """All the randomness a plug-in may use. Draws happen in the order of the calls."""

    def gaussian(self, shape: Sequence[int]) -> Tensor:
        """Standard normal draws."""

    def rand(self, shape: Sequence[int]) -> Tensor:
        """Uniform draws in [0, 1)."""

    def uniform(self, shape: Sequence[int], low: float, high: float) -> Tensor:
        """Uniform draws in [low, high)."""


@dataclass(frozen=True)
class Inner:
    """How one inner attack runs; enhancers may change it before it does (see `enhancer.py`).

    `eps`, `step`: on the [0,1] scale, one number or one an image (N x 1 x 1 x 1). `spread`: radius of a random start,
    None: `eps`. `pull`: share of what has left the ball that each step takes back; 1 is projection. `look`: one more
    forward pass at the last iterate, whose only effect is on the running statistics of train mode.
    """

    start: Start
    mode: Mode
    eps: float | Tensor
    step: float | Tensor
    steps: int
    spread: float | Tensor | None = None
    pull: float | Tensor = 1.0
    look: bool = False


@dataclass
class Context:
    """What the training loop tells a method, and the only things a method may act through.

    `class_counts`: training images a class, int64, length C, on the device. `recipe`, `threat`: resolved.
    `epoch` (0-based), `epochs`, `step` (since the start of training), `lr` (of this epoch): where training is.
    `noise`: the inner-attack stream. `ascend`: see `pgd`. `gradient`: as fast as `pgd`'s, for a method's
    own inner loop; in the mode the network is in. `labels`: of the current batch; `index`: its images in the training
    set (int64, below the sum of class_counts), for memory an image; `batch`: its number in the epoch.
    `steps_per_epoch`: batches of an epoch. `networks`: those of the cells that the method goes on from, by role (see
    `Method.cells`), in eval mode and frozen. `extra`: draws n of the data set's extra images, augmented, with their
    labels (-1: unknown), for those who need them. `changes`: what enhancers do to an inner attack; `watch`: who is told
    of images and their logits; `targets`: cross-entropies (N) of logits and labels in place of the plain ones.
    """

    class_counts: Tensor
    recipe: Recipe
    threat: ThreatModel
    noise: Noise
    ascend: Callable[..., Tensor]
    gradient: Gradient
    epoch: int = 0
    step: int = 0
    lr: float = 0.1
    extras: dict[str, Any] = field(default_factory=dict)
    labels: Tensor | None = None
    index: Tensor | None = None
    batch: int = 0
    steps_per_epoch: int = 1
    networks: Mapping[str, nn.Module] = field(default_factory=dict)
    extra: Callable[[int], tuple[Tensor, Tensor]] | None = None
    changes: tuple[Callable[[Inner, Context], Inner], ...] = ()
    watch: Callable[[Tensor, Tensor], None] | None = None
    targets: Callable[[Tensor, Tensor], Tensor] | None = None

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_counts)

    @property
    def device(self) -> torch.device:
        """The device everything lives on."""
        return self.class_counts.device

    @property
    def eps(self) -> float:
        """Radius of the training attack on the [0,1] scale, for this threat model."""
        return self.recipe.eps * self.threat.scale

    @property
    def step_size(self) -> float:
        """Step of the training attack on the [0,1] scale, for this threat model."""
        return self.recipe.step * self.threat.scale

    def pgd(
        self,
        model: nn.Module,
        x: Tensor,
        objective: Objective,
        *,
        start: Start = "gaussian",
        mode: Mode = "eval",
        eps: float | Tensor | None = None,
        step: float | Tensor | None = None,
        steps: int | None = None,
        observe: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """Sign-gradient ascent of `objective(logits)` inside the l_inf ball and [0,1] (methods.md, template PGD).

        x: N x channels x H x W in [0,1]. `start`: `gaussian` (x + 0.001 G), `uniform` (x + U(-eps, eps)),
        `uniform-clamped` (the same, clamped to [0,1]), `one-sided` (x + eps U(0,1)), `none`. Only `uniform-clamped`
        is clamped before the first gradient. `mode`: the network's mode during the attack (`train-frozen`: batch
        statistics, the running ones untouched); it is put back to train mode afterwards. `observe` sees the logits
        before each step. `eps`, `step`: one number, or one an image (N x 1 x 1 x 1). Returns a constant in the ball and
        in [0,1].
        """
        attack = Inner(
            start,
            mode,
            self.eps if eps is None else eps,
            self.step_size if step is None else step,
            self.recipe.steps if steps is None else steps,
        )
        for change in self.changes:
            attack = change(attack, self)
        return self.ascend(
            model,
            x,
            objective,
            noise=self.noise,
            observe=observe,
            noise_scale=0.001 * self.threat.scale,
            **{f.name: getattr(attack, f.name) for f in fields(attack)},
        )

    def cross_entropy(self, z: Tensor, y: Tensor, reduction: Literal["mean", "none"] = "mean") -> Tensor:
        """Cross-entropy of logits z (N x C) and labels of a method's loss, whose targets an enhancer may soften."""
        from torch.nn.functional import cross_entropy

        if self.targets is None:
            return cross_entropy(z, y, reduction=reduction)
        values = self.targets(z, y)
        return values.mean() if reduction == "mean" else values

    def classify(self, model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        """(features N x D, logits N x C) of one forward pass through `model.features` and `model.head`."""
        features = model.features(x)  # type: ignore[operator]
        logits = model.head(features)  # type: ignore[operator]
        if self.watch is not None:
            self.watch(x, logits)
        return features, logits


class Turn(Protocol):
    """One batch as a method's `step` drives it; each call does all that belongs to it, enhancers included."""

    model: nn.Module
    x: Tensor
    y: Tensor
    context: Context

    def attack(self) -> Tensor:
        """Adversarial images of the batch by `Method.perturb`; x itself in a natural phase."""

    def gradient(self, x_adv: Tensor | None = None) -> Tensor:
        """Put the gradient of `Method.loss` at these images (default: `attack`'s) into the parameters; the loss."""

    def update(self) -> None:
        """The optimiser's step with the gradient that is there; it is gone afterwards."""


class Method(Generic[H]):
    """A training method. Only `loss` must be written; the defaults are adversarial training's.

    `hp` holds the settings: written `class Mine(Method["Mine.Hparams"])`, a type checker knows its fields.
    A subclass with settings of an unknown type, or another `start` or need than there is, cannot be made (UsageError).
    """

    name: ClassVar[str]
    #: one line: authors, venue, year
    paper: ClassVar[str] = ""
    #: the outer loss as text, shown by `bench show method`
    formula: ClassVar[str] = ""
    #: licence of the authors' code
    licence: ClassVar[str] = "none stated"
    #: where paper and official code differ, one sentence each
    differences: ClassVar[tuple[str, ...]] = ()
    #: cost of one step in forward and backward passes at 10 attack steps, as text: "11F+11B"
    cost: ClassVar[str] = "11F+11B"
    #: settings of either recipe that differ from the common one, as the length and rate of a second stage
    always: ClassVar[Mapping[str, Any]] = {}
    #: settings of `recipe=official` that differ from `recipe=paper`: fields of Recipe and of Hparams alike
    official: ClassVar[Mapping[str, Any]] = {}
    #: start of the default inner attack, see Context.pgd
    start: ClassVar[Start] = "gaussian"
    #: what the method cannot do without: "class_counts" (every class has an image), "features" (see Context.classify),
    #: "extra" (see Context.extra)
    needs: ClassVar[frozenset[Need]] = frozenset()

    #: settings under which the contract trains the method, once each: small, and with every part switched on that a
    #: few steps would not reach
    small: ClassVar[Sequence[Mapping[str, Any]]] = ({},)
    #: why a step may wait for the device; empty: it never does
    waits: ClassVar[str] = ""

    @dataclass(frozen=True)
    class Hparams:
        """The method's own settings; fields made with `setting` carry their range."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        check_fields(cls.Hparams, f"{cls.__qualname__}.Hparams")
        one_of(cls.start, Start, f"start of {cls.__qualname__}")
        for need in cls.needs:
            one_of(need, Need, f"need of {cls.__qualname__}")

    def __init__(self, hparams: Any = None) -> None:
        made: Any = hparams if hparams is not None else self.Hparams()
        self.hp: H = made

    def cells(self) -> Mapping[str, str]:
        """Finished cells that this one goes on from: role -> method as on the command line (`at-bsl[beta=2]+ema`).

        Each is that of the same data, network and seed, and its id is part of this one's. The role `init` gives the
        first weights (backbone, and of the head what fits); any other is handed over in `Context.networks`.
        """
        return {}

    def build_head(self, features: int, classes: int) -> nn.Module | None:
        """The module from features (N x D) to logits (N x C), or None for a linear layer with bias."""
        return None

    def setup(self, model: nn.Module, context: Context) -> None:
        """Called once, before the first step and before a resumed state is loaded. It must not draw from the noise."""

    def phase(self, context: Context) -> Phase:
        """`natural` (no perturbation: x_adv is x) or `adversarial`, for the current epoch."""
        return "adversarial"

    def rate(self, name: str, context: Context) -> float:
        """Factor of the learning rate of a parameter (`head.weight`, `backbone...`) in the current epoch; 0 freezes it.

        The statistics of batch norm are no parameters: they move with every forward pass in train mode.
        """
        return 1.0

    def order(self, labels: Tensor, context: Context, generator: torch.Generator) -> Tensor | None:
        """Indices (int64) of the epoch's images in order, from the training labels (N); None: a permutation."""
        return None

    def epoch_images(self, counts: Sequence[int], recipe: Recipe) -> float:
        """How many images an average epoch of a whole run has, of these a class (length C), for the cost estimate."""
        return sum(counts)

    def step(self, turn: Turn) -> None:
        """What is done with a batch; default: attack, gradient of the loss, one update."""
        turn.gradient()
        turn.update()

    def passes(self, recipe: Recipe) -> tuple[float, float]:
        """Forward and backward passes of an average step of a whole run, for the cost estimate."""
        return recipe.steps + 1.0, recipe.steps + 1.0

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> Tensor:
        """The adversarial batch; default: PGD on cross-entropy with the recipe's radius, step and count."""
        from torch.nn.functional import cross_entropy

        return context.pgd(model, x, lambda z: cross_entropy(z, y, reduction="sum"), start=self.start)

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(scalar to minimise, detached scalars to log). The network is in train mode."""
        raise NotImplementedError("abstract")

    def on_epoch_end(self, context: Context) -> None:
        """Called after the last step of every epoch."""

    def evaluated(self, model: nn.Module, clean: Callable[[], Iterable[Tensor]]) -> Mapping[str, Tensor] | None:
        """Values by name of parameters and buffers that are evaluated and kept in place of the network's own, or None.

        `clean()`: one pass over the augmented clean training images, in batches.
        """
        return None

    def deploy(self, model: nn.Module, on: bool) -> None:
        """Switch the network to its form at inference (`on`) or back to that of training, where a head has two.

        Called around every evaluation, of a network in training and of one loaded from a checkpoint alike: the method
        has the state that it had at the end.
        """

    def shared_prefix(self, recipe: Recipe) -> int:
        """How many first epochs are plain cross-entropy on clean images, equal for all methods that say so."""
        return 0

    def state(self) -> dict[str, Any]:
        """Everything the method remembers between steps: tensors and plain values only."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave."""
