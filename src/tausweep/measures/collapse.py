"""Whether training collapsed to a single point, for NumPy arrays and tensors."""

from __future__ import annotations

from typing import Any

FLOAT32_ROUNDING = 2.0**-24


def one_point(rows: Any) -> bool:
    """Whether unit vectors are all the same, as far as float32 can tell.

    The error of a similarity of two d-dimensional unit vectors in float32 is at most d u with
    u = 2^-24, in any order of summation (Higham 2002, Accuracy and Stability of Numerical
    Algorithms, sec. 3.1). If the mean of 1 - s over pairs is no larger, rounding decides losses and
    neighbours. Uniformity is then at most 2t d u (Jensen): 3e-5 at d = 128 and t = 2. For
    comparison, two antipodes have 0.68, and the lowest of our trained encoders 0.12.

    Args:
        rows: n x d float64, n >= 2, normalised; a NumPy array or a tensor.
    """
    n, d = rows.shape
    # From deviations, because n^2 - |sum|^2 would lose the significant digits.
    spread = float(((rows - rows.mean(0)) ** 2).sum()) / (n - 1)
    return bool(spread <= d * FLOAT32_ROUNDING)
