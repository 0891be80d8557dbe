"""Audited AutoAttack beside the full chain and the authors' own program, on networks of a results folder.

    python benchmarks/audited.py RESULTS [--cells TEXT] [--data-root DIR] [--split long-tailed] [--original] [--eps E]

For every finished cell with weights whose id holds TEXT: passes of one image (forward and backward) and seconds of
`aa-audited`, of `aa` (the audit and what completes it: no pass is made twice), and with `--original` of the authors'
program on the same images; their ratios; the audit's interval, and whether the full chain lies in it; the width of the
sampling interval against the full evaluation's own. One thread, one network after the other.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench.config import AttackSpec, CellSpec
from bench.engine.images.subset import CellData, load_data
from bench.engine.nets.network import build_network
from bench.engine.resume.checkpoint import load_checkpoint
from bench.engine.suite import evaluate
from bench.engine.verdicts.results import AttackResult
from bench.engine.verdicts.sample import reached
from bench.judge.metrics import metric
from bench.judge.stats import standard_error, two_sided_z
from bench.plugins import make_method
from bench.seeding import isolated
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
    def of(cls, *results: AttackResult) -> Work:
        """That of attacks, together."""
        total = [sum(r.total(name) for r in results) for name in ("forwards", "backwards", "seconds")]
        return cls(total[0] + total[1], total[2])


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

    def run(text: str, known: dict[str, np.ndarray]) -> AttackResult:
        result = evaluate(net, *chosen, [AttackSpec.parse(text)], threat=spec.threat, num_classes=data.num_classes,
                          root_seed=spec.seed, known=known)  # fmt: skip
        return next(a for label, a in result.attacks.items() if label != "clean")

    audited = run(name, {})
    assert audited.audit is not None
    rest = run(audited.continues, {audited.continues: reached(audited.audit)})
    audit, full, found = Work.of(audited), Work.of(audited, rest), audited.audit.result
    y = labels[index].numpy()
    n = np.bincount(y, minlength=data.num_classes)
    stand = np.bincount(y[rest.correct], minlength=data.num_classes)
    value = float(metric("balanced", n, stand))
    own = 2 * two_sided_z(0.95) * float(standard_error("balanced", n, stand))
    print(f"{spec.id}: {len(y)} images, {args.split}")
    print(f"  aa {100 * value:.2f}; audit {100 * found.audit[0]:.2f} to {100 * found.audit[1]:.2f}: "
          f"{'inside' if found.audit[0] - ROUNDING <= value <= found.audit[1] + ROUNDING else 'OUTSIDE'}"
          f"{', all images attacked' if audited.audit.counts.whole else ''}; "
          f"sampling interval {(found.sampling[1] - found.sampling[0]) / own:.2f} of the full one's width")  # fmt: skip
    print(f"  audited {audit.passes:,.0f} passes, {audit.seconds:.0f} s; full lean {full.passes:,.0f}, "
          f"{full.seconds:.0f} s: {full.passes / audit.passes:.1f}x, {full.seconds / audit.seconds:.1f}x")  # fmt: skip
    if args.original:
        x = images[index].permute(0, 3, 1, 2).contiguous().float() / 255
        theirs, stands = original(net, x, labels[index], spec.threat.eps)
        print(f"  the authors' program {theirs.passes:,.0f} passes, {theirs.seconds:.0f} s: "
              f"{theirs.passes / audit.passes:.1f}x, {theirs.seconds / audit.seconds:.1f}x of the audit; "
              f"it leaves {int(stands.sum())} images, our full chain {int(rest.correct.sum())}")  # fmt: skip


def main() -> None:
    """Every cell of the folder that has weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--cells", default="", help="only ids that hold this")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--split", default="long-tailed", choices=["long-tailed", "balanced"])
    parser.add_argument("--settings", default="", help="of aa-audited, as in its brackets")
    parser.add_argument("--original", action="store_true", help="also run the authors' program")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for folder in folders(args.results):
        if args.cells in folder.name and (folder / CHECKPOINT).exists() and read_record(folder).status == "done":
            measure(folder, args)


if __name__ == "__main__":
    main()
