"""The contract of a plug-in: a method, an attack, a data set or a model imports this module and nothing else of bench.

One new file holds one class under `@register("methods" | "attacks" | "datasets" | "models")` whose `name` is the file's
name with `-` for `_`. Everything a plug-in may use is handed to it; it never touches a global random generator, a
device, or the classifier's optimiser. The contract tests pick a new file up by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

from bench.audit.plan import Goal as AuditGoal
from bench.config import AttackSpec, Recipe, ThreatModel, setting
from bench.contract.classwise import CalibratedRadii, ClassRadii, ConfusionRadii
from bench.contract.enhancer import Claim, Enhancer, Step, class_aware, frozen_statistics
from bench.contract.imageset import Arrays, DatasetFacts, Extra
from bench.contract.method import Context, Gradient, Inner, Method, Mode, Need, Noise, Objective, Phase, Start, Turn
from bench.contract.sink import Sink
from bench.errors import BenchError, DataError, ModelError, UsageError
from bench.fields import check_fields, one_of
from bench.paths import cache_folder, in_full
from bench.seeding import isolated

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "Arrays", "Attack", "AttackSpec", "AuditGoal", "BenchError", "CalibratedRadii", "Claim", "ClassRadii",
    "ConfusionRadii", "Context", "DataError", "Dataset", "DatasetFacts", "Enhancer", "Extra", "Gradient", "Inner",
    "Method", "Mode", "Model", "ModelError", "Need", "Noise", "Objective", "Oracle", "Phase", "Recipe", "Sink", "Start",
    "Step", "ThreatModel", "Turn", "UsageError", "cache_folder", "class_aware", "frozen_statistics", "in_full",
    "isolated", "register", "setting",
]  # fmt: skip

C = TypeVar("C", bound=type)
Norm = Literal["linf", "l2", "none"]


def register(kind: str) -> Callable[[C], C]:
    """Mark the one class of a module that is the plug-in. `kind`: methods, attacks, datasets or models."""

    def mark(cls: C) -> C:
        cls.registered_as = kind  # type: ignore[attr-defined]
        return cls

    return mark


class Oracle(Protocol):
    """A network as an attack sees it: eval mode, weights frozen, passes counted, fast where that is exact."""

    num_classes: int

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N x C) of images in [0,1] (N x channels x H x W), without a graph."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N x C) with a graph back to x, for code that takes its gradients by itself."""

    def gradient(self, x: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
        """(gradient of the summed objective with respect to x, logits at x); both without a graph."""


# --------------------------------------------------------------------------------------------------- attacks


class Attack:
    """An evaluation attack. It sees a batch and the batch's own noise, never the other images of the set.

    `norm`: "linf" (the suite verifies radius and box), "l2" (unbounded, the box is verified) or "none" (clean).
    `white_box`: uses gradients. `strength`: rank in the order clean < fgsm < pgd-20 < pgd-100 < aa, or None.
    `engine`: stored with every row. `only_correct`: attacks only what is classified correctly without an attack and
    counts the rest as broken (AutoAttack's convention); otherwise the verdict is the prediction at the answer.
    """

    name: ClassVar[str]
    norm: ClassVar[Norm] = "linf"
    white_box: ClassVar[bool] = True
    strength: ClassVar[int | None] = None
    only_correct: ClassVar[bool] = False
    engine: str = "bench"
    #: parameters that make the attack short; the contract runs it with them
    small: ClassVar[Mapping[str, Any]] = {}

    @dataclass(frozen=True)
    class Params:
        """Parameters with their ranges; radii and steps are stated at 8/255 and scaled to the threat model."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        check_fields(cls.Params, f"{cls.__qualname__}.Params")
        one_of(cls.norm, Norm, f"norm of {cls.__qualname__}")

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

    def goal(self) -> AuditGoal | None:
        """What the stages run on a sample for (`bench.audit`); None: every image meets them."""
        return None

    def costs(self) -> Sequence[float]:
        """Passes of each stage on an image that resists it, a gradient counted as two."""
        forward, backward = self.passes()
        return (forward + backward,)

    def continues(self) -> AttackSpec | None:
        """The attack whose stages these are, where it is another: they share verdicts, image by image."""
        return None

    def notes(self) -> tuple[str, ...]:
        """What a reader must know about this run (a loss replaced for few classes, ...); stored with the row."""
        return ()


# --------------------------------------------------------------------------------------- data sets and models


class Dataset:
    """A source of images. `argument` is the text after the colon of `name:argument`; `root` the data folder."""

    name: ClassVar[str]
    #: what the argument says, as one word (`PATH`); empty where there is none to give
    argument_name: ClassVar[str] = ""
    #: an argument with which the contract looks at it
    small: ClassVar[str] = ""

    def __init__(self, argument: str = "", root: Path | None = None) -> None:
        self.argument, self.root = argument, root

    def facts(self) -> DatasetFacts:
        """What is known without reading the images (an archive's header may be read)."""
        raise NotImplementedError("abstract")

    def load(self) -> Arrays:
        """Both splits. Raises DataError naming the file, what is wrong with it and what to do."""
        raise NotImplementedError("abstract")

    def extra(self) -> Extra | None:
        """Images beside the training set, for methods that need them; labels are the set's. Raises DataError."""
        return None

    def files(self) -> Iterable[Path]:
        """The files that `load` reads and anybody may change, so that a change is noticed; none for pinned data."""
        return ()

    def lacks(self) -> str:
        """What `load` would not find, as a sentence with its mend; empty where all is there. Reads no image."""
        try:
            self.facts()
            absent = next((path for path in self.files() if not path.exists()), None)
        except (DataError, UsageError) as error:
            return str(error)
        name = self.name + (f":{self.argument}" if self.argument else "")
        return "" if absent is None else f"{absent} does not exist; run `bench fetch {name}` or place it there by hand."

    def fetch(self, progress: Callable[[int, int], None] | None = None) -> Path:
        """Download and check what `load` needs; returns where it is. Raises DataError when that is impossible."""
        raise DataError(f"data set '{self.name}' has nothing to download; put its file into the data folder.")


class Model:
    """A network architecture without its head. `argument` is the text after the colon of `name:argument`."""

    name: ClassVar[str]
    #: what the argument says, as one word (`NAME`); empty where there is none to give
    argument_name: ClassVar[str] = ""
    #: an argument with which the contract looks at it
    small: ClassVar[str] = ""
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
