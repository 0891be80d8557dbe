"""How sure a share of a class is: the rules by which full evaluations, audits and their plans count errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def variance(n: Any, correct: Any) -> npt.NDArray[np.float64]:
    """Variance of k / n over other test images of a class, `correct` k of `n` images (any shape, k need not be whole).

        v = (k + 1)(n - k + 1) / (n (n^2 + 3n + 4))

    The adjusted estimate of Agresti and Coull's kind (one success and one failure more), scaled so that its expectation
    is p(1-p)/n at p = 1/2 and larger for every other p: on average it never understates the error, not even for a class
    of one image, where the plain estimate is 0. 0 where n is 0.
    """
    n, k = np.asarray(n, dtype=float), np.asarray(correct, dtype=float)
    safe = np.where(n > 0, n, 1.0)
    return np.where(n > 0, (k + 1) * (n - k + 1) / (safe * (n * n + 3 * n + 4)), 0.0)


def relative(seen: Any, stood: Any) -> npt.NDArray[np.float64]:
    """Variance of the share stood / seen over its square, `stood` of `seen` > 0 sampled images: (1 - s) / (s seen).

    With one success and one failure more, s = (stood + 1) / (seen + 2), so that few images that all stood are not
    certain.
    """
    seen, stood = np.asarray(seen, dtype=float), np.asarray(stood, dtype=float)
    share = (stood + 1) / (seen + 2)
    return np.asarray((1 - share) / (share * np.maximum(seen, 1e-9)))
