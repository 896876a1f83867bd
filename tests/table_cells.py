"""Cells of tables, and a table's text by its heads."""

from __future__ import annotations

import pandas as pd

from tausweep.report import tables
from tausweep.report.tables.cells import Measured
from tausweep.results.cells import Key
from tausweep.results.intervals import summary

GRID = (0.07, 0.3, 0.7, 1.0)


def entries(table: tables.Table, panel: int = 0) -> dict[tuple[str, ...], str]:
    """Printed text by row head and column head."""
    grid = table.panels[panel]
    return {
        (*row.head, column.text): entry.text()
        for row in grid.rows
        for column, entry in zip(grid.columns, row.entries, strict=True)
    }


def cell(values: list[float], diverged: int = 0) -> Measured:
    series = pd.Series(values, index=range(len(values)), dtype=float)
    return Measured(Key("d", "l", None), "linear_accuracy", series, summary(values), diverged)
