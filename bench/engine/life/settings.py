"""How a grid is run, as opposed to what is computed: nothing here is part of a cell's id.

Folders, the time between checkpoints and the batch size of attacks change no number. The device and the number of
threads change the order of sums, hence last bits and now and then an image; cell.json records both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """`threads`: CPU threads a process; a fixed number and never the machine's, so that equal commands give equal bits.

    `batch_size`: images attacked together (None: by device). `retrain`: begin stale cells anew. `cell_seconds`: what a
    cell may take in one run (None: whatever it takes).
    """

    results: Path = Path("results/runs")
    data_root: Path | None = None
    device: str = "cpu"
    threads: int = 1
    checkpoint_seconds: float = 60.0
    batch_size: int | None = None
    retrain: bool = False
    cell_seconds: float | None = None

    def to_plain(self) -> dict[str, object]:
        """JSON form, for a worker's first line."""
        return {
            **vars(self),
            "results": str(self.results),
            "data_root": str(self.data_root) if self.data_root else None,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, object]) -> Settings:
        """What `to_plain` wrote."""
        root = plain["data_root"]
        return cls(**{**plain, "results": Path(str(plain["results"])), "data_root": Path(str(root)) if root else None})  # type: ignore[arg-type]
