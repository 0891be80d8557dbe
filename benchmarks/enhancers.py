"""What each enhancer costs: seconds of a training step with it over those without, paired round by round.

    python benchmarks/enhancers.py [--enhancers ema,swa,awp] [--model resnet18] [--batch 64] [--batches 2] [--steps 10]
                                   [--rounds 5] [--threads 1] [--device cpu] [--clock wall|cpu]

The second epoch of a training of three is timed whole, by the harness's own loop. Beside the ratios stands what the
estimate says: passes with the enhancer over passes without, a backward pass counted like a forward one.
"""

from __future__ import annotations

import argparse

import torch
from timing import CLOCKS, Variant, interleaved, machine, table
from training import CLASSES, data, images_for, network

from bench.config import CellSpec, Recipe
from bench.engine.grid import settle_enhancers
from bench.engine.train import train
from bench.plugins import make_enhancers, make_method, passes
from bench.registry import registry

BASE = "at"


def spec(name: str, options: argparse.Namespace) -> CellSpec:
    """A cell of the base with one enhancer; with none for an empty name."""
    recipe = Recipe(
        epochs=3, full_epochs=3, batch_size=options.batch, steps=options.steps, lr=0.01,
        augment=images_for(options.model)[1],
    )  # fmt: skip
    settled, label = settle_enhancers([(name, {})] if name else [], "paper")
    return CellSpec(BASE, "noise", None, options.model, 0, recipe=recipe, enhancers=settled, enhanced=label)


def side(name: str, options: argparse.Namespace) -> Variant:
    """Seconds of the second epoch."""
    cell, held, net = spec(name, options), data(options.model, options.batch * options.batches), network(options.model)

    def epoch() -> float:
        marks: list[float] = []
        train(
            cell, held, net, make_method(cell), torch.device(options.device), enhancers=make_enhancers(cell),
            on_epoch=lambda _: marks.append(CLOCKS[options.clock]()),
        )  # fmt: skip
        return marks[1] - marks[0]

    return epoch


def stated(name: str, options: argparse.Namespace) -> float:
    """Passes with an enhancer over passes without."""
    with_it, without = (spec(each, options) for each in (name, ""))
    return sum(passes(with_it, make_method(with_it))) / sum(passes(without, make_method(without)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--enhancers", default=",".join(registry("enhancers").names()))
    parser.add_argument("--model", default="resnet18")
    for option, default in (("batch", 64), ("batches", 2), ("steps", 10), ("rounds", 5), ("threads", 1)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = options.enhancers.split(",")
    sides = {BASE: side("", options), **{f"{BASE}+{name}": side(name, options) for name in names}}
    print(f"{machine()}; {options.model}, batch {options.batch}, {options.steps} attack steps, {CLASSES} classes\n")
    print(table(interleaved(sides, options.rounds, clock=options.clock), BASE))
    print("\nPasses stated: " + ", ".join(f"{name} {stated(name, options):.3f}" for name in names))


if __name__ == "__main__":
    main()
