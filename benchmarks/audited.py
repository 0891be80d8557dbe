"""Audited AutoAttack beside the full chain and the authors' own program, on networks of a results folder.

    python benchmarks/audited.py RESULTS [--cells TEXT] [--data-root DIR] [--split SPLIT] [--orders 1000] [--original]

For every finished cell with weights whose id holds TEXT: passes of one image (forward and backward) and seconds of
`aa-audited`, of `aa` (the audit and what completes it: no pass is made twice), and with `--original` of the authors'
program on the same images; their ratios; the audit's interval, and whether the full chain lies in it; the width of the
sampling interval against the full evaluation's own. An audit takes the images in one order, the benchmark's, so one
network tells little: with `--orders` the same verdicts are audited again in orders drawn at random, and the share of
them whose interval holds the full chain is printed. One thread, one network after the other.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench.api import Attack
from bench.config import AttackSpec, CellSpec
from bench.engine.images.subset import CellData, load_data
from bench.engine.nets.network import build_network
from bench.engine.resume.checkpoint import load_checkpoint
from bench.engine.suite import build, evaluate
from bench.engine.verdicts.results import AttackResult
from bench.engine.verdicts.sample import audit
from bench.judge.metrics import metric
from bench.judge.stats import standard_error, two_sided_z
from bench.plugins import make_method
from bench.seeding import isolated, numpy_stream
from bench.store.folders import read_record
from bench.store.query import folders
from bench.store.schema import CHECKPOINT

#: sums of the same shares in another order may differ by this much
ROUNDING = 1e-12


@dataclass(frozen=True)
class Work:
    """Passes of one image and seconds."""

    passes: float
    seconds: float

    @classmethod
    def of(cls, result: AttackResult) -> Work:
        """That of an attack."""
        return cls(result.total("forwards") + result.total("backwards"), result.total("seconds"))


class Kept(dict[str, dict[str, np.ndarray]]):
    """Verdicts of the stages by name, in memory (a `StageStore`)."""

    def load(self, key: str) -> dict[str, np.ndarray] | None:
        """What was saved under the key, or None."""
        return self.get(key)

    def save(self, key: str, arrays: dict[str, np.ndarray]) -> None:
        """Replace what is saved under the key."""
        self[key] = arrays

    def stands(self, label: str, stages: int, images: int) -> list[np.ndarray]:
        """Bool N of each stage of a chain: False where it broke the image; all True of a stage that met none."""
        own = {key.removeprefix(f"{label}/"): state["correct"] for key, state in self.items()}
        met = {name.partition("-")[0]: correct for name, correct in own.items()}
        return [met.get(str(number), np.ones(images, bool)) for number in range(stages)]


def other_orders(attack: Attack, y: np.ndarray, clean: np.ndarray, stands: list[np.ndarray], count: int) -> np.ndarray:
    """The same verdicts audited in orders drawn at random: (low, high) of the interval, count x 2."""

    def order(number: int) -> tuple[float, float]:
        names = numpy_stream(0, "benchmark", "orders", number).permutation(len(y))
        return audit(attack, names, y, clean, lambda stage, positions: stands[stage][positions]).result.audit

    return np.array([order(number) for number in range(count)])


class Counted(nn.Module):
    """A network that counts its passes of one image."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.passes = net, 0

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        self.passes += len(x)
        z: Tensor = self.net(x)
        if z.requires_grad and x.requires_grad:
            z.register_hook(self._back)  # type: ignore[no-untyped-call]
        return z

    def _back(self, gradient: Tensor) -> None:
        self.passes += len(gradient)


def network(folder: Path, spec: CellSpec, data: CellData) -> nn.Module:
    """A finished cell's network, in the form in which it is attacked."""
    method = make_method(spec)
    net = build_network(spec.model, data.image, data.num_classes, method.build_head, spec.seed)
    net.load_state_dict(load_checkpoint(folder / CHECKPOINT, torch.device("cpu"))["network"])
    method.deploy(net, True)
    return net.eval()


def original(net: nn.Module, x: Tensor, y: Tensor, eps: float) -> tuple[Work, np.ndarray]:
    """The authors' program, standard, on all images (which it needs in one piece): its work, and which images stand."""
    from pyautoattack import AutoAttack

    counted, began = Counted(net), time.perf_counter()
    with isolated(0, "reference"):
        program = AutoAttack(counted, norm="Linf", eps=eps, seed=0, version="standard", device=x.device)
        adversarial = program.run_standard_evaluation(x, y, batch_size=500)[0]
    work = Work(counted.passes, time.perf_counter() - began)
    with torch.no_grad():
        stands = torch.cat([net(part).argmax(1) for part in adversarial.split(500)]) == y
    return work, stands.numpy()


def measure(folder: Path, args: argparse.Namespace) -> None:
    """One network's lines."""
    spec = read_record(folder).made
    data = load_data(spec, args.data_root)
    net = network(folder, spec, data)
    images, labels, index = data.shown(args.split)
    chosen = images[index], labels[index], index
    name = f"aa-audited[{args.settings}]" if args.settings else "aa-audited"

    kept = Kept()

    def run(text: str) -> tuple[AttackResult, np.ndarray]:
        result = evaluate(
            net,
            *chosen,
            [AttackSpec.parse(text)],
            threat=spec.threat,
            num_classes=data.num_classes,
            root_seed=spec.seed,
            store=kept,
        )
        return next(a for label, a in result.attacks.items() if label != "clean"), result.clean

    audited, clean = run(name)
    assert audited.audit is not None
    whole, _ = run(audited.continues)  # the store hands it what the audit found out, with its passes
    part, full, found = Work.of(audited), Work.of(whole), audited.audit.result
    y = labels[index].numpy()
    n = np.bincount(y, minlength=data.num_classes)
    stand = np.bincount(y[whole.correct], minlength=data.num_classes)
    value = float(metric("balanced", n, stand))
    own = 2 * two_sided_z(0.95) * float(standard_error("balanced", n, stand))
    print(f"{spec.id}: {len(y)} images, {args.split}")
    print(
        f"  aa {100 * value:.2f}; audit {100 * found.audit[0]:.2f} to {100 * found.audit[1]:.2f}: "
        f"{'inside' if found.audit[0] - ROUNDING <= value <= found.audit[1] + ROUNDING else 'OUTSIDE'}"
        f"{', all images attacked' if audited.audit.counts.whole else ''}; "
        f"sampling interval {(found.sampling[1] - found.sampling[0]) / own:.2f} of the full one's width"
    )
    print(
        f"  audited {part.passes:,.0f} passes, {part.seconds:.0f} s; full lean {full.passes:,.0f}, "
        f"{full.seconds:.0f} s: {full.passes / part.passes:.1f}x, {full.seconds / part.seconds:.1f}x"
    )
    if args.orders:
        attack = build(AttackSpec.parse(name), spec.threat, data.num_classes)
        stands = kept.stands(audited.continues, len(attack.costs()), len(y))
        ends = other_orders(attack, y, clean, stands, args.orders)
        inside = (ends[:, 0] - ROUNDING <= value) & (value <= ends[:, 1] + ROUNDING)
        print(f"  audited in {args.orders} other orders: inside in {100 * inside.mean():.1f} %")
    if args.original:
        x = images[index].permute(0, 3, 1, 2).contiguous().float() / 255
        theirs, left = original(net, x, labels[index], spec.threat.eps)
        print(
            f"  the authors' program {theirs.passes:,.0f} passes, {theirs.seconds:.0f} s: "
            f"{theirs.passes / part.passes:.1f}x, {theirs.seconds / part.seconds:.1f}x of the audit; "
            f"it leaves {int(left.sum())} images, our full chain {int(whole.correct.sum())}"
        )


def main() -> None:
    """Every cell of the folder that has weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--cells", default="", help="only ids that hold this")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--split", default="long-tailed", choices=["long-tailed", "balanced"])
    parser.add_argument("--settings", default="", help="of aa-audited, as in its brackets")
    parser.add_argument("--orders", type=int, default=0, help="audit the verdicts again in so many random orders")
    parser.add_argument("--original", action="store_true", help="also run the authors' program")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for folder in folders(args.results):
        if args.cells in folder.name and (folder / CHECKPOINT).exists() and read_record(folder).status == "done":
            measure(folder, args)


if __name__ == "__main__":
    main()
