"""Seeds -> mean, interval, paired difference.

The only thing that counts as a repetition is a seed: every function takes one number a seed (or one
curve a seed), so that images, epochs and temperatures never enter n. Intervals are 95% Student t
intervals of a mean over seeds; where a mean is not what is asked (the best temperature of a grid, a
rank correlation) the interval is a bootstrap that resamples seeds, from its own seeded generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 1999
BOOTSTRAP_SEED = 0

ACCURACY_MARGIN = 0.85
"""Points between two single runs that are noise: 1.96 x sqrt 2 x 0.30, rounded up; 0.30 is the
standard deviation of the author's seven repeats of one CIFAR100 setting."""

MARGINS = {
    "linear_accuracy": ACCURACY_MARGIN,
    "uniformity": 0.04,
    "tolerance": 0.01,
    "interclass_similarity": 0.01,
    "similarity": 0.01,
}
"""Noise margins of a one-seed difference. Nobody published repeats of uniformity or similarities.
Theirs are 1.96 x sqrt 2 times the scatter over tau of Table 1's hard contrastive rows on CIFAR10
and SVHN, where neither shows a trend (0.013 and 0.0025: 0.036 and 0.007, rounded up; what tau does
there is counted as noise, so they are wide rather than narrow). 0.01 is also what rounding does to
the tolerances that are printed to two decimals."""

MARGINS_SOURCE = (
    f"Noise margins: {MARGINS['linear_accuracy']:g} points of accuracy (unless another is asked "
    f"for), {MARGINS['uniformity']:g} of uniformity, {MARGINS['tolerance']:g} of tolerance and of "
    "similarities. That of accuracy is 1.96 x sqrt 2 times the standard deviation of the author's "
    "seven repeats of one CIFAR100 setting, 0.30 points, and is used on every dataset. Nobody "
    "published repeats of the others. Theirs are estimated from the scatter over tau of Table 1's "
    "hard contrastive rows on CIFAR10 and SVHN, which show no trend; these are the very rows in "
    "which C16 is undecided, so that what tau may do there counts as noise. That of similarities "
    "is taken from tolerance."
)
"""Where the margins come from, for print."""

ACCURACIES = (
    *("linear_accuracy", "linear_accuracy_best", "linear_accuracy_converged"),
    *("knn_accuracy", "knn_accuracy_bank"),
)
SIMILARITIES = ("tolerance_literal", "positive_similarity")
"""Columns with the margin of accuracy and that of similarities."""

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def noise_margin(column: str) -> float:
    """Noise margin of a column's one-seed difference; 0 if none is known."""
    name = column.removeprefix("train_")
    if name in ACCURACIES:
        return ACCURACY_MARGIN
    if name in SIMILARITIES or name.startswith("negative_similarity_"):
        return MARGINS["similarity"]
    return MARGINS.get(name, 0.0)


def split_margin(accuracy: float, images: int) -> float:
    """Points that the accuracies of two independent classifiers differ by on a small test split.

    1.96 x sqrt(2 p (1 - p) / n), the sampling noise of two shares; wide rather than narrow for
    runs that share the split, since their errors fall on the same images.

    Args:
        accuracy: Percent.
        images: Of the test split, 1 or more.

    Raises:
        ValueError: A number outside its range.
    """
    if not (0 <= accuracy <= 100 and images >= 1):
        raise ValueError(
            f"accuracy {accuracy}, images {images}: percent from 0 to 100 and 1 image or more "
            "are needed"
        )
    p = accuracy / 100
    return 196 * math.sqrt(2 * p * (1 - p) / images)


@dataclass(frozen=True)
class Summary:
    """What n seeds say about one number.

    Attributes:
        mean: Mean over seeds; NaN for n = 0.
        sd: Standard deviation over seeds (ddof 1); none for n < 2.
        n: Number of seeds.
        half_width: Half the width of the 95% t-interval of the mean; none for n < 2.
    """

    mean: float
    sd: float | None
    n: int
    half_width: float | None


@dataclass(frozen=True)
class PairedSummary(Summary):
    """Summary of a difference over the seeds that both sides have.

    Attributes:
        unpaired: Seeds that only one side has; they are left out.
    """

    unpaired: int = 0


@dataclass(frozen=True)
class Estimate:
    """A statistic of the seeds' mean curve with its bootstrap interval.

    Attributes:
        value: The statistic of the mean over all seeds.
        low: Lower end of the 95% percentile interval; none for one seed.
        high: Upper end; none for one seed.
        n: Number of seeds.
    """

    value: float
    low: float | None
    high: float | None
    n: int


def summary(values: ArrayLike) -> Summary:
    """Mean, standard deviation and 95% t-interval of one number a seed.

    Args:
        values: n numbers, one a seed; NaN marks a seed without one and is left out.

    Raises:
        ValueError: ``values`` is not one-dimensional or holds an infinite number.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise ValueError(f"values: shape {x.shape} is not allowed; one number a seed is needed")
    if np.isinf(x).any():
        raise ValueError("values: an infinite number is not allowed; mark a missing seed with NaN")
    x = x[~np.isnan(x)]
    n = len(x)
    if n < 2:
        return Summary(mean=float(x[0]) if n else math.nan, sd=None, n=n, half_width=None)
    sd = float(x.std(ddof=1))
    t = float(stats.t.ppf((1 + CONFIDENCE) / 2, df=n - 1))
    return Summary(mean=float(x.mean()), sd=sd, n=n, half_width=t * sd / math.sqrt(n))


def paired(a: pd.Series[float], b: pd.Series[float]) -> PairedSummary:
    """Summary of a - b, paired by seed.

    Args:
        a: One number a seed, indexed by seed.
        b: The same for the other side. NaN counts as a seed that is not there.

    Raises:
        ValueError: A seed stands in an index twice.
    """
    a, b = a.dropna(), b.dropna()
    for name, side in (("a", a), ("b", b)):
        if not side.index.is_unique:
            twice = side.index[side.index.duplicated()][0]
            raise ValueError(
                f"{name}: seed {twice} stands in it twice; one number a seed is needed"
            )
    seeds = sorted(set(a.index) & set(b.index))
    difference = summary(a[seeds].to_numpy() - b[seeds].to_numpy())
    return PairedSummary(
        mean=difference.mean,
        sd=difference.sd,
        n=difference.n,
        half_width=difference.half_width,
        unpaired=len(a) + len(b) - 2 * len(seeds),
    )


def widened(gap: PairedSummary, margin: float) -> PairedSummary:
    """A difference whose interval is not narrower than the known noise allows.

    The half-width is margin / sqrt n at least, the interval of n seeds if the noise is what the
    margin of one says: seeds that tie, or nearly, by chance (accuracies on a small split are
    coarse) are no certainty. n < 2 stays without an interval.

    Args:
        gap: Over seeds.
        margin: Noise margin of one seed's difference, 0 or more.
    """
    if gap.half_width is None:
        return gap
    return replace(gap, half_width=max(gap.half_width, margin / math.sqrt(gap.n)))


def bootstrap_interval(curves: ArrayLike, statistic: Statistic) -> tuple[float, float] | None:
    """95% percentile bootstrap interval of a statistic of the seeds' mean curve.

    Seeds are resampled whole, since the points of a curve are not independent repetitions. The
    percentile method is used because BCa's correction is undefined for statistics that jump, such
    as the place of a maximum. With three or four seeds the interval is too narrow; it never decides
    a verdict alone.

    Args:
        curves: seeds x temperatures, without NaN.
        statistic: Mean curves (... x temperatures) -> values (...).

    Returns:
        Lower and upper end; none for one seed.

    Raises:
        ValueError: ``curves`` is not two-dimensional or holds a number that is not finite.
    """
    y = np.asarray(curves, dtype=np.float64)
    if y.ndim != 2 or not np.isfinite(y).all():
        raise ValueError(f"curves: shape {y.shape}; finite numbers, seeds x temperatures, needed")
    if len(y) < 2:
        return None

    def of_seeds(rows: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:
        return statistic(y[np.moveaxis(rows, axis, -1)].mean(axis=-2))

    interval = stats.bootstrap(
        (np.arange(len(y)),),
        of_seeds,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(BOOTSTRAP_SEED),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def best_temperature(curves: pd.DataFrame) -> Estimate:
    """Temperature at which the seeds' mean curve is highest (the lower one at a tie).

    Args:
        curves: One row a seed, one column a temperature, without NaN.
    """
    grid = np.asarray(curves.columns, dtype=np.float64)
    order = np.argsort(grid)
    grid = grid[order]
    return _estimate(curves.to_numpy(np.float64)[:, order], lambda mean: grid[mean.argmax(axis=-1)])


def rank_correlation(curves: pd.DataFrame) -> Estimate:
    """Spearman's rank correlation of the seeds' mean curve with temperature; 0 if it is constant.

    Args:
        curves: One row a seed, one column a temperature (two or more), without NaN.

    Raises:
        ValueError: There are fewer than two temperatures.
    """
    grid = np.asarray(curves.columns, dtype=np.float64)
    if len(grid) < 2:
        raise ValueError(f"curves: {len(grid)} temperature(s); two or more are needed")
    centred = stats.rankdata(grid) - (len(grid) + 1) / 2

    def rho(mean: NDArray[np.float64]) -> NDArray[np.float64]:
        ranks = stats.rankdata(mean, axis=-1) - (len(grid) + 1) / 2
        norm = np.sqrt((ranks**2).sum(axis=-1) * (centred**2).sum())
        return np.where(norm > 0, ranks @ centred / np.maximum(norm, 1e-300), 0.0)

    return _estimate(curves.to_numpy(np.float64), rho)


def format_cell(cell: Summary, digits: int | None = None, signed: bool = False) -> str:
    """``mean ± half-width (n)``; one seed shows its number and no interval, none shows a dash.

    Args:
        cell: What to show.
        digits: Decimals. By default the half-width gets two significant digits and the mean as
            many decimals (4 at most); a single number gets four significant digits.
        signed: Show a plus too, for differences; what rounds to 0 has no sign.
    """
    if cell.n == 0:
        return "–"
    if cell.half_width is None:
        number = _number(cell.mean, ".4g" if digits is None else f".{digits}f", signed)
        return f"{number} ({cell.n})"
    if digits is None:
        first = math.floor(math.log10(cell.half_width)) if cell.half_width > 0 else -1
        digits = min(max(1 - first, 0), 4)
    number = _number(cell.mean, f".{digits}f", signed)
    return f"{number} ± {cell.half_width:.{digits}f} ({cell.n})"


def _number(value: float, form: str, signed: bool) -> str:
    text = f"{value:{'+' if signed else ''}{form}}"
    # What rounds to 0 has no sign: neither -0 nor +0 says anything.
    return text if float(text) else text.lstrip("+-")


def _estimate(curves: NDArray[np.float64], statistic: Statistic) -> Estimate:
    interval = bootstrap_interval(curves, statistic)
    low, high = interval if interval is not None else (None, None)
    return Estimate(float(statistic(curves.mean(axis=0))), low, high, len(curves))
