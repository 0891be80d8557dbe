"""Coverage, false alarms and width of paired comparisons in which audits have part, simulated with known probabilities.

    python benchmarks/audit_paired.py [--sets 200] [--draws 2000] [--irs 1,10,100] [--gaps 0,0.03]

Prints the table of docs/statistics.md ("Audited comparisons"). Two networks share what makes an image hard, at every
stage, with the probability `shared`; A stands the first stage more often than B by a part that makes the true gap. A
line says how often the 95 % interval over other test images holds the gap, how often p < 0.05 (false alarms where the
gap is 0, else power), the bias in standard errors, and the interval's width against that of two full evaluations; for
an audit against an audit, and for an audit against the full chain.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from bench.audit.images import images
from bench.audit.plan import Goal
from bench.audit.run import run
from bench.engine.verdicts.sample import facts, reached
from bench.judge.paired import Bits, Comparison, compare
from bench.seeding import numpy_stream

#: passes of APGD-CE, APGD-T, FAB-T and Square on an image that resists
COSTS = (203.0, 1827.0, 2700.0, 5000.0)
#: (share that the late stages take of what stands, how often two networks share an image's difficulty)
SETTINGS = ((0.0, 0.7), (0.01, 0.7), (0.0, 0.95), (0.01, 0.95))
#: right without attack, standing stages 1 and 2: of the most and of the least frequent class
RATES = ((0.9, 0.7), (0.5, 0.3), (0.9, 0.86))


def sizes(ratio: int) -> np.ndarray:
    """Test images of each of ten classes, 1000 of the first."""
    return np.array([int(1000 * ratio ** (-c / 9)) for c in range(10)])


def rates(late: float, more: float = 0.0) -> np.ndarray:
    """4 x 10 probabilities: right, and standing each stage; `more` of the images that stage 1 breaks stand it."""
    made = np.array([*(np.linspace(*ends, 10) for ends in RATES), np.full(10, 1 - late)])
    made[1] += more
    return made


def network(
    n: np.ndarray, chances: np.ndarray, hard: np.ndarray, shared: float, rng: np.random.Generator
) -> tuple[Bits, Bits]:
    """(audited, full) evaluation of one simulated network. `hard`: 4 x N difficulties."""
    label = np.repeat(np.arange(10), n)
    index = np.arange(len(label)) * 7
    own = np.where(rng.random(len(label)) < shared, hard, rng.random(hard.shape))
    clean, *stands = own < chances[:, label]
    stands.append(np.ones(len(label), bool))
    done = run(index, label, clean, 10, COSTS, Goal(), lambda stage, positions: stands[stage][positions])
    whole = Bits(index, label, np.logical_and.reduce([clean, *stands]))
    if done.counts.whole:
        return whole, whole
    codes = reached(done).astype(np.int64)
    return Bits(index, label, ~done.broken, audit=images(codes, index, label, clean, facts(done, ""), 4)), whole


def simulated(
    n: np.ndarray,
    late: float,
    gap: float,
    shared: float,
    rng: np.random.Generator,
    draws: int,
    kinds: Callable[..., list[tuple[Bits, Bits]]],
) -> tuple[list[Comparison], float]:
    """The comparisons of one test set, and the true gap."""
    b = rates(late)
    survive = float((b[0] * b[2] * b[3]).mean())
    a = rates(late, gap / survive)
    hard = rng.random((4, int(n.sum())))
    first, second = network(n, a, hard, shared, rng), network(n, b, hard, shared, rng)
    return [compare([pair], draws=draws) for pair in kinds(first, second)], float((a.prod(0) - b.prod(0)).mean())


def kinds(first: tuple[Bits, Bits], second: tuple[Bits, Bits]) -> list[tuple[Bits, Bits]]:
    """Full against full, audit against audit, audit against full."""
    return [(first[1], second[1]), (first[0], second[0]), (first[0], second[1])]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--irs", default="1,10,100")
    parser.add_argument("--gaps", default="0,0.03")
    options = parser.parse_args()
    print(
        "| IR | late stages take | shared | gap | two audits: holds | p < 0.05 | bias | width | "
        "audit and full: holds | p < 0.05 | bias | width | two full: p < 0.05 |"
    )
    print("|" + "--:|" * 13)
    for ratio in map(int, options.irs.split(",")):
        for late, shared in SETTINGS:
            for gap in map(float, options.gaps.split(",")):
                rng = numpy_stream(0, "benchmark", "audit paired", ratio, late, shared, gap)
                sets = [
                    simulated(sizes(ratio), late, gap, shared, rng, options.draws, kinds) for _ in range(options.sets)
                ]
                full, *others = zip(*(results for results, _ in sets), strict=True)
                truth = sets[0][1]
                error = float(np.std([one.difference for one in full]))
                cells = []
                for some in others:
                    held = np.mean([o.images.low - 1e-12 <= truth <= o.images.high + 1e-12 for o in some])
                    bias = np.mean([o.difference - f.difference for o, f in zip(some, full, strict=True)]) / error
                    width = np.mean([o.images.high - o.images.low for o in some]) / np.mean(
                        [o.images.high - o.images.low for o in full]
                    )
                    alarms = np.mean([o.p_images < 0.05 for o in some])
                    cells += [f"{100 * held:.1f}", f"{100 * alarms:.1f}", f"{bias:+.2f}", f"{width:.2f}"]
                alarms = np.mean([o.p_images < 0.05 for o in full])
                cells.append(f"{100 * alarms:.1f}")
                print(f"| {ratio} | {100 * late:g} % | {shared} | {gap:+g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
