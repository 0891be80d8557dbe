"""Coverage, bias and cost of audited evaluations, simulated: known probabilities of each class and stage.

    python benchmarks/audit_coverage.py [--sets 300] [--irs 1,10,100]

Prints the table of docs/statistics.md ("Audited evaluations"): the share of test sets on which the full chain lies in
the audit interval and the truth in the sampling interval, bias in standard errors of the full evaluation, the width of
the sampling interval against the full evaluation's own, the audit's passes against the full chain's, and how often a
gap was found.
"""

from __future__ import annotations

import argparse

import numpy as np

from bench.audit.plan import Goal
from bench.audit.run import Audit, run
from bench.judge.stats import two_sided_z, weighted
from bench.seeding import numpy_stream

#: passes of APGD-CE, APGD-T, FAB-T and Square on an image that resists (100 iterations, 9 targets, 5000 queries)
COSTS = (203.0, 1827.0, 2700.0, 5000.0)
#: share that the late stages take of what stands, by class from the most to the least frequent
LATE = {
    "0": np.zeros(10),
    "0.2 %": np.full(10, 0.002),
    "1 %": np.full(10, 0.01),
    "10 %": np.full(10, 0.1),
    "0 to 4 %": np.linspace(0, 0.04, 10),
    "4 to 0 %": np.linspace(0.04, 0, 10),
}


def sizes(ratio: int) -> np.ndarray:
    """Test images of each of ten classes, 1000 of the first."""
    return np.array([int(1000 * ratio ** (-c / 9)) for c in range(10)])


def simulated(n: np.ndarray, rates: np.ndarray, rng: np.random.Generator) -> tuple[Audit, np.ndarray, float]:
    """(audit, images of each class that the full chain leaves, passes of the full chain over the audit's)."""
    label = np.repeat(np.arange(10), n)
    index = rng.permutation(50 * len(label))[: len(label)]
    drawn = rng.random((4, len(label))) < rates[:, label]
    clean, stands = drawn[0], [drawn[1], drawn[2], drawn[3], np.ones(len(label), bool)]
    spent = 0.0

    def attack(stage: int, positions: np.ndarray) -> np.ndarray:
        nonlocal spent
        spent += COSTS[stage] * len(positions)
        return stands[stage][positions]

    audit = run(index, label, clean, 10, COSTS, Goal(), attack)
    standing, full = clean.copy(), 0.0
    for cost, stood in zip(COSTS, stands, strict=True):
        full, standing = full + cost * standing.sum(), standing & stood
    return audit, np.bincount(label[standing], minlength=10), full / spent


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=300)
    parser.add_argument("--irs", default="1,10,100")
    options = parser.parse_args()
    print("| IR | late stages take | audit holds | sampling holds | bias | width | passes | gaps |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    for ratio in map(int, options.irs.split(",")):
        n = sizes(ratio)
        for name, taken in LATE.items():
            rates = np.array([*(np.linspace(*ends, 10) for ends in ((0.9, 0.7), (0.5, 0.3), (0.9, 0.86))), 1 - taken])
            truth = rates.prod(axis=0).mean()
            rng = numpy_stream(0, "benchmark", "audit", ratio, name)
            sets = [simulated(n, rates, rng) for _ in range(options.sets)]
            results = [audit.result for audit, _, _ in sets]
            left = np.array([k for _, k, _ in sets])
            full, low, high = weighted("balanced", np.broadcast_to(n, left.shape), left)
            inside = np.mean([r.audit[0] - 1e-9 <= f <= r.audit[1] + 1e-9 for r, f in zip(results, full, strict=True)])
            covered = np.mean([r.sampling[0] <= truth <= r.sampling[1] for r in results])
            error = float(np.mean(high - low)) / 2 / two_sided_z(0.95)
            bias = float(np.mean([r.value for r in results] - full)) / error
            width = float(np.mean([r.sampling[1] - r.sampling[0] for r in results]) / np.mean(high - low))
            print(
                f"| {ratio} | {name} | {100 * inside:.1f} | {100 * covered:.1f} | {bias:+.2f} | {width:.2f} | "
                f"1/{1 / np.mean([1 / cost for *_, cost in sets]):.1f} | "
                f"{100 * np.mean([audit.gap for audit, _, _ in sets]):.0f} % |",
                flush=True,
            )


if __name__ == "__main__":
    main()
