"""Square attack (Andriushchenko et al., ECCV 2020) in the l_inf ball on the margin: a random search with squares."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bench.api import Oracle

from ._draws import Draws
from ._pgd import margin

#: queries (of 10,000) up to which the share of changed pixels is the initial one divided by 1, 2, 4, ...
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
INITIAL_SHARE = 0.8
#: queries between two clearances of fooled images, and numbers drawn ahead
BLOCK = 25


def side(query: int, height: int, width: int, queries: int, rescaled: bool) -> int:
    """Side of the square of a 0-based query. `rescaled`: the schedule of 10,000 queries is squeezed into `queries`."""
    at = int(query / queries * 10_000) if rescaled else query
    share = INITIAL_SHARE / 2 ** sum(at > bound for bound in HALVINGS)
    return min(max(round(math.sqrt(share * height * width)), 1), height, width)


def square(
    oracle: Oracle, x: Tensor, y: Tensor, draws: Draws, eps: float, queries: int, rescaled: bool = False
) -> Tensor:
    """Answers N x channels x H x W: the point of least margin found for each image.

    It starts from vertical stripes of +-eps; a query adds +-2 eps, a sign a channel, in one square window, clips to the
    ball and the box, and is kept if the margin fell or the image is fooled. Fooled images leave every 25 queries.
    """
    _, channels, height, width = x.shape
    answer, index = x.clone(), torch.arange(len(x), device=x.device)
    low, high = (x - eps).clamp_(0, 1), (x + eps).clamp_(0, 1)
    rows = torch.arange(height, device=x.device).view(1, 1, -1, 1)
    columns = torch.arange(width, device=x.device).view(1, 1, 1, -1)
    best = (x + eps * (2 * draws.each(index, (channels, 1, width)) - 1).sign()).clamp_(0, 1)
    least = margin(oracle.logits(best), y)
    for query in range(queries):
        turn = query % BLOCK
        if turn == 0:
            alive = least > 0
            if not alive.all():
                answer[index[~alive]] = best[~alive]
                index, y, low, high, best, least = (v[alive] for v in (index, y, low, high, best, least))
            if len(index) == 0:
                return answer
            ahead = range(query, min(query + BLOCK, queries))
            numbers = draws.windows(index, len(ahead), 2 + channels)[..., None, None]
            sides = torch.tensor([side(q, height, width, queries, rescaled) for q in ahead], device=x.device)
            sides = sides.view(-1, 1, 1, 1, 1)
            top = (numbers[:, :, :1] * (height - sides)).long()
            left = (numbers[:, :, 1:2] * (width - sides)).long()
            in_rows = (rows >= top) & (rows < top + sides)
            in_columns = (columns >= left) & (columns < left + sides)
            signs = 2 * eps * (2 * numbers[:, :, 2:] - 1).sign()
        tried = torch.where(in_rows[turn] & in_columns[turn], torch.clamp(best + signs[turn], low, high), best)
        found = margin(oracle.logits(tried), y)
        improved = (found < least) | (found <= 0)
        best = torch.where(improved.view(-1, 1, 1, 1), tried, best)
        least = torch.where(improved, found, least)
    answer[index] = best
    return answer
