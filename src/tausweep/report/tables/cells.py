"""Records -> cells: one measure over the seeds of a loss at a temperature."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from tausweep.results import intervals, labels
from tausweep.results.cells import Cell, Key, cells_of, printed
from tausweep.results.published import printed_column
from tausweep.study.columns import FLAGS, IDENTITY, ORIGIN


@dataclass(frozen=True)
class Measured:
    """One measure of one cell.

    Attributes:
        key: Dataset, loss, temperature.
        column: The column of the records.
        values: One number per complete seed, indexed by seed, without those that are not finite.
        summary: Summary of ``values``.
        diverged: Seeds whose run diverged.
        collapsed: Complete seeds whose embeddings are one point; they are included.
        other_code: Complete seeds whose record was made by other code than most of the table; they
            are included.
        lacking: Seeds whose run is missing, failed, stale or not evaluated.
        published: The published number, or none.
        printed: The same with the decimals of its source; empty if they are not known.
    """

    key: Key
    column: str
    values: pd.Series[float]
    summary: intervals.Summary
    diverged: int = 0
    collapsed: int = 0
    other_code: int = 0
    lacking: int = 0
    published: float | None = None
    printed: str = ""

    @property
    def difference(self) -> float | None:
        """Measured minus published; none if either is missing."""
        if self.published is None or not self.summary.n:
            return None
        return self.summary.mean - self.published


class Cells:
    """All cells of a study, by key and column.

    Args:
        records: The collected table, any status.
        published: Published numbers in the same shape, or none.

    Attributes:
        datasets: In the order of print.
        losses: In the order of print.
        columns: All numeric columns.
        has_published: Whether any cell of the records also has published numbers.
        any_diverged: Whether any run diverged.
        any_collapsed: Whether any complete run's embeddings are one point.
        any_other_code: Whether complete runs were made by several versions of the code.
    """

    def __init__(self, records: pd.DataFrame, published: pd.DataFrame | None = None):
        self._cells = cells_of(records)
        self._published = {} if published is None else cells_of(published)
        self.has_published = bool(self._published.keys() & self._cells.keys())
        self.any_diverged = bool((records["status"] == "diverged").any())
        self.any_collapsed = any(cell.collapsed for cell in self._cells.values())
        self._code = _most_common_code(records)
        self.any_other_code = any(cell.other_code(self._code) for cell in self._cells.values())
        self.datasets = labels.datasets_in_order(records["dataset"])
        self.losses = labels.losses_in_order(records["loss"])
        skipped = {*IDENTITY, *FLAGS, *ORIGIN}
        self.columns = [
            str(name)
            for name in records.columns
            if name not in skipped and pd.api.types.is_numeric_dtype(records[name])
        ]

    def keys(self, dataset: str | None = None, loss: str | None = None) -> list[Key]:
        """Keys of the records in the order of print, with ascending temperatures."""
        chosen = [
            key for key in self._cells if dataset in (None, key[0]) and loss in (None, key[1])
        ]
        place = {name: i for i, name in enumerate([*self.datasets, *self.losses])}
        return sorted(chosen, key=lambda k: (place[k[0]], place[k[1]], k[2] or 0.0))

    def temperatures(self, losses: Iterable[str], dataset: str | None = None) -> list[float]:
        """Temperatures of these losses in the records, ascending."""
        keys = self.keys(dataset)
        return sorted({k[2] for k in keys if k[1] in losses and k[2] is not None})

    def seeds(self, key: Key, status: str) -> list[int]:
        """Seeds of a cell whose run has this status."""
        cell = self._cells.get(key)
        return [] if cell is None else cell.seeds(status)

    def cell(self, key: Key, column: str) -> Measured:
        """The cell; only the published number if the records lack it."""
        others = self._published.get(key) or Cell.empty(key)
        cell = self._cells.get(key) or Cell.empty(key)
        values, theirs = cell.values(column), others.values(column)
        return Measured(
            key=key,
            column=column,
            values=values,
            summary=intervals.summary(values.to_numpy()),
            diverged=len(cell.seeds("diverged")),
            collapsed=cell.collapsed,
            other_code=cell.other_code(self._code),
            lacking=cell.unfinished,
            published=float(theirs.mean()) if len(theirs) else None,
            printed=others.text(printed_column(column)) if len(theirs) == 1 else "",
        )


def best(cells: list[Measured]) -> Measured | None:
    """The cell with the highest mean, if it is clearly higher than every other one.

    The 95% t-interval of its difference to every other cell with data, paired by seed, must be
    above 0. Its half-width is at least the measure's noise margin / sqrt n, because seeds can agree
    by chance. A difference without an interval (fewer than two common seeds) is not clear. Cells
    with a diverged run do not compete, because only the survivors are left in them.
    """
    known = [cell for cell in cells if cell.summary.n and not cell.diverged]
    if len(known) < 2:
        return None
    first = max(known, key=lambda cell: cell.summary.mean)
    for other in known:
        if other is not first:
            margin = intervals.noise_margin(first.column)
            gap = intervals.widened(intervals.paired(first.values, other.values), margin)
            # Without scatter and a known margin there is no interval.
            if not gap.half_width or gap.mean - gap.half_width <= 0:
                return None
    return first


def tidy(table: str, cells: Iterable[Measured], bold: Iterable[Measured] = ()) -> pd.DataFrame:
    """One row per cell with plain numbers; missing ones are NaN."""
    chosen = {id(cell) for cell in bold}
    rows = [
        {
            "table": table,
            "dataset": cell.key[0],
            "loss": cell.key[1],
            "temperature": printed(cell.key.temperature),
            "measure": cell.column,
            "mean": cell.summary.mean,
            "sd": _or_nan(cell.summary.sd),
            "half_width": _or_nan(cell.summary.half_width),
            "n": cell.summary.n,
            "diverged": cell.diverged,
            "missing": cell.lacking,
            "collapsed": cell.collapsed,
            "published": _or_nan(cell.published),
            "difference": _or_nan(cell.difference),
            "best": int(id(cell) in chosen),
        }
        for cell in cells
    ]
    return pd.DataFrame(rows, columns=TIDY)


TIDY = [
    *("table", "dataset", "loss", "temperature", "measure", "mean", "sd", "half_width", "n"),
    *("diverged", "missing", "collapsed", "published", "difference", "best"),
]


def _most_common_code(records: pd.DataFrame) -> str:
    """The version of the code that made most complete runs; on a tie, the first in the table.

    It is not today's version, so that a finished table does not change with the code.
    """
    if "code_version" not in records.columns:
        return ""
    made = records.loc[records["status"] == "complete", "code_version"].dropna()
    counts = made.value_counts(sort=False)
    return str(counts.idxmax()) if len(counts) else ""


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
