"""Whether training collapsed: all embeddings are one point. Of NumPy arrays and tensors alike."""

from __future__ import annotations

from typing import Any

FLOAT32_ROUNDING = 2.0**-24


def one_point(rows: Any) -> bool:
    """Whether unit vectors are one, as far as float32 can tell: uniformity is near 0.

    A similarity of two d-dimensional unit vectors in float32 errs by at most d u, u = 2^-24, in
    whatever order it is summed (Higham 2002, Accuracy and Stability of Numerical Algorithms, sec.
    3.1). Where the mean of 1 - s over pairs is no more than that, losses and neighbours are decided
    by rounding. Uniformity is then at most 2t d u (Jensen): 3e-5 at d = 128 and t = 2, where two
    antipodes have 0.68 and the least of the trained encoders kept in this project 0.12.

    Args:
        rows: n x d float64, n >= 2, normalised; a NumPy array or a tensor.
    """
    n, d = rows.shape
    # Of the deviations, since n^2 - |sum|^2 would lose the digits that count.
    spread = float(((rows - rows.mean(0)) ** 2).sum()) / (n - 1)
    return bool(spread <= d * FLOAT32_ROUNDING)
