"""Effective dimension: of the sphere whose uniform distribution is as uniform. No torch."""

from __future__ import annotations

import math

from scipy.optimize import brentq

LARGEST_T = 300.0
LARGEST_DIMENSION = 1e9


def effective_dimension(uniformity: float, t: float = 2.0) -> float:
    """The d whose uniform distribution on S^{d-1} has this uniformity; d is real, at least 1.

    For a uniform point x on S^{d-1} and any fixed unit y, E exp(2t x.y) = 0F1(d/2; t^2), hence the
    uniformity is 2t - log 0F1(d/2; t^2), which rises with d from 2t - log cosh 2t (d = 1, two
    antipodes) towards 2t.

    Args:
        uniformity: -L_uniformity at ``t``.
        t: In (0, 300].

    Returns:
        1.0 for everything at or below d = 1's value; inf from the value of d = 10^9 on (a finite
        sample over distinct pairs can exceed 2t).

    Raises:
        ValueError: t out of range, uniformity not a number.
    """
    if not 0 < t <= LARGEST_T or math.isnan(uniformity):
        raise ValueError(
            f"uniformity, t: {uniformity}, {t} not allowed; a number and t in (0, {LARGEST_T:g}]"
        )

    def excess(log_d: float) -> float:
        return 2 * t - _log_0f1(math.exp(log_d) / 2, t * t) - uniformity

    low, high = 0.0, math.log(LARGEST_DIMENSION)
    if excess(low) >= 0:
        return 1.0
    if excess(high) <= 0:
        return math.inf
    return math.exp(brentq(excess, low, high, xtol=1e-13, rtol=1e-13))


def _log_0f1(b: float, z: float) -> float:
    """The logarithm of 0F1(; b; z) for b, z > 0, by its series of positive terms."""
    total, term, k = 0.0, 1.0, 0
    while term > 1e-17 * (1 + total):
        k += 1
        term *= z / (k * (b + k - 1))
        total += term
    return math.log1p(total)
