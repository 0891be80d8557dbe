"""LAS-AT: Jia et al., LAS-AT: Adversarial Training with Learnable Attack Strategy, CVPR 2022.

A strategy network reads the clean image and draws, image by image, the radius eps_i, the count K_i and the step eta_i
of the training attack. The classifier trains on smoothed labels (`smoothing` for y, the rest shared):

    L = -sum_k t_k log p_k(x'),    t_y = 0.7, t_k = 0.3 / (C - 1)

Every `every`-th step the strategy is updated by REINFORCE (their Eq. 9 to 14) with one reward for the batch:

    R = clamp(CE(z(x'), y), 0, 10) + 4 robust accuracy + 2 clean accuracy

the accuracies being those of a copy of the classifier after one descent step on x'. Its loss is the sum over heads of
mean_i -R log pi(action_i). The attack-type head of the authors has one option, hence log-probability 0; left out.

Both recipes keep the strategy's ranges, stated in 1/255 at radius 8/255: eps 3-15, K 3-14, eta 1-5. `official`: 110
epochs with drops at 99 and 104.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

from bench.api import Context, Method, Objective, Recipe, register, setting

from ._networks import Strategy, build_like, draw_weights


@dataclass(frozen=True)
class Policy:
    """What each image's attack does: radius, step and count (N x 1 x 1 x 1); `longest` count of the batch."""

    eps: Tensor
    step: Tensor
    count: Tensor
    longest: int


@register("methods")
class LearnableStrategy(Method["LearnableStrategy.Hparams"]):
    """A strategy network chooses every image's attack."""

    name = "las-at"
    paper = "Jia et al., CVPR 2022"
    formula = "L = soft-label CE(z(x'), y);  every 20th step the strategy descends sum_heads mean -R log pi(action)"
    licence = "none stated"
    differences = (
        "The smoothed label hard-codes 10 classes in the code; here 0.3 is shared by the C - 1 others.",
        "Ranges are those of the README's command; the argument defaults are eps 3-14, K 3-13, eta 1-4.",
        "The strategy's schedule in the code never reaches its drops; its rate is constant.",
        "The drawn radius may exceed the test radius (up to 15/255).",
        "recipe.eps, recipe.step and recipe.steps do not enter: the strategy chooses them.",
    )
    cost = "about 17F+17B and the strategy network"
    official = {"epochs": 110, "milestones": (99, 104), "factors": (0.1, 0.01)}
    small = ({"strategy_width": 2, "every": 1},)
    waits = "the reward's attack stops when no image is classified correctly, as published: every 20th step"

    @dataclass(frozen=True)
    class Hparams:
        """Ranges of the strategy (in 1/255), its training, and the reward."""

        eps_low: int = setting(3, low=1, help="smallest radius, in 1/255")
        eps_high: int = setting(15, low=1, help="largest radius, in 1/255")
        count_low: int = setting(3, low=1, help="fewest steps")
        count_high: int = setting(14, low=1, help="most steps")
        step_low: int = setting(1, low=1, help="smallest step, in 1/255")
        step_high: int = setting(5, low=1, help="largest step, in 1/255")
        init_eps: float = setting(8 / 255, low=0.0, help="half-width of the uniform start")
        smoothing: float = setting(0.7, low=0.0, high=1.0, help="target probability of the true class")
        every: int = setting(20, low=1, help="steps between updates of the strategy")
        robust_weight: float = setting(4.0, low=0.0, help="weight of the robust accuracy in the reward")
        clean_weight: float = setting(2.0, low=0.0, help="weight of the clean accuracy in the reward")
        strategy_lr: float = setting(1e-4, above=0.0, help="rate of the strategy's SGD")
        strategy_width: int = setting(64, low=1, help="width of the strategy's ResNet-18")

    network: nn.Module | None = None
    optimiser: torch.optim.SGD
    #: a policy to use in place of drawn ones, for checks (see `given`)
    fixed: Policy | None = None

    def passes(self, recipe: Recipe) -> tuple[float, float]:
        """A near-uniform strategy draws the largest count in nearly every batch; updates add their share."""
        longest = float(self.hp.count_high)
        return longest + 1 + (longest + 27) / self.hp.every, longest + 1 + (longest + 21) / self.hp.every

    # ------------------------------------------------------------------------------------------------ the attack

    def policy(self, actions: Sequence[Tensor], context: Context) -> Policy:
        """The attack that the drawn options (three vectors of indices) stand for, scaled to the threat model."""
        eps, count, step = (a.reshape(-1, 1, 1, 1) for a in actions)
        unit = context.threat.scale / 255
        return Policy(
            (eps + self.hp.eps_low) * unit,
            (step + self.hp.step_low) * unit,
            count + self.hp.count_low,
            self.hp.count_high,
        )

    def given(self, rows: Sequence[Mapping[str, float]], x: Tensor, context: Context) -> Policy:
        """The attack stated as one mapping an image with eps_255, iters and step_255."""
        unit = context.threat.scale / 255

        def column(name: str) -> Tensor:
            return torch.tensor([row[name] for row in rows], dtype=x.dtype, device=x.device).reshape(-1, 1, 1, 1)

        longest = max(int(row["iters"]) for row in rows)
        return Policy(column("eps_255") * unit, column("step_255") * unit, column("iters"), longest)

    def draw(self, heads: Sequence[Tensor], context: Context) -> list[Tensor]:
        """One option an image from each head's distribution (logits N x options)."""
        uniform = [context.noise.rand((len(logits), 1)) for logits in heads]
        edges = [logits.detach().softmax(1).cumsum(1)[:, :-1] for logits in heads]
        return [(u.to(e) > e).sum(1) for u, e in zip(uniform, edges, strict=True)]

    def choose(self, x: Tensor, context: Context) -> Policy:
        """A policy drawn from the strategy in eval mode."""
        if self.fixed is not None:
            return self.fixed
        network = self.strategy(x, context)
        network.eval()
        with torch.no_grad():
            return self.policy(self.draw(network(x), context), context)

    def first(self, x: Tensor, context: Context) -> Tensor:
        """Uniform noise, drawn channel by channel, inside the box."""
        radius = self.hp.init_eps * context.threat.scale
        shape = (x.shape[0], *x.shape[2:])
        noise = torch.stack([context.noise.uniform(shape, -radius, radius) for _ in range(x.shape[1])], 1)
        return (x + noise).clamp(0.0, 1.0)

    def attack(self, model: nn.Module, x: Tensor, y: Tensor, policy: Policy, context: Context) -> Tensor:
        """Each image follows its own policy; an image whose count is used up stands still."""
        adversarial = self.first(x, context)
        model.eval()
        for k in range(1, policy.longest + 1):
            slope, _ = context.gradient(model, adversarial, summed(y))
            move = (k <= policy.count) * policy.step * slope.sign()
            adversarial = torch.clamp(adversarial + move, x - policy.eps, x + policy.eps).clamp(0.0, 1.0)
        model.train()
        return adversarial.detach()

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> Tensor:
        """Update the strategy when it is time, then attack with a drawn policy."""
        if (context.step + 1) % self.hp.every == 0:
            self.update(model, x, y, context)
        policy = self.choose(x, context)
        context.extras["policies"] = policy
        return self.attack(model, x, y, policy, context)

    # -------------------------------------------------------------------------------------------------- the loss

    def smoothed(self, adv: Tensor, y: Tensor) -> Tensor:
        """Mean soft-label cross-entropy of logits `adv`."""
        log_p = log_softmax(adv, 1)
        true = log_p.gather(1, y[:, None]).squeeze(1)
        share = (1 - float(self.hp.smoothing)) / (adv.shape[1] - 1)
        weighed: Tensor = true * self.hp.smoothing + (log_p.sum(1) - true) * share
        return -weighed.mean()

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Smoothed cross-entropy of the adversarial batch."""
        return self.smoothed(model(x_adv), y), {}

    # ---------------------------------------------------------------------------------------------- the strategy

    def update(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> None:
        """One REINFORCE step of the strategy, in train mode. A fixed policy is rewarded, but nothing learns from it."""
        if self.fixed is not None:
            self.reward(model, x, y, self.fixed, context)
            return
        network = self.strategy(x, context)
        network.train()
        with torch.enable_grad():
            heads = network(x)
        actions = self.draw(heads, context)
        reward = self.reward(model, x, y, self.policy(actions, context), context)["reward"]
        with torch.enable_grad():
            loss = self.policy_loss(heads, actions, reward)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        self.optimiser.step()

    @staticmethod
    def policy_loss(heads: Sequence[Tensor], actions: Sequence[Tensor], reward: Tensor | float) -> Tensor:
        """Sum over heads (logits N x options) of mean_i -log pi(action_i) R."""
        terms = [cross_entropy(logits, action) * reward for logits, action in zip(heads, actions, strict=True)]
        return torch.stack(terms).sum()

    def reward(self, model: nn.Module, x: Tensor, y: Tensor, policy: Policy, context: Context) -> dict[str, Tensor]:
        """R1, R2, R3 and their sum `reward` for one policy; the classifier is left as it was."""
        x_adv = self.attack(model, x, y, policy, context)
        model.eval()
        with torch.no_grad():
            first = cross_entropy(model(x_adv), y).clamp(0.0, 10.0)
        model.train()
        trial = copy.deepcopy(model)
        weights = list(trial.parameters())
        with torch.enable_grad():
            slopes = torch.autograd.grad(self.smoothed(trial(x_adv), y), weights, materialize_grads=True)
        with torch.no_grad():  # the first step of a fresh SGD with weight decay; its momentum has no part in it yet
            for weight, slope in zip(weights, slopes, strict=True):
                weight.sub_(context.lr * (slope + context.recipe.weight_decay * weight))
        attacked = self.probe(trial, x, y, context)
        trial.eval()
        with torch.no_grad():
            robust = (trial(attacked).argmax(1) == y).to(x.dtype).mean()
            clean = (trial(x).argmax(1) == y).to(x.dtype).mean()
        parts = {"R1": first, "R2": self.hp.robust_weight * robust, "R3": self.hp.clean_weight * clean}
        context.extras["rewards"] = {"reward": first + parts["R2"] + parts["R3"], **parts}
        return dict(context.extras["rewards"])

    def probe(self, trial: nn.Module, x: Tensor, y: Tensor, context: Context) -> Tensor:
        """PGD on the copy, in train mode as the authors have it: 10 steps, the worse of 2 restarts."""
        eps, step = 8 / 255 * context.threat.scale, 2 / 255 * context.threat.scale
        worst, found = torch.zeros_like(y, dtype=x.dtype), x
        for _ in range(2):
            adversarial = self.first(x, context)
            for _ in range(10):
                slope, logits = context.gradient(trial, adversarial, summed(y))
                right = logits.argmax(1) == y
                if not right.any():  # the authors stop here, which spares the copy's running statistics
                    break
                move = right.reshape(-1, 1, 1, 1) * step * slope.sign()
                adversarial = torch.clamp(adversarial + move, x - eps, x + eps).clamp(0.0, 1.0)
            with torch.no_grad():
                losses = cross_entropy(trial(adversarial), y, reduction="none")
            better = (losses >= worst).reshape(-1, 1, 1, 1)
            found, worst = torch.where(better, adversarial, found), torch.maximum(losses, worst)
        return found.detach()

    def strategy(self, x: Tensor, context: Context) -> nn.Module:
        """The strategy network, built and drawn on first use."""
        if self.network is None:
            self.network = draw_weights(self.build(x), context.noise)
        return self.network

    def build(self, like: Tensor) -> nn.Module:
        """A strategy network without weights for images like these, and its optimiser."""
        hp = self.hp
        options = (hp.eps_high - hp.eps_low + 1, hp.count_high - hp.count_low + 1, hp.step_high - hp.step_low + 1)
        network = build_like(lambda: Strategy(like.shape[1], hp.strategy_width, options), like)
        self.optimiser = torch.optim.SGD(network.parameters(), lr=hp.strategy_lr)
        return network

    def state(self) -> dict[str, Any]:
        """Strategy network and optimiser, once there are any."""
        if self.network is None:
            return {}
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put back network and optimiser; the stem's shape tells the images' channels."""
        if not state:
            return
        stem = state["network"]["trunk.0.weight"]
        self.network = self.build(stem.new_empty(1, stem.shape[1], 1, 1))
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])


def summed(y: Tensor) -> Objective:
    """Logits to their summed cross-entropy."""
    return lambda z: cross_entropy(z, y, reduction="sum")
