"""Whether a study that was run again gives the same results within a stated margin.

Two one-sided t-tests (TOST; Schuirmann 1987, doi:10.1007/BF01068419). "No significant difference"
is no evidence of agreement, because few seeds never show one. Here agreement itself has to be
shown, and too few seeds show nothing.

As everywhere, only seeds count as repetitions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from tausweep.results.cells import KEY_COLUMNS, Cell, Key, cells_of, run_key
from tausweep.study import BASELINES

LEVEL = 0.05
"""Level of each one-sided test; the interval that belongs to both is that of 90%."""

EQUIVALENCE_MARGINS = {
    "linear_accuracy": 1.4,
    "knn_accuracy": 1.4,
    "uniformity": 0.1,
    "tolerance": 0.05,
}
"""The largest difference that changes no conclusion, accuracies in points: less than half of what a
temperature of 0.3 instead of 0.07 changes in the paper's Table 1, on the dataset where it changes
least (2.92 points of accuracy, 0.223 of uniformity, 0.105 of tolerance)."""


@dataclass(frozen=True)
class Tost:
    """Two one-sided tests of whether a difference is between -margin and margin.

    Attributes:
        margin: The margin, above 0.
        mean: Mean of A minus that of B; NaN if a side has no seed.
        error: Standard error of it; none if there are too few seeds for a test.
        df: Degrees of freedom of the error; none likewise.
        method: ``paired``, ``Welch``, or empty without a test.
    """

    margin: float
    mean: float
    error: float | None = None
    df: float | None = None
    method: str = ""

    @property
    def p(self) -> float | None:
        """The larger p-value of the two tests; none without a test."""
        return self._tail(self.margin - abs(self.mean))

    @property
    def p_beyond(self) -> float | None:
        """One-sided p-value of a difference above the margin; none without a test."""
        return self._tail(abs(self.mean) - self.margin)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 90% interval: it is within the margin if and only if this is equivalent."""
        if self.error is None or self.df is None:
            return None
        half = float(special.stdtrit(self.df, 1 - LEVEL)) * self.error
        return self.mean - half, self.mean + half

    @property
    def equivalent(self) -> bool:
        """Whether both tests reject a difference of the margin or more."""
        return self.p is not None and self.p < LEVEL

    def _tail(self, distance: float) -> float | None:
        """Probability that chance alone gives at least this distance."""
        if self.error is None or self.df is None:
            return None
        if self.error == 0:
            return 0.0 if distance > 0 else 1.0
        return float(special.stdtr(self.df, -distance / self.error))


def tost(a: pd.Series[float], b: pd.Series[float], margin: float) -> Tost:
    """Test whether A - B is within the margin.

    If both sides have the same two or more seeds, their differences are tested: a seed decides
    initialisation, order and views, so only machine and versions can tell the two apart. Otherwise
    it is Welch's test, for which each side needs two seeds.

    Args:
        a: One number per seed, indexed by seed; NaN counts as a missing seed.
        b: The same for the other side.
        margin: Above 0, in the unit of the numbers.

    Raises:
        ValueError: The margin is not above 0, an index has a seed twice, or a number is infinite.
    """
    if not 0 < margin < math.inf:
        raise ValueError(f"margin: {margin} is not allowed; a number above 0 is needed")
    a, b = a.dropna(), b.dropna()
    for name, side in (("a", a), ("b", b)):
        if not side.index.is_unique:
            raise ValueError(f"{name}: a seed is listed twice; one number per seed is needed")
        if np.isinf(side.to_numpy(np.float64)).any():
            raise ValueError(f"{name}: an infinite number is not allowed")
    if not len(a) or not len(b):
        return Tost(margin, math.nan)
    if set(a.index) == set(b.index):
        gaps = a.to_numpy(np.float64) - b[a.index].to_numpy(np.float64)
        if len(gaps) < 2:
            return Tost(margin, float(gaps[0]))
        error = float(gaps.std(ddof=1)) / math.sqrt(len(gaps))
        return Tost(margin, float(gaps.mean()), error, len(gaps) - 1, "paired")
    mean = float(a.mean() - b.mean())
    if len(a) < 2 or len(b) < 2:
        return Tost(margin, mean)
    of_a, of_b = float(a.var()) / len(a), float(b.var()) / len(b)
    if of_a + of_b == 0:
        return Tost(margin, mean, 0.0, len(a) + len(b) - 2, "Welch")
    df = (of_a + of_b) ** 2 / (of_a**2 / (len(a) - 1) + of_b**2 / (len(b) - 1))
    return Tost(margin, mean, math.sqrt(of_a + of_b), df, "Welch")


@dataclass(frozen=True)
class MeasureEquivalence:
    """One measure of a study that was run twice.

    Attributes:
        column: The measure.
        study: The test of its mean over the trained cells, with one number per seed.
        seeds: Number of seeds on each side that have all these cells.
        cells: The test of each trained cell.
        beyond: The cells with a difference that is shown to be larger than the margin, at
            ``LEVEL`` for all of the cells together.
    """

    column: str
    study: Tost
    seeds: tuple[int, int]
    cells: Mapping[Key, Tost]
    beyond: tuple[Key, ...]

    @property
    def holds(self) -> bool | None:
        """Whether the study is equivalent and no cell is beyond; none if it cannot be tested."""
        if self.beyond:
            return False
        return None if self.study.p is None else self.study.equivalent

    @property
    def equivalent_cells(self) -> int:
        """Number of cells that are equivalent by themselves."""
        return sum(test.equivalent for test in self.cells.values())


@dataclass(frozen=True)
class StudyEquivalence:
    """A study that was run twice.

    Attributes:
        measures: The finding of each measure; empty if there is nothing to compare.
        left_out: Cells that both have, with other settings or other data.
        outcomes: Runs that diverged on one side and not on the other.
    """

    measures: tuple[MeasureEquivalence, ...]
    left_out: tuple[Key, ...]
    outcomes: tuple[tuple[Key, int], ...] = ()


def equivalence(
    theirs: pd.DataFrame, ours: pd.DataFrame, margins: Mapping[str, float] = EQUIVALENCE_MARGINS
) -> StudyEquivalence:
    """Compare two tables of records, measure by measure.

    Compared are the trained cells that both have, if runs of the same seed have the same settings
    and data. The mean over these cells decides, because a single cell has too few seeds to show
    much.

    Args:
        theirs: Columns of ``records.csv``.
        ours: The same.
        margins: Margin by column.
    """
    of_ours, otherwise = cells_of(ours), _made_otherwise(theirs, ours)
    pairs: dict[Key, tuple[Cell, Cell]] = {}
    left_out, outcomes = [], []
    for key, cell in cells_of(theirs).items():
        other = of_ours.get(key)
        if other is None or key.loss in BASELINES:
            continue
        if key not in otherwise:
            pairs[key] = cell, other
            one, two = ({*side.seeds("diverged")} for side in (cell, other))
            known = {*cell.seeds("complete")} | one, {*other.seeds("complete")} | two
            outcomes += [(key, seed) for seed in sorted((one ^ two) & known[0] & known[1])]
        else:
            left_out.append(key)
    measures = [_measure(column, margin, pairs) for column, margin in margins.items()]
    found = tuple(measure for measure in measures if measure is not None)
    return StudyEquivalence(found, tuple(left_out), tuple(outcomes))


def _measure(
    column: str, margin: float, pairs: Mapping[Key, tuple[Cell, Cell]]
) -> MeasureEquivalence | None:
    values = {key: (a.values(column), b.values(column)) for key, (a, b) in pairs.items()}
    values = {key: sides for key, sides in values.items() if len(sides[0]) and len(sides[1])}
    if not values:
        return None
    cells = {key: tost(a, b, margin) for key, (a, b) in values.items()}
    a = _mean_over_cells(side for side, _ in values.values())
    b = _mean_over_cells(side for _, side in values.values())
    level = LEVEL / len(cells)
    beyond = (
        key for key, test in cells.items() if test.p_beyond is not None and test.p_beyond < level
    )
    return MeasureEquivalence(column, tost(a, b, margin), (len(a), len(b)), cells, tuple(beyond))


def _mean_over_cells(values: Iterable[pd.Series[float]]) -> pd.Series[float]:
    """One number per seed that all cells have."""
    return pd.concat(list(values), axis=1, join="inner").mean(axis=1)


def _made_otherwise(theirs: pd.DataFrame, ours: pd.DataFrame) -> set[Key]:
    """Cells with a seed that both sides have, with other settings or other data."""
    digests = ["settings_digest", "data_digest"]
    run = [*KEY_COLUMNS, "seed"]
    one, two = (side.reindex(columns=[*run, *digests]) for side in (theirs, ours))
    shared = one.merge(two, on=run, suffixes=("", "_ours"))
    found = set()
    for name in digests:
        known = shared[name].notna() & shared[f"{name}_ours"].notna()
        differ = known & (shared[name] != shared[f"{name}_ours"]).fillna(False)
        found |= {run_key(row)[0] for row in shared[differ].to_dict("records")}
    return found
