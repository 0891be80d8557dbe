"""Our attacks beside AutoAttack's authors' program and torchattacks' loops, interleaved, at equal verdicts.

    python benchmarks/attacks.py [--rounds 5] [--images 256] [--device cpu] [--threads 1] [--only aa,pgd-20] [--json F]

The network is `small-cnn`, trained against PGD on the 8x8 digits. Each side has a process, ours with the environment of
the harness's workers, the peer's with the usual one. Every round runs ours and the peer one after the other, the next
round in turned order; a ratio is peer / ours within a round, given as minimum / median / maximum. Times are processor
time of the side's process on a CPU (the machine may be busy) and wall time on a GPU. Both sides get the same random
numbers, so verdicts must be equal, except in the line `aa (own numbers)`, which is AutoAttack as the harness runs it.
Where torchattacks is not installed its loops are the few lines below.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from timing import Served, interleaved, machine, ratios, serve
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.config import AttackSpec, ThreatModel
from bench.engine.host.device import environment
from bench.engine.nets.network import build_network
from bench.engine.suite import build, evaluate
from bench.engine.verdicts.oracle import NetworkOracle
from bench.seeding import isolated, torch_stream

EPS = 0.15
SCALE = EPS / (8 / 255)


def problem(count: int, device: torch.device, epochs: int) -> tuple[nn.Module, Tensor, Tensor]:
    """(network of 24k weights, trained against PGD-4; held-out images; labels)."""
    flat, target = load_digits(return_X_y=True)
    x = torch.tensor(flat / 16, dtype=torch.float32).view(-1, 1, 8, 8)
    y = torch.tensor(target).long()
    net = build_network("small-cnn", (1, 8, 8), 10, None, 0)
    order, adam = torch_stream(0, "order"), torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(epochs):
        for batch in torch.randperm(1400, generator=order).split(100):
            image = x[batch]
            for _ in range(4):
                image = image.detach().requires_grad_(True)
                (slope,) = torch.autograd.grad(cross_entropy(net(image), y[batch]), [image])
                image = (x[batch] + (image + 0.06 * slope.sign() - x[batch]).clamp(-EPS, EPS)).clamp(0, 1).detach()
            adam.zero_grad()
            cross_entropy(net(image), y[batch]).backward()
            adam.step()
    net.requires_grad_(True)
    return net.eval().to(device), x[1400 : 1400 + count].to(device), y[1400 : 1400 + count].to(device)


def authors_autoattack(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The authors' program, standard, seed 0."""
    from pyautoattack import AutoAttack

    with isolated(0, "reference", cuda=x.is_cuda):
        program = AutoAttack(net, norm="Linf", eps=EPS, seed=0, version="standard", device=x.device)
        return program.run_standard_evaluation(x, y, batch_size=len(x))[0]


def plain_pgd(steps: int) -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
    """PGD of torchattacks, or the same loop."""

    def attack(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        with isolated(0, "pgd", cuda=x.is_cuda):
            try:
                import torchattacks
            except ImportError:
                now = (x + torch.empty_like(x).uniform_(-EPS, EPS)).clamp(0, 1).detach()
                for _ in range(steps):
                    now.requires_grad = True
                    (gradient,) = torch.autograd.grad(cross_entropy(net(now), y), now)
                    now = now.detach() + SCALE / 255 * gradient.sign()
                    now = torch.clamp(x + torch.clamp(now - x, min=-EPS, max=EPS), min=0, max=1).detach()
                return now
            return torchattacks.PGD(net, eps=EPS, alpha=SCALE / 255, steps=steps)(x, y)

    return attack


def plain_cw(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """CW of torchattacks, or the same loop."""
    try:
        import torchattacks
    except ImportError:
        w = (0.5 * torch.log((1 + (2 * x - 1)) / (1 - (2 * x - 1)))).detach().requires_grad_(True)
        adam, best, nearest = torch.optim.Adam([w], lr=0.01), x.clone(), x.new_full((len(x),), 1e10)
        true, before = torch.eye(10, device=x.device)[y], 1e10
        for step in range(100):
            image = (torch.tanh(w) + 1) / 2
            distance, z = (image - x).square().flatten(1).sum(1), net(image)
            cost = distance.sum() + 10 * ((true * z).amax(1) - ((1 - true) * z).amax(1)).clamp(min=0).sum()
            adam.zero_grad()
            cost.backward()
            adam.step()
            better = (z.argmax(1) != y) & (nearest > distance.detach())
            nearest = torch.where(better, distance.detach(), nearest)
            best = torch.where(better.view(-1, 1, 1, 1), image.detach(), best)
            if step % 10 == 0:
                if cost.item() > before:
                    break
                before = cost.item()
        return best
    return torchattacks.CW(net, c=10, kappa=0, steps=100, lr=0.01)(x, y)


class Peers:
    """The random numbers of the peer."""

    def __init__(self, like: Tensor) -> None:
        self.like = like

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> Tensor:
        """As drawn by the global generator."""
        with isolated(0, "pgd", cuda=self.like.is_cuda):
            return torch.empty_like(self.like).uniform_(low, high)


CASES: dict[str, tuple[str, Callable[[nn.Module, Tensor, Tensor], Tensor]]] = {
    "aa": ("aa[order=reference]", authors_autoattack),
    "aa (own numbers)": ("aa", authors_autoattack),
    "pgd-20": ("pgd-20", plain_pgd(20)),
    "pgd-100": ("pgd-100", plain_pgd(100)),
    "cw-l2": ("cw-l2[stop=batch]", plain_cw),
}


def side(who: str, name: str, count: int, device: torch.device, epochs: int) -> None:
    """Serve one side, "ours" or "theirs", of one line of the table; in the end say which images still stand.

    Folding is done once before, as an evaluation does it once for all attacks.
    """
    spec, peer = CASES[name]
    net, x, y = problem(count, device, epochs)
    options = {"threat": ThreatModel(EPS), "num_classes": 10, "root_seed": 0, "device": device, "batch_size": count}
    stands = torch.zeros(0, dtype=torch.bool)

    def chain() -> None:
        nonlocal stands
        result = evaluate(net, x, y, torch.arange(count), [AttackSpec.parse(spec)], **options)  # type: ignore[arg-type]
        stands = torch.from_numpy(next(iter(result.attacks.values())).correct)

    def theirs() -> None:
        nonlocal stands
        answer = peer(net, x, y)
        with torch.no_grad():
            stands = (net(answer).argmax(1) == y).cpu()

    with NetworkOracle(copy.deepcopy(net), 10, probe=x[:8]) as oracle:

        def single() -> None:
            nonlocal stands
            answer = build(AttackSpec.parse(spec), ThreatModel(EPS), 10).run(oracle, x, y, Peers(x))
            stands = (oracle.plain(answer).argmax(1) == y).cpu()

        ours = chain if name.startswith("aa") else single
        serve(ours if who == "ours" else theirs, clock_of(device))
    print(json.dumps(stands.tolist()))


def clock_of(device: torch.device) -> str:
    """Processor time where the processor does the work."""
    return "wall" if device.type == "cuda" else "cpu"


def measure(name: str, given: argparse.Namespace) -> dict[str, object]:
    """One line of the table."""
    words = [__file__, "--only", name, "--images", str(given.images), "--epochs", str(given.epochs),
             "--device", given.device, "--threads", str(given.threads), "--serve"]  # fmt: skip
    sides = {"ours": Served([*words, "ours"], environment(given.threads)), "theirs": Served([*words, "theirs"])}
    clock = clock_of(torch.device(given.device))
    times = interleaved(dict(sides), given.rounds, clock=clock)
    found = {who: torch.tensor(json.loads(served.end())) for who, served in sides.items()}
    return {
        "attack": name,
        "images": given.images,
        "rounds": given.rounds,
        "clock": clock,
        **{f"robust {who}": float(bits.float().mean()) for who, bits in found.items()},
        "verdicts that differ": int((found["ours"] != found["theirs"]).sum()),
        **{f"{who} s": statistics.median(seconds) for who, seconds in times.items()},
        "ratio": ratios(times, "theirs")["ours"],
    }


def main() -> None:
    """Print one line a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=6, help="of training the network against PGD-4")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.serve:
        side(given.serve, given.only, given.images, torch.device(given.device), given.epochs)
        return
    lines = []
    for name in given.only.split(","):
        line = measure(name, given)
        low, middle, high = line["ratio"]  # type: ignore[misc]
        print(
            f"{name:18} robust {line['robust ours']:.4f} / {line['robust theirs']:.4f}, "
            f"{line['verdicts that differ']} differ; {line['ours s']:.3f} s / {line['theirs s']:.3f} s; "
            f"{low:.2f} / {middle:.2f} / {high:.2f}",
            flush=True,
        )
        lines.append(line)
    if given.json:
        given.json.write_text(json.dumps({"where": machine(given.device), "lines": lines}, indent=1) + "\n")


if __name__ == "__main__":
    main()
