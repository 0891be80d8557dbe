"""Batched augmentation of resident images against torchvision's transforms in a DataLoader, in one run.

    python benchmarks/augment.py [--images 4000] [--rounds 5] [--workers 0] [--device cpu] [--threads 1] [--json FILE]

Both make the same kind of training batch (128 images, floats in [0,1], N x channels x H x W) from the same uint8
images. The two run alternately, first A then B, next round B then A; the speed-up is the ratio of each round, given as
minimum / median / maximum.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from bench.engine.images.augment import AUGMENTATIONS, augment
from bench.seeding import numpy_stream

BATCH = 128
PUBLISHED = {
    "crop-flip": [],
    "randaugment": [transforms.RandAugment(2, 8)],
    "autoaugment": [transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10)],
}


class Pictures(Dataset[torch.Tensor]):
    """Images as torchvision's CIFAR10 hands them out: PIL, one at a time."""

    def __init__(self, images: np.ndarray, transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.transform(Image.fromarray(self.images[i]))


def peer(images: np.ndarray, kind: str, workers: int, device: torch.device) -> Callable[[], None]:
    """An epoch of torchvision's way, its batches brought to the device."""
    steps = [*PUBLISHED[kind], transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
    data = Pictures(images, transforms.Compose([*steps, transforms.ToTensor()]))
    loader = DataLoader(data, BATCH, shuffle=True, num_workers=workers, generator=torch.Generator().manual_seed(0))

    def epoch() -> None:
        for batch in loader:
            batch.to(device)
        synchronise(device)

    return epoch


def ours(images: np.ndarray, kind: str, device: torch.device) -> Callable[[], None]:
    """An epoch of this project's way: the whole set on the device, an order, batches."""
    resident = torch.from_numpy(images).to(device)

    def epoch() -> None:
        rng = numpy_stream(0, "augment", 0)
        order = torch.from_numpy(numpy_stream(0, "order", 0).permutation(len(images))).to(device)
        for chosen in torch.split(order, BATCH):
            augment(resident.index_select(0, chosen), kind, rng)
        synchronise(device)

    return epoch


def synchronise(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(run: Callable[[], None]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device(given.device)
    images = np.random.default_rng(0).integers(0, 256, (given.images, 32, 32, 3), dtype=np.uint8)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    print(f"{given.images} images 32x32, batch {BATCH}, {given.workers} workers, {given.threads} threads, {name}")
    rows = []
    for kind in AUGMENTATIONS:
        if kind not in PUBLISHED:
            continue
        pair = (peer(images, kind, given.workers, device), ours(images, kind, device))
        pair[1]()  # first use of every kernel
        times = []
        for i in range(given.rounds):
            if i % 2:
                b, a = seconds(pair[1]), seconds(pair[0])
            else:
                a, b = seconds(pair[0]), seconds(pair[1])
            times.append((a, b))
        ratios = sorted(a / b for a, b in times)
        per_image = [statistics.median(t[k] for t in times) / given.images * 1e6 for k in (0, 1)]
        low, middle, high = ratios[0], statistics.median(ratios), ratios[-1]
        print(
            f"{kind:12} torchvision {per_image[0]:7.1f} us/image, here {per_image[1]:6.1f} us/image, "
            f"{low:.1f} / {middle:.1f} / {high:.1f} times"
        )
        rows.append({"kind": kind, "torchvision_us": per_image[0], "here_us": per_image[1], "ratios": ratios})
    if given.json:
        given.json.write_text(json.dumps({"options": vars(given), "device": name, "rows": rows}, default=str, indent=1))


if __name__ == "__main__":
    main()
