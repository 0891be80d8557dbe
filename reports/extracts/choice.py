"""What the author of a manuscript chooses of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: what stands behind a mean
SPREADS = ("std", "images", "seeds", "none")
#: which numbers are bold: the highest with what is not distinguishable from it, the highest means, or none
MARKED = ("tested", "highest", "none")


@dataclass(frozen=True)
class Choice:
    """What the author chose; what is empty is all that the store has."""

    methods: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    metric: str = "balanced"
    spread: str = "std"
    best: str = "tested"
    decimals: int = 2
    datasets: tuple[str, ...] = ()
    irs: tuple[str, ...] = ()
    test_split: str = ""
    recipe: str = ""
