"""Rare first: rare classes count more in the gradient (say here what yours does; `bench ls` prints it).

Weight of an image of class c: (n_max / n_c)^power, divided by the mean over the training images.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bench.api import Context, Enhancer, register, setting


@register("enhancers")
class RareFirst(Enhancer["RareFirst.Hparams"]):
    """Weights of the images in the gradient of any method's loss: `--methods "at+rare-first"`."""

    name = "rare-first"
    paper = "authors, venue, year"
    formula = "w_y = (n_max/n_y)^power / sum_c pi_c (n_max/n_c)^power"
    #: with these settings a cell has the bytes of its base
    off = {"power": 0.0}

    @dataclass(frozen=True)
    class Hparams:
        """Your settings, each with its range."""

        power: float = setting(0.5, low=0.0, high=2.0, help="0: every image alike; 1: every class alike")

    def image_weights(self, y: Tensor, context: Context) -> Tensor | None:
        """A factor an image of the batch; None leaves the gradient as it is."""
        if self.hp.power == 0:
            return None
        counts = context.class_counts.float()
        weights = (counts.max() / counts) ** self.hp.power
        return (weights / (weights * counts / counts.sum()).sum())[y]
