"""Estimates over instances, and their intervals. No torch is needed.

A measure comes with its influence values: how much each instance moves it, so that its error is
about their mean. Their scatter gives the interval, and their differences, instance by instance,
the interval of a difference of two inputs. For a mean over pairs they are those of the Hajek
projection: a bootstrap of instances would put pairs of an instance with its own copy in, at
distance zero, which shifts uniformity and makes its variance several times too large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """One number with its 95% interval over instances.

    Attributes:
        value: Of the measure, or of a difference.
        low: Lower end; none where there is no interval.
        high: Upper end; infinite where the data do not bound it.
        n: Instances behind it.
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
    """A value for JSON, which has no infinity: ``inf`` as a text."""
    return "inf" if isinstance(value, float) and math.isinf(value) else value


def by_influence(
    value: float,
    influence: Values,
    least: float = -math.inf,
    most: float = math.inf,
    instances: int | None = None,
) -> Estimate:
    """A value with Student's t interval from the scatter of its influence values.

    Args:
        value: Of the measure.
        influence: One number an instance, or a group of them, whose mean is 0.
        least: The measure's smallest possible value; an interval does not go beyond it.
        most: The largest.
        instances: n, where the numbers are of groups.

    Returns:
        Without an interval for fewer than two numbers.
    """
    n = len(influence)
    instances = instances or n
    if n < 2:
        return Estimate(value, None, None, instances)
    error = float(np.std(influence, ddof=1)) / math.sqrt(n)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * error
    # The value itself may lie beyond them by its rounding.
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
    """Share A - B in points, of the same instances, with the interval of Agresti and Min (2005).

    Half an instance is added to each of the four counts (both right, only A, only B, none), so that
    the interval covers where the two hardly ever differ.

    Args:
        a: n bools, n >= 1.
        b: The same instances'.
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
    """Instances that would narrow an interval to a half-width, as 1 / sqrt(n) has it.

    Returns:
        None if the interval is as narrow already, or there is no bounded one.
    """
    now = estimate.half_width
    if now is None or not math.isfinite(now) or now <= half_width:
        return None
    return math.ceil(estimate.n * (now / half_width) ** 2)
