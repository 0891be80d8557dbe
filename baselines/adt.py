"""ADT: Dong et al., Adversarial Distributional Training for Robust Deep Learning, NeurIPS 2020.

The inner problem looks for a distribution of perturbations (their Eq. 3 to 9):

    x' = clip(x + eps a, [0,1]),   a = tanh(mu + sigma r),   r ~ G,   sigma = softplus(rho)
    max over (mu, rho) of  CE(z(x'), y) + lambda H,   H = mean[r^2/2 + log sigma + log(1 - a^2)]
    L = CE(z(x'), y) on a fresh sample

EXP (default): mu = rho = 0 at the start of every batch, `inner_steps` Adam steps with both betas 0, each on `samples`
samples, eval mode. EXP-AM: a generator gives (mu, rho) from x and two gradients; it ascends what the classifier
descends, with its own Adam. The paper does not say which variant it used.

`paper`: EXP with the gradient cleared between the inner steps. `official`: never cleared (accumulate), so each step
follows the sum over all samples so far; batch 64, 76 epochs, weight decay 2e-4. Radius 8/255 in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from bench.api import Context, Method, Recipe, register, setting

from ._networks import Generator, build_like, draw_weights


def sample(mu: Tensor, rho: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """(a in (-1, 1), its entropy term H) of distribution parameters and normal draws, all of the images' shape."""
    sigma = softplus(rho)
    a = torch.tanh(mu + sigma * r)
    entropy = r.square() / 2 + (sigma + 1e-8).log() + (1 - a.square() + 1e-8).log()
    return a, entropy.mean()


@register("methods")
class DistributionalTraining(Method["DistributionalTraining.Hparams"]):
    """Training against a learned distribution of perturbations."""

    name = "adt"
    paper = "Dong et al., NeurIPS 2020"
    formula = "L = CE(z(x'), y),  x' = clip(x + eps tanh(mu + softplus(rho) r)),  (mu, rho) ascend CE + lambda H"
    licence = "a licence file is in the authors' repository"
    differences = (
        "Which of EXP, EXP-AM and IMP-AM the paper used is not determined; EXP is the default, IMP-AM is not here.",
        "The official inner loop never clears its gradient between the 7 steps (accumulate, official only).",
        "The script trains a WRN-28-10 with batch 64 for 76 epochs and weight decay 2e-4.",
        "recipe.step and recipe.steps do not enter: the inner steps are Adam's, of inner_lr on mu and rho.",
        "EXP-AM here makes one more backward pass than the authors' gradient reversal, to the same gradients.",
        "The order of layers inside a block of the generator is ours.",
    )
    cost = "36F+36B (EXP); 3F+4B and the generator (EXP-AM)"
    official = {
        "epochs": 76,
        "batch_size": 64,
        "milestones": (74,),
        "factors": (0.1,),
        "weight_decay": 2e-4,
        "accumulate": True,
    }
    small = ({"inner_steps": 2, "samples": 2}, {"variant": "EXP-AM", "generator_width": 2, "inner_steps": 1})

    @dataclass(frozen=True)
    class Hparams:
        """The inner optimiser and the generator."""

        variant: str = setting("EXP", choices=("EXP", "EXP-AM"), help="explicit per image, or amortised by a generator")
        entropy: float = setting(0.01, low=0.0, help="lambda, weight of the entropy")
        inner_steps: int = setting(7, low=1, help="Adam steps on (mu, rho)")
        samples: int = setting(5, low=1, help="samples of each Adam step")
        inner_lr: float = setting(0.3, above=0.0, help="Adam's rate for mu and rho")
        accumulate: bool = setting(False, help="never clear the gradient between the inner steps")
        generator_width: int = setting(256, low=1, help="channels of the generator (EXP-AM)")
        generator_lr: float = setting(2e-4, above=0.0, help="Adam's rate for the generator (EXP-AM)")

    generator: nn.Module | None = None
    optimiser: torch.optim.Adam

    def passes(self, recipe: Recipe) -> tuple[float, float]:
        """Passes through the classifier."""
        count = self.hp.inner_steps * self.hp.samples + 1.0
        return (count, count) if self.hp.variant == "EXP" else (3.0, 4.0)

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> Tensor:
        """A sample of the worst distribution found (EXP) or proposed by the generator (EXP-AM)."""
        if self.hp.variant == "EXP":
            mu, rho = self.search(model, x, y, context)
            a, _ = sample(mu, rho, context.noise.gaussian(x.shape))
            return (x + context.eps * a).clamp(0.0, 1.0)
        self.proposal = self.propose(model, x, y, context)
        return self.proposal[0].detach()

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean cross-entropy of the sample; with a generator also its step of ascent."""
        if self.hp.variant == "EXP":
            return cross_entropy(model(x_adv), y), {}
        attached, entropy = self.proposal
        x_adv = x_adv.detach().requires_grad_(True)
        loss = cross_entropy(model(x_adv), y)
        (slope,) = torch.autograd.grad(loss, x_adv, retain_graph=True)
        self.optimiser.zero_grad()
        (-(slope * attached).sum() - self.hp.entropy * entropy).backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss - self.hp.entropy * entropy.detach(), {"entropy": entropy.detach()}

    def search(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """(mu, rho) after the inner Adam steps. With both betas 0 a step is lr g / (|g| + 1e-8)."""
        mu, rho = torch.zeros_like(x), torch.zeros_like(x)
        slopes = [torch.zeros_like(x), torch.zeros_like(x)]
        model.eval()
        for _ in range(self.hp.inner_steps):
            if not self.hp.accumulate:
                slopes = [torch.zeros_like(x), torch.zeros_like(x)]
            for _ in range(self.hp.samples):
                r = context.noise.gaussian(x.shape)
                with torch.enable_grad():
                    mu, rho = mu.requires_grad_(True), rho.requires_grad_(True)
                    a, entropy = sample(mu, rho, r)
                    attached = (x + context.eps * a).clamp(0.0, 1.0)
                    slope, _ = context.gradient(model, attached.detach(), lambda z: cross_entropy(z, y))
                    found = torch.autograd.grad(-(slope * attached).sum() - self.hp.entropy * entropy, [mu, rho])
                slopes = [total + new for total, new in zip(slopes, found, strict=True)]
            mu, rho = (
                at.detach() - self.hp.inner_lr * slope / (slope.abs() + 1e-8)
                for at, slope in zip((mu, rho), slopes, strict=True)
            )
        model.train()
        return mu, rho

    def propose(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """(x', H) of the generator's distribution, with the generator's graph."""
        generator = self.generator or self.build(x)
        if self.generator is None:
            self.generator = draw_weights(generator, context.noise, std=0.02)
        model.eval()
        first, _ = context.gradient(model, x, lambda z: cross_entropy(z, y))
        second, _ = context.gradient(
            model, (x + context.eps * first.sign()).clamp(0.0, 1.0), lambda z: cross_entropy(z, y)
        )
        model.train()
        with torch.enable_grad():
            phi = generator(torch.cat([x, first, second], 1))
            mu, rho = phi.chunk(2, 1)
            a, entropy = sample(mu, rho, context.noise.gaussian(x.shape))
            return (x + context.eps * a).clamp(0.0, 1.0), entropy

    def perturbation(self, phi: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """(a, H) of a generator's output phi (N x 2 channels x H x W) and one draw."""
        mu, rho = phi.chunk(2, 1)
        return sample(mu, rho, context.noise.gaussian(mu.shape))

    def build(self, like: Tensor) -> nn.Module:
        """A generator without weights for images like these, and its optimiser."""
        generator = build_like(lambda: Generator(like.shape[1], self.hp.generator_width), like)
        self.optimiser = torch.optim.Adam(generator.parameters(), lr=self.hp.generator_lr, betas=(0.5, 0.999))
        return generator

    def state(self) -> dict[str, Any]:
        """Generator and optimiser, once there are any."""
        if self.generator is None:
            return {}
        return {"generator": self.generator.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put back generator and optimiser; their shape tells the images' channels."""
        if not state:
            return
        stem = state["generator"]["layers.0.weight"]
        self.generator = self.build(stem.new_empty(1, stem.shape[1] // 3, 1, 1))
        self.generator.load_state_dict(state["generator"])
        self.optimiser.load_state_dict(state["optimiser"])
