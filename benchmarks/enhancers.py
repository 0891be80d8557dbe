"""What each enhancer costs: a training epoch with it over one without, and what its own hooks take of a step.

    python benchmarks/enhancers.py [--enhancers ema,swa,awp] [--model resnet18] [--batch 64] [--batches 2] [--steps 10]
                                   [--rounds 5] [--threads 1] [--device cpu] [--clock cpu|wall]

The second epoch of a training of three is timed whole, by the harness's own loop, all sides in turn and in both orders.
Two figures stand beside each other because they fail in different ways:

    ratio        epoch with it over epoch without, of the same round; holds whatever the enhancer changes, but two
                 epochs that meet different neighbours on a shared machine differ by more than a small cost
    own hooks    time inside the enhancer's hooks over the rest of the same epoch: both meet the same neighbours, so a
                 cost of a thousandth can be told; what it changes elsewhere (the inner attack) is not in it. Also over
                 the outer pass alone: all of that epoch but hooks and attack (loss, its gradient, the update)

With one thread the clock is the process's own time, so that waiting for others does not count. Beside them stands what
the estimate says: passes with the enhancer over passes without, a backward pass counted like a forward one.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterable
from typing import Any

import torch
from timing import CLOCKS, Variant, interleaved, machine, ratios
from training import CLASSES, data, images_for, network

from bench.api import Enhancer, Method
from bench.config import CellSpec, Recipe
from bench.engine.settled import settle_enhancers
from bench.engine.train import train
from bench.plugins import make_enhancers, make_method, passes
from bench.registry import registry

BASE = "at"
#: hooks that take time of their own; `inner` only says how the attack runs
HOOKS = (
    "order", "draw", "mix", "attacked", "before_gradient", "image_weights", "after_loss", "after_step", "after_epoch",
)  # fmt: skip


def spec(name: str, options: argparse.Namespace) -> CellSpec:
    """A cell of the base with one enhancer; with none for an empty name."""
    recipe = Recipe(
        epochs=3,
        full_epochs=3,
        batch_size=options.batch,
        steps=options.steps,
        lr=0.01,
        augment=images_for(options.model)[1],
    )
    settled, label = settle_enhancers([(name, registry("enhancers").get(name).small)] if name else [], "paper")
    return CellSpec(BASE, "noise", None, options.model, 0, recipe=recipe, enhancers=settled, enhanced=label)


class Watched:
    """Seconds inside some methods of an object, summed up."""

    def __init__(self, one: Enhancer | Method, names: Iterable[str], clock: Callable[[], float]) -> None:
        self.seconds, self.clock = 0.0, clock
        for name in names:
            vars(one)[name] = self.timed(getattr(one, name))

    def timed(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        """The hook, with its time taken."""

        def call(*arguments: Any) -> Any:
            began = self.clock()
            try:
                return hook(*arguments)
            finally:
                self.seconds += self.clock() - began

        return call


def side(name: str, options: argparse.Namespace, shares: list[tuple[float, float]]) -> Variant:
    """Seconds of the second epoch; what its hooks take of the rest of it, and of its outer passes, goes to `shares`."""
    cell, held, net = spec(name, options), data(options.model, options.batch * options.batches), network(options.model)
    clock = CLOCKS[options.clock]

    def epoch() -> float:
        method, enhancers = make_method(cell), make_enhancers(cell)
        written = [h for h in HOOKS for e in enhancers if getattr(type(e), h) is not getattr(Enhancer, h)]
        own = [Watched(e, written, clock) for e in enhancers]
        attack, marks = Watched(method, ["perturb"], clock), []
        train(
            cell,
            held,
            net,
            method,
            torch.device(options.device),
            enhancers=enhancers,
            on_epoch=lambda _: marks.append((clock(), sum(each.seconds for each in own), attack.seconds)),
        )
        whole, hooks, attacked = (after - before for before, after in zip(*marks[:2], strict=True))
        shares.append((hooks / (whole - hooks), hooks / (whole - hooks - attacked)))
        return whole

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
    parser.add_argument("--clock", choices=list(CLOCKS), default=None, help="cpu with one thread, else wall")
    options = parser.parse_args()
    options.clock = options.clock or ("cpu" if options.threads == 1 and options.device == "cpu" else "wall")
    torch.set_num_threads(options.threads)
    names = options.enhancers.split(",")
    shares: dict[str, list[tuple[float, float]]] = {BASE: [], **{f"{BASE}+{name}": [] for name in names}}
    sides = {name: side(name.removeprefix(BASE).removeprefix("+"), options, found) for name, found in shares.items()}
    print(f"{machine()}; {options.model}, batch {options.batch}, {options.steps} attack steps, {CLASSES} classes\n")
    times = interleaved(sides, options.rounds, clock=options.clock)
    print("| variant | median s | ratio min / median / max | own hooks | of an outer pass | stated |")
    print("|---|---|---|---|---|---|")
    for one, (low, middle, high) in ratios(times, BASE).items():
        step, outer = (statistics.median(each) for each in zip(*shares[one][1:], strict=True))  # without the warm-up
        ratio = f"{1 / high:.3f} / **{1 / middle:.3f}** / {1 / low:.3f}"
        told = stated(one.removeprefix(BASE).removeprefix("+"), options)
        print(f"| {one} | {statistics.median(times[one]):.4g} | {ratio} | {step:.2%} | {outer:.2f} | {told:.3f} |")
    least, most = min(times[BASE]), max(times[BASE])
    print(f"\nThe base against itself over the rounds: up to {most / least:.3f} ({options.clock} clock).")


if __name__ == "__main__":
    main()
