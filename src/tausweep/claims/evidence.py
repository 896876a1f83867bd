"""What one dataset's records say about a cell or a curve, or why they say nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tausweep.claims.columns import ACCURACY, Column, column_name, numbers
from tausweep.claims.phrases import cell_name, comma_separated, count_of, in_words, loss_words
from tausweep.claims.readings import Curve, Place, Reading, Unjudged, nearest_temperature
from tausweep.results.cells import cells_of
from tausweep.results.intervals import Noise, prior_of_cells
from tausweep.study import BASELINES

PAPER_RANGE = 50.0
"""Assumed points from an untrained encoder to the best cell at the paper's size, if no baseline was
measured, as for the published numbers."""

Correct = Mapping[tuple[str, float | None, int], NDArray[np.bool_]]
"""Which test images a run gets right, by loss, temperature and seed."""


class Evidence:
    """One dataset's records, asked cell by cell.

    Args:
        records: Rows of one dataset, with the columns of ``records.csv``. Columns that no claim
            reads do not matter, and a missing column counts as empty.
        margins: Noise margin of a one-seed difference, by column.
        one_run: Whether the margins may decide between single runs.
        test_images: Number of test images, if known; ``records`` may have it too.
        correct: Which test images a run's probe gets right, by loss, temperature and seed.
        along: The same dataset's rows of ``along.csv``, if there are any.
        like: The evidence of the complete runs, if these are a checkpoint; it sets the scale.
    """

    def __init__(
        self,
        records: pd.DataFrame,
        margins: Mapping[str, float],
        *,
        one_run: bool = False,
        test_images: int | None = None,
        correct: Correct | None = None,
        along: pd.DataFrame | None = None,
        like: Evidence | None = None,
    ) -> None:
        self.margins = margins
        self.one_run = one_run
        self.correct = correct or {}
        self.along = along
        self.like = like
        # In one order, so that sums of floats do not depend on the order of the rows.
        ordered = records.sort_values(["temperature", "seed"], ignore_index=True)
        self._table = ordered
        self._cells = {(k.loss, k.temperature): cell for k, cell in cells_of(ordered).items()}
        self._losses = {
            str(loss): np.sort(rows) for loss, rows in ordered.groupby("loss").indices.items()
        }
        self._columns: dict[Column, NDArray[np.float64]] = {}
        self._noise: dict[str, Noise] = {}
        self._readings: dict[tuple[str, Column, float | None, float | None], Reading] = {}
        self._known_runs: dict[str, tuple[NDArray[np.float64], NDArray[Any], NDArray[Any]]] = {}
        self._share: dict[Place, NDArray[np.float64] | None] = {}
        self.test_images = test_images
        if test_images is None and "test_images" in records:
            known = records["test_images"].dropna()
            self.test_images = int(known.max()) if len(known) else None

    def noise(self, column: Column) -> Noise:
        """The noise in differences of a column, from the cells of all losses."""
        name = column_name(column)
        if name not in self._noise:
            parts = []
            for loss in self._losses:
                if loss in BASELINES:
                    continue
                temperature, seeds, status = self._runs(loss)
                known = pd.DataFrame(
                    {
                        "cell": [f"{loss} {t}" for t in temperature],
                        "seed": seeds,
                        "value": self._values(loss, column),
                    }
                )
                parts.append(known[status == "complete"].dropna())
            found = pd.concat(parts) if parts else pd.DataFrame()
            prior = None
            if len(found):
                prior = prior_of_cells(found.pivot(index="seed", columns="cell", values="value"))
            margin = self.margins.get(name, self.margins.get("similarity", 0.0))
            self._noise[name] = Noise(margin, prior, self.one_run)
        return self._noise[name]

    def split(self, a: Reading, b: Reading) -> float:
        """Variance that the sampling of the test images adds to a difference of two accuracies.

        If the runs kept which images they get right, it is computed by image: the variance over
        images of the difference of the seeds' mean correctness, divided by the number of images. If
        only the number of images is known, it is the variance of the difference of two independent
        shares. This is an upper bound, unless the two cells tend to fail on different images.
        Otherwise it is 0.
        """
        if a.place is None or b.place is None:
            return 0.0
        first, second = self._by_image(a.place), self._by_image(b.place)
        if first is not None and second is not None and len(first) == len(second):
            return float((100 * (first - second)).var(ddof=1) / len(first))
        if self.test_images is None:
            return 0.0
        shares = [min(max(float(c.values.mean()) / 100, 0.0), 1.0) for c in (a, b)]
        return 1e4 * sum(p * (1 - p) for p in shares) / self.test_images

    def _by_image(self, place: Place) -> NDArray[np.float64] | None:
        """Share of a cell's seeds that get each test image right; none if a seed kept none."""
        if place not in self._share:
            cell = self._cells.get(place)
            seeds = [] if cell is None else cell.seeds("complete")
            kept = [self.correct.get((*place, seed)) for seed in seeds]
            found = [k for k in kept if k is not None]
            whole = found and len(found) == len(kept) and len({len(k) for k in found}) == 1
            self._share[place] = np.mean(found, axis=0) if whole else None
        return self._share[place]

    @cached_property
    def scale(self) -> tuple[float, bool]:
        """Points from the untrained encoder to the best cell, and whether they were measured.

        Without ``untrained`` it is ``PAPER_RANGE``.
        """
        if self.like is not None:
            return self.like.scale
        floor = self.cell("untrained", ACCURACY)
        means = [
            float(cell.values.mean())
            for loss in self._losses
            if loss not in BASELINES
            for t in (*self.temperatures(loss, ACCURACY), None)
            if not (cell := self.cell(loss, ACCURACY, t)).problem
        ]
        if floor.problem or not means:
            return PAPER_RANGE, False
        return max(max(means) - float(floor.values.mean()), 0.0), True

    def temperatures(self, loss: str, column: Column, above: float = 0.0) -> list[float]:
        """Temperatures above a bound at which the study asks for this column, ascending.

        A temperature whose complete runs all lack the column does not count (published tables have
        accuracy on a finer grid than geometry); one without a complete run does.
        """
        temperature, _, status = self._runs(loss)
        asked = ~np.isnan(self._values(loss, column)) | (status != "complete")
        return sorted({float(t) for t in temperature[asked] if t > above + 1e-9})

    def cell(
        self,
        loss: str,
        column: Column,
        temperature: float | None = None,
        stands_for: float | None = None,
    ) -> Reading:
        """The complete runs of a loss at a temperature (none for a loss without one)."""
        key = (loss, column, temperature, stands_for)
        if key not in self._readings:
            self._readings[key] = self._reading(*key)
        return self._readings[key]

    def _reading(
        self, loss: str, column: Column, temperature: float | None, stands_for: float | None
    ) -> Reading:
        name = cell_name(loss, temperature, stands_for)
        empty = pd.Series(dtype=float)
        cell = self._cells.get((loss, temperature))
        if cell is None:
            asked = loss in self._losses and loss not in BASELINES
            state: Unjudged = "not tested" if asked else "not measured"
            return Reading(name, empty, f"the study has no {name}", state)
        values, seeds, status = self._column(column)[cell.rows], cell.all_seeds, cell.status
        complete = status == "complete"
        known = complete & ~np.isnan(values)
        if "diverged" in status:
            return Reading(
                name,
                empty,
                f"{name} diverged (seed {comma_separated(seeds[status == 'diverged'])})",
            )
        if (one_point := self._column("collapsed")[cell.rows] == 1).any():
            # Its embeddings are one point, so every number measured on them is rounding.
            reason = f"{name} collapsed (seed {comma_separated(seeds[one_point])})"
            return Reading(name, empty, reason, "not tested")
        if not known.any() and not complete.all():
            found = comma_separated(sorted(set(status[~complete])))
            return Reading(name, empty, f"{name} has no complete run ({found})")
        if not known.any():
            reason = f"{in_words(column)} of {name} was not measured"
            return Reading(name, empty, reason, "not measured")
        return Reading(
            name, pd.Series(values[known], index=seeds[known]), place=(loss, temperature)
        )

    def near(self, loss: str, column: Column, temperature: float) -> Reading:
        """The cell at a temperature that a claim names, or at the nearest one (``STAND_IN``)."""
        found = nearest_temperature(self.temperatures(loss, column), temperature)
        if found is None:
            return self.cell(loss, column, temperature)
        return self.cell(loss, column, found, stands_for=temperature)

    def curve(
        self, loss: str, column: Column, grid: Iterable[float] | None = None, minimum: int = 3
    ) -> Curve:
        """The seeds that are complete at every temperature of a grid.

        Args:
            loss: A loss with a temperature.
            column: What to read.
            grid: The temperatures; by default all that the study asks for.
            minimum: With fewer temperatures the curve is empty and says why.
        """
        name = in_words(column)
        chosen = sorted(self.temperatures(loss, column) if grid is None else grid)
        cells = {t: self.cell(loss, column, t) for t in chosen}
        empty = pd.DataFrame(columns=chosen, dtype=float)
        if len(chosen) < minimum:
            count = count_of(len(chosen), "temperature")
            reason = f"{name} of {loss_words(loss)} is measured at {count}; {minimum} are needed"
            return Curve(loss, name, empty, reason, "not tested" if chosen else "not measured")
        for cell in cells.values():
            if cell.problem:
                return Curve(loss, name, empty, cell.problem, cell.state)
        table = pd.DataFrame({t: cell.values for t, cell in cells.items()}).dropna().sort_index()
        if table.empty:
            return Curve(loss, name, empty, f"no seed of {loss_words(loss)} has all temperatures")
        return Curve(loss, name, table)

    def runs(self, loss: str, column: str) -> Reading:
        """A column of all complete runs of a loss, indexed by temperature and seed.

        It is empty and says why if a complete run lacks the number (one that could not be computed
        may be the one that breaks the claim), or if fewer than half of the runs are complete. If
        some runs are missing, the ``note`` says so.
        """
        temperature, seeds, status = self._runs(loss)
        values = self._values(loss, column)
        complete = status == "complete"
        known = complete & ~np.isnan(values)
        index = pd.MultiIndex.from_arrays([temperature[known], seeds[known]])
        name = f"{in_words(column)} ({loss_words(loss)})"
        others = ", ".join(
            f"{int((status == kind).sum())} {kind}" for kind in sorted(set(status[~complete]))
        )
        judged = f"{int(complete.sum())} of {count_of(len(status), 'run')}"
        judged += f" ({others})" * bool(others)
        problem = ""
        state: Unjudged = "undecided"
        if not known.any():
            problem = f"{name} was not measured"
            state = "not measured" if complete.all() else "undecided"
        elif (complete & ~known).any():
            unknown = int((complete & ~known).sum())
            total = count_of(int(complete.sum()), "complete run")
            problem = f"{name} is unknown in {unknown} of {total}"
        elif 2 * complete.sum() < len(status):
            problem = f"{name} is known in {judged}, fewer than half"
        values = values[known] if not problem else values[:0]
        index = index if not problem else index[:0]
        return Reading(name, pd.Series(values, index), problem, state, judged if others else "")

    def _runs(self, loss: str) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[Any]]:
        if loss not in self._known_runs:
            rows = self._table.iloc[self._at(loss)]
            temperature = rows["temperature"].to_numpy(np.float64, na_value=np.nan)
            found = temperature, rows["seed"].to_numpy(), rows["status"].to_numpy(object)
            self._known_runs[loss] = found
        return self._known_runs[loss]

    def _values(self, loss: str, column: Column) -> NDArray[np.float64]:
        return self._column(column)[self._at(loss)]

    def _at(self, loss: str) -> NDArray[np.intp]:
        """Where the runs of a loss are in the table."""
        return self._losses.get(loss, np.array([], dtype=np.intp))

    def _column(self, column: Column) -> NDArray[np.float64]:
        """A column of the whole table; NaN where it has no number."""
        if column not in self._columns:
            self._columns[column] = numbers(self._table, column)
        return self._columns[column]
