"""Coverage and false alarms of the paired difference where it is hard: similar networks, recalls near 0 and 1.

    python benchmarks/paired.py [--sets 500] [--draws 1000]

Prints the table of docs/statistics.md ("Coverage and false alarms"). A line is one setting; one seed and three.
"""

from __future__ import annotations

import argparse

import numpy as np

from bench.judge.paired import Bits, Comparison, compare
from bench.seeding import numpy_stream

#: (recall of B, gap, shared)
SETTINGS = (
    (0.005, 0.0, 0.7), (0.005, 0.0, 0.97), (0.02, 0.0, 0.7), (0.5, 0.0, 0.7), (0.5, 0.0, 0.97), (0.95, 0.0, 0.97),
    (0.995, 0.0, 0.97), (0.005, 0.002, 0.7), (0.005, 0.002, 0.97), (0.1, 0.03, 0.7), (0.5, 0.03, 0.97),
    (0.95, -0.03, 0.97), (0.0, 0.01, 0.7),
)  # fmt: skip


def sizes(ratio: int, largest: int = 1000, classes: int = 10) -> np.ndarray:
    """Test images of each class under the long-tail law."""
    return np.array([int(largest * ratio ** (-c / (classes - 1))) for c in range(classes)])


def drawn(
    n: np.ndarray, recall: float, gap: float, shared: float, seeds: int, rng: np.random.Generator, draws: int
) -> Comparison:
    """A comparison of `seeds` pairs of networks on one simulated test set."""
    label = np.repeat(np.arange(len(n)), n)
    index, hard = np.arange(len(label)), rng.random(len(label))

    def bits(rate: float) -> Bits:
        own = np.where(rng.random(len(label)) < shared, hard, rng.random(len(label)))
        return Bits(index, label, own < rate)

    return compare([(bits(recall + gap), bits(recall)) for _ in range(seeds)], draws=draws)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=500)
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    print("| IR | recall | gap | shared | one seed: holds | p < 0.05 | three seeds: holds | p < 0.05 |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    for ratio in (10, 50, 100):
        for recall, gap, shared in SETTINGS:
            cells = []
            for seeds in (1, 3):
                rng = numpy_stream(0, "benchmark", "paired", ratio, recall, gap, shared, seeds)
                held = alarms = 0
                for _ in range(options.sets):
                    result = drawn(sizes(ratio), recall, gap, shared, seeds, rng, options.draws)
                    held += result.images.low <= gap + 1e-12 and gap - 1e-12 <= result.images.high
                    alarms += result.p_images < 0.05
                cells += [f"{100 * held / options.sets:.1f}", f"{100 * alarms / options.sets:.1f}"]
            print(f"| {ratio} | {recall:g} | {gap:+g} | {shared} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
