"""The columns of a table of records that claims read, by name or computed from several columns."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ACCURACY = "linear_accuracy"

NEAREST_NEGATIVES = [f"negative_similarity_{k}" for k in range(1, 11)]

Column = str | Callable[[pd.DataFrame], "pd.Series[float]"]


def column_name(column: Column) -> str:
    """The name of a column, or of the function that computes it, in words."""
    return column if isinstance(column, str) else column.__name__.replace("_", " ")


def numbers(table: pd.DataFrame, column: Column) -> NDArray[np.float64]:
    """A column of a table; NaN where it has no number."""
    if callable(column):
        values = column(table)
    elif column in table:
        # A CSV whose booleans have gaps is read as the strings True and False.
        values = table[column].replace({"True": 1.0, "False": 0.0}).astype(float)
    else:
        values = pd.Series(np.nan, index=table.index)
    return np.asarray(values, dtype=np.float64)


def gap_to_nearest_negatives(records: pd.DataFrame) -> pd.Series[float]:
    """Positive minus mean of the ten largest negative similarities; NaN if one is missing."""
    columns = ["positive_similarity", *NEAREST_NEGATIVES]
    known = records.reindex(columns=columns).astype(float)
    return known["positive_similarity"] - known[NEAREST_NEGATIVES].mean(axis=1, skipna=False)


def tolerance_gap(records: pd.DataFrame) -> pd.Series[float]:
    """Tolerance minus the mean similarity of different classes."""
    known = records.reindex(columns=["tolerance", "interclass_similarity"]).astype(float)
    return known["tolerance"] - known["interclass_similarity"]


def common_mean(records: pd.DataFrame) -> pd.Series[float]:
    """Squared length of the mean test embedding.

    For records older than this column it is derived: the mean over distinct pairs is
    tolerance_literal + interclass_similarity x (1 - share of same-class pairs), and that share is
    tolerance_literal / tolerance.
    """
    columns = ["tolerance", "tolerance_literal", "interclass_similarity"]
    known = records.reindex(columns=columns).astype(float)
    share = known["tolerance_literal"] / known["tolerance"].where(known["tolerance"] != 0, math.nan)
    derived = known["tolerance_literal"] + known["interclass_similarity"] * (1 - share)
    if "common_mean" in records:
        return records["common_mean"].astype(float).fillna(derived)
    return derived
