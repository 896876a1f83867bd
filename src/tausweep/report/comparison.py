"""Compare two collected tables: the difference of every cell, and which verdicts change.

Only cells that both tables have are compared, and verdicts are compared that both sides reach by
these cells. Differences are A - B, paired by seed if both sides have the same seeds, else with
Welch's interval for two samples. Neither is narrower than the measure's noise margin allows
(``intervals.widened``). The published numbers are single runs without a seed, so their differences
have no interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from tausweep.claims import judging
from tausweep.claims.verdicts import Verdict
from tausweep.report.sides import PUBLISHED, Side
from tausweep.results import labels
from tausweep.results.cells import Cell, Key, cells_of, printed
from tausweep.results.differences import difference
from tausweep.results.intervals import noise_margin, summary
from tausweep.study import StudyError, did_you_mean

CELL_COLUMNS = [
    *("dataset", "loss", "temperature", "measure"),
    *("mean_a", "half_width_a", "n_a", "lacking_a", "mean_b", "half_width_b", "n_b", "lacking_b"),
    *("difference", "low", "high", "method", "excludes_zero"),
]


@dataclass(frozen=True)
class VerdictPair:
    """A claim's verdicts on both sides; ``dataset`` is none for all common datasets together."""

    claim: str
    text: str
    dataset: str | None
    a: Verdict
    b: Verdict

    @property
    def changed(self) -> bool:
        """Whether the sides differ."""
        return self.a.verdict != self.b.verdict

    @property
    def lacking(self) -> str:
        """Which side did not measure what the claim reads: ``a``, ``b``, ``ab``, or none."""
        return "".join(
            name
            for name, verdict in (("a", self.a), ("b", self.b))
            if verdict.verdict == "not measured"
        )


@dataclass(frozen=True)
class Comparison:
    """A comparison of two tables.

    Attributes:
        a: The first side.
        b: The second side.
        cells: One row a common cell and measure, numeric (``CELL_COLUMNS``).
        common: The cells that both have, in the order of the tables.
        only_a: Cells that only A has.
        only_b: Cells that only B has.
        verdicts: Every claim's verdicts by the common cells, on each dataset and over all.
    """

    a: Side
    b: Side
    cells: pd.DataFrame = field(repr=False)
    common: list[Key]
    only_a: list[Key]
    only_b: list[Key]
    verdicts: list[VerdictPair] = field(repr=False)

    @property
    def compared(self) -> list[VerdictPair]:
        """The verdicts that both sides reach."""
        return [pair for pair in self.verdicts if not pair.lacking]

    def csv(self) -> str:
        """Cells as CSV, with numbers in the shortest form that reads back exactly."""
        return self.cells.to_csv(index=False, lineterminator="\n")

    def values(self) -> dict[str, Any]:
        """The comparison in values that are JSON, except NaN (docs/commands.md)."""
        return {
            "a": {"name": self.a.name, "source": self.a.source},
            "b": {"name": self.b.name, "source": self.b.source},
            "only_a": [key._asdict() for key in self.only_a],
            "only_b": [key._asdict() for key in self.only_b],
            "cells": [_cell_values(row) for row in self.cells.to_dict("records")],
            "verdicts": [
                {
                    "claim": pair.claim,
                    "text": pair.text,
                    "dataset": pair.dataset,
                    "changed": None if pair.lacking else pair.changed,
                    "a": _verdict_values(pair.a),
                    "b": _verdict_values(pair.b),
                }
                for pair in self.verdicts
            ],
        }


def _cell_values(row: dict[Any, Any]) -> dict[str, Any]:
    numbers = ("mean", "half_width", "n", "lacking")
    return {
        "dataset": row["dataset"],
        "loss": row["loss"],
        "temperature": float(row["temperature"]) if row["temperature"] else None,
        "measure": row["measure"],
        **{side: {name: row[f"{name}_{side}"] for name in numbers} for side in ("a", "b")},
        "difference": {
            "mean": row["difference"],
            "low": row["low"],
            "high": row["high"],
            "method": row["method"] or None,
            "excludes_zero": bool(row["excludes_zero"]),
        },
    }


def _verdict_values(verdict: Verdict) -> dict[str, Any]:
    return {"verdict": verdict.verdict, "reason": verdict.reason}


def compare(a: Side, b: Side, measures: Sequence[str] | None = None) -> Comparison:
    """Compare two collected tables, on the cells that both have.

    Args:
        a: One side.
        b: The other.
        measures: Columns to compare; by default the ``labels.MAIN_MEASURES`` that both sides have.

    Raises:
        StudyError: A side has no numeric column for a measure.
        ValueError: A table cannot be judged; see ``claims.judge``.
    """
    chosen = _measures(a.records, b.records, measures)
    cells_a, cells_b = cells_of(a.records), cells_of(b.records)
    common = [key for key in _ordered({*cells_a, *cells_b}) if key in cells_a and key in cells_b]
    rows = [_row(key, measure, cells_a[key], cells_b[key]) for measure in chosen for key in common]
    return Comparison(
        a=a,
        b=b,
        cells=pd.DataFrame(rows, columns=CELL_COLUMNS),
        common=common,
        only_a=[key for key in _ordered(cells_a) if key not in cells_b],
        only_b=[key for key in _ordered(cells_b) if key not in cells_a],
        verdicts=_verdicts([cells_a[key] for key in common], [cells_b[key] for key in common]),
    )


def _measures(a: pd.DataFrame, b: pd.DataFrame, wanted: Sequence[str] | None) -> list[str]:
    numeric = [
        {str(c) for c in frame if pd.api.types.is_numeric_dtype(frame[c])} - {"temperature", "seed"}
        for frame in (a, b)
    ]
    known = numeric[0] & numeric[1]
    for name in wanted or ():
        if name not in known:
            listed = ", ".join(sorted(known))
            raise StudyError(
                f"--measure {name}: not a column of numbers in both "
                f"tables{did_you_mean(name, known)}; allowed are {listed}"
            )
    return list(dict.fromkeys(wanted or [name for name in labels.MAIN_MEASURES if name in known]))


def _ordered(keys: Iterable[Key]) -> list[Key]:
    keys = list(keys)
    datasets = labels.datasets_in_order(sorted(key.dataset for key in keys))
    losses = labels.losses_in_order(key.loss for key in keys)
    return sorted(
        keys, key=lambda k: (datasets.index(k.dataset), losses.index(k.loss), k.temperature or 0.0)
    )


def _row(key: Key, measure: str, a: Cell, b: Cell) -> dict[str, Any]:
    row: dict[str, Any] = {
        "dataset": key.dataset,
        "loss": key.loss,
        "temperature": printed(key.temperature),
        "measure": measure,
    }
    sides = {}
    for side, cell in (("a", a), ("b", b)):
        values, lacking = cell.values(measure), len(cell.rows) - len(cell.seeds("complete"))
        sides[side], found = values, summary(values.to_numpy())
        row |= {f"mean_{side}": found.mean, f"half_width_{side}": found.half_width}
        row |= {f"n_{side}": found.n, f"lacking_{side}": lacking}
    gap = difference(sides["a"], sides["b"], noise_margin(measure))
    return row | {
        "difference": gap.mean,
        "low": gap.low,
        "high": gap.high,
        "method": gap.method,
        "excludes_zero": int(gap.excludes_zero),
    }


def _verdicts(a: Sequence[Cell], b: Sequence[Cell]) -> list[VerdictPair]:
    """Every claim judged on both sides, by the same cells."""
    if not a:
        return []
    judged, shared = [], {cell.key.dataset for cell in a}
    for cells in (a, b):
        frame = cells[0].table
        frame = frame.iloc[sorted(int(row) for cell in cells for row in cell.rows)]
        # The noise of one run is known only for the published numbers.
        known = PUBLISHED in set(frame["study"]) if "study" in frame else False
        found = judging.judge(frame, run_noise=known)
        judged.append({(v.claim, v.dataset): v for v in found})
    return [
        VerdictPair(claim, verdict.text, dataset, verdict, judged[1][claim, dataset])
        for (claim, dataset), verdict in judged[0].items()
        if dataset is not None or len(shared) > 1
    ]


def is_number(value: Any) -> bool:
    """Whether a field of ``Comparison.cells`` holds a number, and not none or NaN."""
    return value is not None and not math.isnan(value)
