"""A training loop as the released PyTorch implementations write it, made from its description, to be compared with.

Images leave a DataLoader through torchvision's transforms one at a time. Network and images are float32 in N x channels
x H x W. The training attack differentiates by `torch.autograd.grad` with respect to the images, batch norm stays as it
is, evaluation calls `backward` and so also computes the weights' gradients. Nothing of the harness is used.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

EPS, STEP = 8 / 255, 2 / 255


class Pictures(Dataset[tuple[Tensor, int]]):
    """Labelled images handed out one at a time through PIL."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, flip: bool, pad: int) -> None:
        self.images, self.labels = images, labels
        side = images.shape[1]
        shaking = [transforms.RandomCrop(side, padding=pad), transforms.RandomHorizontalFlip()] if flip else []
        self.transform = transforms.Compose([*shaking, transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        pixels = self.images[i]
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        return self.transform(picture), int(self.labels[i])


class Published:
    """`epoch` trains, `evaluate` attacks."""

    def __init__(
        self,
        model: nn.Module,
        images: np.ndarray,
        labels: np.ndarray,
        batch: int,
        *,
        steps: int = 10,
        flip: bool = True,
        pad: int = 4,
        lr: float = 0.1,
        workers: int = 0,
        device: str = "cpu",
    ) -> None:
        self.model, self.steps, self.device = model.to(device), steps, torch.device(device)
        self.optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)
        self.loader = DataLoader(
            Pictures(images, labels, flip, pad),
            batch_size=batch,
            shuffle=True,
            num_workers=workers,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator().manual_seed(0),
        )
        self.noise = torch.Generator(self.device).manual_seed(0)

    def attack(self, x: Tensor, y: Tensor) -> Tensor:
        """The training attack: PGD from Gaussian noise, in eval mode."""
        self.model.eval()
        start = torch.randn(x.shape, generator=self.noise, device=self.device)
        x_adv = x.detach() + 0.001 * start
        for _ in range(self.steps):
            x_adv.requires_grad_()
            with torch.enable_grad():
                loss = cross_entropy(self.model(x_adv), y, reduction="sum")
            grad = torch.autograd.grad(loss, [x_adv])[0]
            x_adv = x_adv.detach() + STEP * torch.sign(grad.detach())
            x_adv = torch.min(torch.max(x_adv, x - EPS), x + EPS)
            x_adv = torch.clamp(x_adv, 0.0, 1.0)
        self.model.train()
        return x_adv

    def epoch(self) -> float:
        """One pass over the data; the mean loss, read after every step as a progress line would."""
        total = 0.0
        for x, y in self._batches():
            x_adv = self.attack(x, y)
            self.optimizer.zero_grad()
            loss = cross_entropy(self.model(x_adv), y)
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return total / len(self.loader)

    def evaluate(self, x: Tensor, y: Tensor, steps: int = 20) -> float:
        """Robust accuracy under PGD, whose gradients come with those of the weights."""
        self.model.eval()
        x, y = x.to(self.device), y.to(self.device)
        x_adv = x + (torch.rand(x.shape, generator=self.noise, device=self.device) * 2 - 1) * EPS
        for _ in range(steps):
            x_adv = x_adv.detach().requires_grad_()
            self.model.zero_grad()
            loss = cross_entropy(self.model(x_adv), y)
            loss.backward()
            assert x_adv.grad is not None
            x_adv = x_adv.detach() + STEP * x_adv.grad.sign()
            x_adv = torch.clamp(torch.min(torch.max(x_adv, x - EPS), x + EPS), 0.0, 1.0)
        with torch.no_grad():
            correct = (self.model(x_adv).argmax(1) == y).float().mean().item()
        self.model.train()
        return correct

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in self.loader:
            yield x.to(self.device), y.to(self.device)
