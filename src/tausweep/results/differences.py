"""The difference of one number between two sides, with the interval that their seeds allow."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import pandas as pd
from scipy import stats

from tausweep.results.intervals import CONFIDENCE, paired, widened


@dataclass(frozen=True)
class Difference:
    """A - B of one cell.

    Attributes:
        mean: Mean of A minus that of B; NaN if a side has no complete run.
        low: Lower end of the 95% interval; none if there is none.
        high: Upper end.
        method: ``paired``, ``Welch``, or empty without an interval.
    """

    mean: float
    low: float | None
    high: float | None
    method: str

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and 0 is outside it."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def difference(a: pd.Series[float], b: pd.Series[float], margin: float = 0.0) -> Difference:
    """A - B, each with one number per seed, indexed by seed; NaN counts as a missing seed.

    If both sides have the same two or more seeds, the interval is that of the paired difference,
    else Welch's (Welch 1947, from SciPy), for which each side needs two seeds. Its half-width is at
    least that of the known noise. Without scatter and known noise there is no interval.

    Args:
        a: One number per seed.
        b: The same for the other side.
        margin: Noise margin of one seed's difference, 0 or more; 0 if it is not known.

    Raises:
        ValueError: An index has a seed twice.
    """
    a, b = a.dropna(), b.dropna()
    if set(a.index) == set(b.index):
        gap = widened(paired(a, b), margin)
        if not gap.half_width:
            return Difference(gap.mean, None, None, "")
        return Difference(gap.mean, gap.mean - gap.half_width, gap.mean + gap.half_width, "paired")
    mean = float(a.mean() - b.mean()) if len(a) and len(b) else math.nan
    if len(a) < 2 or len(b) < 2:
        return Difference(mean, None, None, "")
    # Each of two single runs has half the variance of their difference.
    least = margin * math.sqrt((1 / len(a) + 1 / len(b)) / 2)
    if a.var() + b.var() == 0:
        if not least:
            return Difference(mean, None, None, "")
        return Difference(mean, mean - least, mean + least, "Welch")
    with warnings.catch_warnings():
        # Seeds may agree to the last digit, as accuracies on a small split do.
        warnings.filterwarnings("ignore", "Precision loss occurred", RuntimeWarning)
        test = stats.ttest_ind(a.to_numpy(), b.to_numpy(), equal_var=False)
        interval = test.confidence_interval(CONFIDENCE)
    low, high = min(float(interval.low), mean - least), max(float(interval.high), mean + least)
    return Difference(mean, low, high, "Welch")
