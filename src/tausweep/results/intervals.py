"""Seeds -> mean, interval, paired difference.

Only seeds count as repetitions. Every function takes one number (or curve) per seed, so images,
epochs and temperatures never count towards n. Intervals are 95% Student t intervals of a mean over
seeds. Cells have plain ones; verdicts have moderated ones, whose variances are shrunk towards those
of the measure's other comparisons (``Noise``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special, stats

CONFIDENCE = 0.95

ACCURACY_MARGIN = 0.85
"""Difference in points of two single runs that can be noise: 1.96 x sqrt 2 x 0.30, rounded up. 0.30
is the standard deviation of the author's seven repeats of one CIFAR100 setting."""

MARGINS = {
    "linear_accuracy": ACCURACY_MARGIN,
    "uniformity": 0.04,
    "tolerance": 0.01,
    "interclass_similarity": 0.01,
    "tolerance_gap": 0.01,
    "nearest_interclass_similarity": 0.01,
    "similarity": 0.01,
}
"""Noise margins of a one-seed difference. Nobody published repeats of uniformity or similarities.
Their margins are 1.96 x sqrt 2 times the scatter over tau of Table 1's hard contrastive rows on
CIFAR10 and SVHN, which show no trend (0.013 and 0.0025 give 0.036 and 0.007, rounded up). Any
effect of tau there counts as noise, so the margins are rather wide. 0.01 is also the rounding of
tolerances that are printed to two decimals."""

MARGINS_SOURCE = (
    f"Noise margins: {MARGINS['linear_accuracy']:g} points of accuracy (unless another is given), "
    f"{MARGINS['uniformity']:g} of uniformity, {MARGINS['tolerance']:g} of tolerance and of "
    "similarities. That of accuracy is 1.96 x sqrt 2 times the standard deviation of the author's "
    "seven repeats of one CIFAR100 setting, 0.30 points, and is used on every dataset. Nobody "
    "published repeats for the other measures. Their margins are estimated from the scatter over "
    "tau of Table 1's hard contrastive rows on CIFAR10 and SVHN, which show no trend; these are "
    "the rows in which C16 is undecided, so any effect of tau there counts as noise. The margin of "
    "similarities is that of tolerance."
)
"""Where the margins come from, for print."""

ACCURACIES = (
    *("linear_accuracy", "linear_accuracy_best", "linear_accuracy_converged"),
    *("knn_accuracy", "knn_accuracy_bank"),
)
SIMILARITY_COLUMNS = ("tolerance_literal", "positive_similarity")
"""Columns with the margin of similarities; those of ``ACCURACIES`` have that of accuracy."""

PRIOR_DF = 6.0
"""Most degrees of freedom of a prior of variances. A handful of cells with two or three seeds
cannot show that all have the same variance. With this cap, intervals also cover if they differ
(docs/claims.md has the simulation)."""

PRIOR_CELLS = 10
"""Fewest cells for a prior. With five cells, if one scatters more than the others, intervals cover
as little as 91%, so plain t-intervals are used."""


def noise_margin(column: str) -> float:
    """Noise margin of a column's one-seed difference; 0 if none is known."""
    name = column.removeprefix("train_")
    if name in ACCURACIES:
        return ACCURACY_MARGIN
    if name in SIMILARITY_COLUMNS or name.startswith("negative_similarity_"):
        return MARGINS["similarity"]
    return MARGINS.get(name, 0.0)


@dataclass(frozen=True)
class Summary:
    """A number over n seeds.

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
        unpaired: Number of seeds that only one side has; they are left out.
    """

    unpaired: int = 0


def summary(values: ArrayLike) -> Summary:
    """Mean, standard deviation and 95% t-interval over seeds.

    Args:
        values: n numbers, one per seed; NaN marks a seed without one and is left out.

    Raises:
        ValueError: ``values`` is not one-dimensional or has an infinite number.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise ValueError(f"values: shape {x.shape} is not allowed; one number per seed is needed")
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
        a: One number per seed, indexed by seed.
        b: The same for the other side. NaN counts as a missing seed.

    Raises:
        ValueError: An index has a seed twice.
    """
    if a.index.equals(b.index) and a.index.is_unique and not (a.isna() | b.isna()).any():
        of_all = summary(a.to_numpy(np.float64) - b.to_numpy(np.float64))
        return PairedSummary(of_all.mean, of_all.sd, of_all.n, of_all.half_width)
    a, b = a.dropna(), b.dropna()
    for name, side in (("a", a), ("b", b)):
        if not side.index.is_unique:
            twice = side.index[side.index.duplicated()][0]
            raise ValueError(f"{name}: seed {twice} is listed twice; one number per seed is needed")
    seeds = sorted(set(a.index) & set(b.index))
    difference = summary(a[seeds].to_numpy() - b[seeds].to_numpy())
    return PairedSummary(
        mean=difference.mean,
        sd=difference.sd,
        n=difference.n,
        half_width=difference.half_width,
        unpaired=len(a) + len(b) - 2 * len(seeds),
    )


@dataclass(frozen=True)
class Prior:
    """A prior of one comparison's variance, from the variances of many (Smyth 2004).

    Attributes:
        df: Degrees of freedom d0 of the prior, above 0.
        variance: Its location s0^2.
        pooled: Degrees of freedom of all data together, an upper limit for any interval.
    """

    df: float
    variance: float
    pooled: float

    def moderate(self, variance: float, df: float) -> tuple[float, float]:
        """Posterior variance and its degrees of freedom (Smyth 2004, sec. 3)."""
        shrunk = (self.df * self.variance + df * variance) / (self.df + df)
        return shrunk, min(self.df + df, self.pooled)


def trigamma_inverse(x: float) -> float:
    """Number y > 0 with trigamma(y) = x, by the Newton iteration of Smyth 2004's appendix.

    Raises:
        ValueError: x is not above 0.
    """
    if not x > 0:
        raise ValueError(f"x: {x} is not allowed; a number above 0 is needed")
    if x > 1e7:
        return float(x**-0.5)
    if x < 1e-6:
        return 1 / x
    y = 0.5 + 1 / x
    for _ in range(50):
        value = float(special.polygamma(1, y))
        step = value * (1 - value / x) / float(special.polygamma(2, y))
        y += step
        if -step / y < 1e-10:
            break
    return y


def fit_prior(
    variances: ArrayLike, df: ArrayLike, pooled: float, correlation: float = 0.0
) -> Prior | None:
    """Prior of variances by the moments of their logarithms (Smyth 2004, sec. 6.2).

    Args:
        variances: Sample variances, 0 or more; zeros (seeds that tie on a coarse scale) count as
            1e-5 of the median.
        df: Degrees of freedom of each, 1 or more.
        pooled: Degrees of freedom of the data behind all of them.
        correlation: Mean correlation between the log variances, where they share data.

    Returns:
        None with fewer than three variances, or if half of them or more are 0.
    """
    s2, d = np.asarray(variances, dtype=np.float64), np.asarray(df, dtype=np.float64)
    if len(s2) < 3 or not np.median(s2) > 0:
        return None
    s2 = np.maximum(s2, 1e-5 * np.median(s2))
    e = np.log(s2) - special.digamma(d / 2) + np.log(d / 2)
    excess = e.var(ddof=1) / (1 - correlation) - special.polygamma(1, d / 2).mean()
    df0 = 2 * trigamma_inverse(float(excess)) if excess > 0 else math.inf
    if df0 > PRIOR_DF:
        # The data show no difference of variances, or less than the cap concedes.
        return Prior(PRIOR_DF, float(np.average(s2, weights=d)), pooled)
    location = math.exp(e.mean() + float(special.digamma(df0 / 2)) - math.log(df0 / 2))
    return Prior(df0, location, pooled)


def prior_of_cells(table: pd.DataFrame) -> Prior | None:
    """Prior for half the variance of a difference between two cells of one measure.

    It is fitted on the paired differences of every two cells, since that is what is compared. Some
        share a cell. For normal numbers of equal variance, two differences with a common cell have
        correlation 1/2, and their variances 1/4. The share of such pairs among C cells is 2 (C - 2)
        / (C (C - 1) / 2 - 1).

    Args:
        table: Seeds x cells, NaN where a cell lacks a seed.

    Returns:
        None with fewer than ``PRIOR_CELLS`` cells of two seeds.
    """
    y = table.to_numpy(np.float64)
    y = y[:, (~np.isnan(y)).sum(axis=0) >= 2]
    cells = y.shape[1]
    if cells < PRIOR_CELLS:
        return None
    first, second = np.triu_indices(cells, 1)
    gaps = y[:, first] - y[:, second]
    n = (~np.isnan(gaps)).sum(axis=0)
    gaps, n = gaps[:, n >= 2], n[n >= 2]
    if len(n) < 3:
        return None
    variances = np.nanvar(gaps, axis=0, ddof=1) / 2
    sharing = 2 * (cells - 2) / (cells * (cells - 1) / 2 - 1)
    pooled = float((cells - 1) * (int(n.max()) - 1))
    return fit_prior(variances, n - 1, pooled, sharing / 4)


@dataclass(frozen=True)
class Noise:
    """The noise in differences of a measure.

    Attributes:
        margin: Noise margin of a difference of single runs; 0 if not known.
        prior: Prior of half the variance of a difference; none for plain t-intervals.
        one_run: Whether ``margin`` may decide between single runs.
    """

    margin: float
    prior: Prior | None = None
    one_run: bool = False

    def half_width(
        self, gap: Summary, weight: float = 2.0, split: float = 0.0, family: int = 1
    ) -> float:
        """Half-width of the interval of a mean difference over seeds; infinite if not known.

        Args:
            gap: The difference over seeds.
            weight: Sum of squared weights of the runs in it: 2 for a difference of two.
            split: Variance from the sampling of the test images. All seeds share the images, so it
                is not divided by their number.
            family: Number of simultaneous comparisons (Bonferroni).
        """
        tail = (1 - CONFIDENCE) / family / 2
        z = float(special.ndtri(1 - tail))
        known = self.margin * math.sqrt(weight / 2) * z / _Z
        if gap.n == 0 or (gap.n == 1 and not self.one_run):
            return math.inf
        if gap.n == 1:
            seeds = known
        else:
            variance, df = float(gap.sd or 0.0) ** 2 / weight, gap.n - 1.0
            if self.prior is not None:
                variance, df = self.prior.moderate(variance, df)
            t = float(special.stdtrit(df, 1 - tail))
            seeds = max(t * math.sqrt(weight * variance / gap.n), known / math.sqrt(gap.n))
        return math.sqrt(seeds**2 + z**2 * split)

    def shown(self, gap: PairedSummary, weight: float = 2.0, split: float = 0.0) -> PairedSummary:
        """A difference with this interval; a single run has none."""
        if gap.n < 2:
            return gap
        return replace(gap, half_width=self.half_width(gap, weight, split))


_Z = float(special.ndtri((1 + CONFIDENCE) / 2))


def widened(gap: PairedSummary, margin: float) -> PairedSummary:
    """A difference whose interval is not narrower than the known noise allows.

    The half-width is at least margin / sqrt n, the interval of n seeds at the known noise. Seeds
    can agree by chance, as accuracies on a small split are coarse. With n < 2 there is no interval.

    Args:
        gap: The difference over seeds.
        margin: Noise margin of one seed's difference, 0 or more.
    """
    if gap.half_width is None:
        return gap
    return replace(gap, half_width=max(gap.half_width, margin / math.sqrt(gap.n)))


def rank_correlation(means: pd.Series[float]) -> float:
    """Spearman's rank correlation of a curve with temperature; 0 if it is constant.

    Args:
        means: Indexed by temperature (two or more), without NaN.

    Raises:
        ValueError: There are fewer than two temperatures.
    """
    if len(means) < 2:
        raise ValueError(f"means: {len(means)} temperature(s); two or more are needed")
    x, y = (
        stats.rankdata(np.asarray(v, dtype=np.float64)) - (len(means) + 1) / 2
        for v in (means.index, means)
    )
    norm = math.sqrt(float((x**2).sum() * (y**2).sum()))
    return float(x @ y) / norm if norm > 0 else 0.0


def format_cell(cell: Summary, digits: int | None = None, signed: bool = False) -> str:
    """``mean ± half-width (n)``; a single seed has no interval, and no seed gives a dash.

    Args:
        cell: The summary to format.
        digits: Decimals. By default the half-width gets two significant digits and the mean as
            many decimals (at most 4); a single number gets four significant digits.
        signed: Also show a plus, for differences; a number that rounds to 0 has no sign.
    """
    if cell.n == 0:
        return "–"
    mean, half_width = format_parts(cell, digits, signed)
    return f"{mean} ± {half_width} ({cell.n})" if half_width else f"{mean} ({cell.n})"


def format_parts(cell: Summary, digits: int | None = None, signed: bool = False) -> tuple[str, str]:
    """Mean and half-width as in ``format_cell``; the latter is empty without an interval.

    Args:
        cell: The summary to format, of at least one seed.
        digits: See ``format_cell``.
        signed: See ``format_cell``.
    """
    if cell.half_width is None:
        return _number(cell.mean, ".4g" if digits is None else f".{digits}f", signed), ""
    if digits is None:
        first = math.floor(math.log10(cell.half_width)) if cell.half_width > 0 else -1
        digits = min(max(1 - first, 0), 4)
    return _number(cell.mean, f".{digits}f", signed), f"{cell.half_width:.{digits}f}"


def _number(value: float, form: str, signed: bool) -> str:
    text = f"{value:{'+' if signed else ''}{form}}"
    # A number that rounds to 0 has no sign.
    return text if float(text) else text.lstrip("+-")
