"""Cells of tables: which of them is best, and what counts as a seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from table_cells import cell, entries
from tausweep.report import tables
from tausweep.report.tables.cells import Cells, Measured, best
from tausweep.results.cells import Key


def test_bold_needs_an_interval_above_zero_against_every_other_cell() -> None:
    clear, second, near = (
        cell([80.0, 80.5, 81.0]),
        cell([70.0, 70.6, 71.0]),
        cell([79.9, 80.6, 80.8]),
    )
    assert best([second, clear]) is clear
    assert best([second, clear, near]) is None
    assert best([cell([80.0]), cell([10.0])]) is None
    assert best([clear]) is None
    assert best([]) is None
    assert best([cell([]), second, clear]) is clear
    survivors = cell([99.0, 99.1], diverged=1)
    assert best([survivors, second, clear]) is clear


def test_seeds_that_tie_are_not_bold_within_the_noise() -> None:
    assert best([cell([80.0, 80.0]), cell([80.5, 80.5])]) is None  # 0.5 < 0.85 / sqrt 2
    ahead = cell([80.7, 80.7])
    assert best([cell([80.0, 80.0]), ahead]) is ahead
    unknown = [replace(c, column="rankme") for c in (cell([8.0, 8.0]), cell([9.0, 9.0]))]
    assert best(unknown) is None


def test_pairing_by_seed_decides_where_the_seeds_vary_together() -> None:
    low, high = cell([60.0, 70.0, 80.0]), cell([61.0, 71.1, 80.9])
    assert best([low, high]) is high
    shuffled = Measured(low.key, low.column, low.values.iloc[[2, 0, 1]], low.summary)
    assert best([shuffled, high]) is high


def test_an_infinite_or_absent_number_counts_as_no_seed(collected: pd.DataFrame) -> None:
    frame = collected.copy()
    frame["effective_dimension"] = np.inf
    frame = frame.drop(columns="tolerance")
    cells = Cells(frame)
    assert cells.cell(Key("cifar10", "simple", None), "effective_dimension").summary.n == 0
    assert cells.cell(Key("cifar10", "simple", None), "tolerance").summary.n == 0
    assert entries(tables.table1(frame))[("CIFAR10", "tolerance", "measured", "simple")] == "—"
