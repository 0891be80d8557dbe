"""The epoch that is kept: the first of the highest accuracy on the validation images (`select=best[ATTACK]`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

#: balanced accuracy (mean over classes, 0 to 1) of a network on the validation images under the recipe's attack
Judge = Callable[[nn.Module], float]


@dataclass
class Best:
    """The best epoch so far (0-based; -1 before the first), its accuracy, and its weights and statistics by name."""

    judge: Judge
    epoch: int = -1
    accuracy: float = -1.0
    values: dict[str, Tensor] = field(default_factory=dict)

    def look(self, network: nn.Module, epoch: int) -> dict[str, float]:
        """Judge the network as it is evaluated after an epoch, and keep it if it is strictly better; its column."""
        accuracy = self.judge(network)
        if accuracy > self.accuracy:
            self.epoch, self.accuracy = epoch, accuracy
            self.values = {name: value.detach().clone() for name, value in network.state_dict().items()}
        return {"validation": accuracy}

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"epoch": self.epoch, "accuracy": self.accuracy, "values": self.values}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Put back what `state` gave."""
        self.epoch, self.accuracy, self.values = state["epoch"], state["accuracy"], dict(state["values"])
