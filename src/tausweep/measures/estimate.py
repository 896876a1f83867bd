"""Estimates over instances, and their intervals. No torch is needed.

Each measure has influence values: how much each instance moves it. The error of the measure is
about their mean, so their scatter gives its interval. For two inputs, the differences of the
influence values by instance give the interval of the difference.

For a mean over pairs, the influence values are those of the Hajek projection. A bootstrap of
instances would not do: it contains pairs of an instance with its own copy, at distance zero, which
shifts uniformity and makes its variance several times too large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
SAME = 2.0**-23
"""Influence values that differ by less are equal up to float32 rounding."""
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """One number with its 95% interval over instances.

    Attributes:
        value: Value of the measure, or of a difference.
        low: Lower end; none where there is no interval.
        high: Upper end; infinite where the data do not bound it.
        n: Number of instances behind it.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    @property
    def half_width(self) -> float | None:
        """Half the interval's width; none without one, infinite if an end is."""
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / 2

    def to_json(self) -> dict[str, Any]:
        """All fields; JSON has no infinity, so an infinite number is the text ``inf``."""
        return {name: finite(number) for name, number in vars(self).items()}


def finite(value: Any) -> Any:
    """A value for JSON, which has no infinity: an infinite number becomes the text ``inf``."""
    return "inf" if isinstance(value, float) and math.isinf(value) else value


def by_influence(
    value: float,
    influence: Values,
    least: float = -math.inf,
    most: float = math.inf,
    instances: int | None = None,
) -> Estimate:
    """A value with the Student t interval that follows from the scatter of its influence values.

    Args:
        value: Value of the measure.
        influence: One number per instance or per group of instances; their mean is 0.
        least: The measure's smallest possible value; an interval does not go beyond it.
        most: The largest.
        instances: n, if the influence values are those of groups.

    Returns:
        The estimate; without an interval if there are fewer than two influence values, or if they
        are all the same: those of a single pair are, and say nothing of another sample.
    """
    n = len(influence)
    instances = instances or n
    if n < 2 or float(np.ptp(influence)) <= SAME * max(1.0, abs(value)):
        return Estimate(value, None, None, instances)
    error = float(np.std(influence, ddof=1)) / math.sqrt(n)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * error
    # The value itself may exceed the bounds by rounding.
    low, high = max(least, value - half), min(most, value + half)
    return Estimate(value, min(value, low), max(value, high), instances)


def of_share(correct: NDArray[np.bool_]) -> Estimate:
    """A share of instances in percent, with Wilson's binomial interval (Wilson 1927).

    Args:
        correct: n bools, n >= 1.
    """
    n, right = len(correct), int(np.count_nonzero(correct))
    interval = stats.binomtest(right, n).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(100.0 * right / n, 100.0 * float(interval.low), 100.0 * float(interval.high), n)


def of_share_difference(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> Estimate:
    """Difference of two shares in points, A - B, with the interval of Agresti and Min (2005).

    Both shares are of the same instances. Half an instance is added to each of the four counts
    (both right, only A, only B, none). So the interval also covers if A and B hardly ever differ.

    Args:
        a: n bools, n >= 1.
        b: n bools of the same instances.
    """
    n = len(a)
    only_a, only_b = int(np.count_nonzero(a & ~b)), int(np.count_nonzero(b & ~a))
    first, second, total = only_a + 0.5, only_b + 0.5, n + 2
    gap = (first - second) / total
    error = math.sqrt((first + second) / total - gap**2) / math.sqrt(total)
    half = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * error
    low, high = max(-1.0, gap - half), min(1.0, gap + half)
    return Estimate(100.0 * (only_a - only_b) / n, 100.0 * low, 100.0 * high, n)


def enough(estimate: Estimate, half_width: float) -> int | None:
    """Number of instances that would narrow an interval to a half-width, by 1 / sqrt(n).

    Returns:
        None if the interval is narrow enough already, or if there is no bounded interval.
    """
    now = estimate.half_width
    if now is None or not math.isfinite(now) or now <= half_width:
        return None
    return math.ceil(estimate.n * (now / half_width) ** 2)
