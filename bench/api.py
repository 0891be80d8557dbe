"""The contract of a plug-in: a method, an attack, a data set or a model imports this module and nothing else of bench.

One new file holds one class under `@register("methods" | "attacks" | "datasets" | "models")` whose `name` is the file's
name with `-` for `_`. Everything a plug-in may use is handed to it; it never touches a global random generator, a
device, or the classifier's optimiser. The contract tests pick a new file up by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from bench.config import Recipe, ThreatModel, setting
from bench.errors import BenchError, DataError, ModelError, UsageError
from bench.imageset import Arrays, DatasetFacts
from bench.seeding import isolated

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = [
    "Arrays", "Attack", "BenchError", "Context", "DataError", "Dataset", "DatasetFacts", "Gradient", "Method",
    "Model", "ModelError", "Noise", "Objective", "Oracle", "Recipe", "ThreatModel", "UsageError", "isolated",
    "register", "setting",
]  # fmt: skip

C = TypeVar("C", bound=type)
#: maps logits (N x C) to a scalar or to one value an image; only its sign of ascent matters inside an attack
Objective = Callable[["Tensor"], "Tensor"]
#: (model, x, objective) -> (gradient of the summed objective with respect to x, logits), both without a graph
Gradient = Callable[["nn.Module", "Tensor", Objective], tuple["Tensor", "Tensor"]]


def register(kind: str) -> Callable[[C], C]:
    """Mark the one class of a module that is the plug-in. `kind`: methods, attacks, datasets or models."""

    def mark(cls: C) -> C:
        cls.registered_as = kind  # type: ignore[attr-defined]
        return cls

    return mark


class Noise(Protocol):
    """All the randomness a plug-in may use. Draws happen in the order of the calls."""

    def gaussian(self, shape: Sequence[int]) -> Tensor:
        """Standard normal draws."""

    def rand(self, shape: Sequence[int]) -> Tensor:
        """Uniform draws in [0, 1)."""

    def uniform(self, shape: Sequence[int], low: float, high: float) -> Tensor:
        """Uniform draws in [low, high)."""


class Oracle(Protocol):
    """A network as an attack sees it: eval mode, weights frozen, passes counted, fast where that is exact."""

    num_classes: int

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N x C) of images in [0,1] (N x channels x H x W), without a graph."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N x C) with a graph back to x, for code that takes its gradients by itself."""

    def gradient(self, x: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
        """(gradient of the summed objective with respect to x, logits at x); both without a graph."""


# --------------------------------------------------------------------------------------------------- methods


@dataclass
class Context:
    """What the training loop tells a method, and the only things a method may act through.

    `class_counts`: training images a class, int64, length C, on the device. `recipe`, `threat`: resolved.
    `epoch` (0-based), `epochs`, `step` (since the start of training), `lr` (of this epoch): where training is.
    `noise`: the inner-attack stream. `ascend`: see `pgd`. `gradient`: as fast as `pgd`'s, for a method's
    own inner loop; in the mode the network is in.
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
        start: str = "gaussian",
        mode: str = "eval",
        eps: float | Tensor | None = None,
        step: float | Tensor | None = None,
        steps: int | None = None,
        observe: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """Sign-gradient ascent of `objective(logits)` inside the l_inf ball and [0,1] (methods.md, template PGD).

        x: N x channels x H x W in [0,1]. `start`: `gaussian` (x + 0.001 G), `uniform` (x + U(-eps, eps)),
        `uniform-clamped` (the same, clamped to [0,1]), `one-sided` (x + eps U(0,1)), `none`. Only `uniform-clamped`
        is clamped before the first gradient. `mode`: the network's mode during the attack; it is put back to train
        mode afterwards. `observe` sees the logits before each step. `eps`, `step`: one number, or one an image
        (N x 1 x 1 x 1). Returns a constant in the ball and in [0,1].
        """
        return self.ascend(
            model, x, objective, noise=self.noise, start=start, mode=mode, observe=observe,
            noise_scale=0.001 * self.threat.scale, eps=self.eps if eps is None else eps,
            step=self.step_size if step is None else step,
            steps=self.recipe.steps if steps is None else steps,
        )  # fmt: skip

    def classify(self, model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        """(features N x D, logits N x C) of one forward pass through `model.features` and `model.head`."""
        features = model.features(x)  # type: ignore[operator]
        return features, model.head(features)  # type: ignore[operator]


class Method:
    """A training method. Only `loss` must be written; the defaults are adversarial training's."""

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
    #: settings of `recipe=official` that differ from `recipe=paper`: fields of Recipe and of Hparams alike
    official: ClassVar[Mapping[str, Any]] = {}
    #: start of the default inner attack, see Context.pgd
    start: ClassVar[str] = "gaussian"
    #: what the method cannot do without: "class_counts" (every class has an image), "features"
    needs: ClassVar[frozenset[str]] = frozenset()

    @dataclass(frozen=True)
    class Hparams:
        """The method's own settings; fields made with `setting` carry their range."""

    def __init__(self, hparams: Any = None) -> None:
        self.hp: Any = hparams if hparams is not None else self.Hparams()

    def build_head(self, features: int, classes: int) -> nn.Module | None:
        """The module from features (N x D) to logits (N x C), or None for a linear layer with bias."""
        return None

    def setup(self, model: nn.Module, context: Context) -> None:
        """Called once, before the first step and before a resumed state is loaded. It must not draw from the noise."""

    def phase(self, context: Context) -> str:
        """`natural` (no perturbation: x_adv is x) or `adversarial`, for the current epoch."""
        return "adversarial"

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

    def deploy(self, model: nn.Module, on: bool) -> None:
        """Switch the network to its form at inference (`on`) or back to that of training, where a head has two.

        Called around every evaluation, of a network in training and of one loaded from a checkpoint alike.
        """

    def shared_prefix(self, recipe: Recipe) -> int:
        """How many first epochs are plain cross-entropy on clean images, equal for all methods that say so."""
        return 0

    def state(self) -> dict[str, Any]:
        """Everything the method remembers between steps: tensors and plain values only."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave."""


# --------------------------------------------------------------------------------------------------- attacks


class Attack:
    """An evaluation attack. It sees a batch and the batch's own noise, never the other images of the set.

    `norm`: "linf" (the suite verifies radius and box), "l2" (unbounded, the box is verified) or "none" (clean).
    `white_box`: uses gradients. `strength`: rank in the order clean < fgsm < pgd-20 < pgd-100 < aa, or None.
    `engine`: stored with every row. `only_correct`: attacks only what is classified correctly without an attack and
    counts the rest as broken (AutoAttack's convention); otherwise the verdict is the prediction at the answer.
    """

    name: ClassVar[str]
    norm: ClassVar[str] = "linf"
    white_box: ClassVar[bool] = True
    strength: ClassVar[int | None] = None
    only_correct: ClassVar[bool] = False
    engine: str = "bench"

    @dataclass(frozen=True)
    class Params:
        """Parameters with their ranges; radii and steps are stated at 8/255 and scaled to the threat model."""

    def __init__(self, params: Any, threat: ThreatModel, num_classes: int) -> None:
        self.params, self.threat, self.num_classes = params, threat, num_classes

    def stages(self) -> Sequence[Attack]:
        """Attacks run one after the other, each on the images of the whole set that still stand."""
        return (self,)

    def run(self, oracle: Oracle, x: Tensor, y: Tensor, noise: Any) -> Tensor:
        """Adversarial images for x (N x channels x H x W in [0,1]) with labels y; `noise` is a CounterNoise."""
        raise NotImplementedError("abstract")

    def passes(self) -> tuple[float, float]:
        """Forward and backward passes an image that resists, for the cost estimate."""
        return 1.0, 0.0

    def notes(self) -> tuple[str, ...]:
        """What a reader must know about this run (a loss replaced for few classes, ...); stored with the row."""
        return ()


# --------------------------------------------------------------------------------------- data sets and models


class Dataset:
    """A source of images. `argument` is the text after the colon of `name:argument`; `root` the data folder."""

    name: ClassVar[str]
    #: what the argument says, as one word (`PATH`); empty where there is none to give
    argument_name: ClassVar[str] = ""

    def __init__(self, argument: str = "", root: Path | None = None) -> None:
        self.argument, self.root = argument, root

    def facts(self) -> DatasetFacts:
        """What is known without reading the images (an archive's header may be read)."""
        raise NotImplementedError("abstract")

    def load(self) -> Arrays:
        """Both splits. Raises DataError naming the file, what is wrong with it and what to do."""
        raise NotImplementedError("abstract")

    def fetch(self, progress: Callable[[int, int], None] | None = None) -> Path:
        """Download and check what `load` needs; returns where it is. Raises DataError when that is impossible."""
        raise DataError(f"data set '{self.name}' has nothing to download; put its file into the data folder.")


class Model:
    """A network architecture without its head. `argument` is the text after the colon of `name:argument`."""

    name: ClassVar[str]
    #: what the argument says, as one word (`NAME`); empty where there is none to give
    argument_name: ClassVar[str] = ""
    #: constants of the normalisation inside the network, a channel each, or None
    mean: ClassVar[tuple[float, ...] | None] = None
    std: ClassVar[tuple[float, ...] | None] = None

    def __init__(self, argument: str = "") -> None:
        self.argument = argument

    def input_size(self, image: tuple[int, int, int]) -> tuple[int, int, int]:
        """(channels, height, width) the network declares for images of this shape; resizing is then explicit."""
        return image

    def build(self, image: tuple[int, int, int]) -> tuple[nn.Module, int]:
        """(backbone from N x channels x H x W in [0,1] to N x D features, D). Raises ModelError on a bad shape."""
        raise NotImplementedError("abstract")
