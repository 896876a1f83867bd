"""The two sides of a comparison: tables of records, read and named."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from tausweep.claims import judging
from tausweep.results import published, records
from tausweep.study import StudyError, did_you_mean

PUBLISHED = "published"
"""The word for the paper's numbers, in place of a file."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        name: What it is called: its study, and the dataset if one was chosen.
        source: Its file, or ``published``; empty if it was not read from a file.
        records: Columns of ``records.csv``, of one study.
    """

    name: str
    source: str
    records: pd.DataFrame = field(repr=False)


def read_sides(
    source_a: str, source_b: str, datasets: tuple[str, str] | None = None
) -> tuple[Side, Side]:
    """Read both sides.

    Args:
        source_a: A ``records.csv``, or ``published``.
        source_b: Likewise; it may be the same file if ``datasets`` are given.
        datasets: A dataset of A and one of B to compare as if they were the same. The rows of B
            then have the name of A's.

    Raises:
        StudyError: A file is missing, is not a table of records, or lacks the dataset.
    """
    a, b = _read(source_a), _read(source_b)
    if datasets is not None:
        a, b = (
            replace(
                side,
                name=f"{side.name}: {name}",
                records=_only(side, name).assign(dataset=datasets[0]),
            )
            for side, name in zip((a, b), datasets, strict=True)
        )
    if a.name == b.name:
        a, b = replace(a, name=f"{a.name} (A)"), replace(b, name=f"{b.name} (B)")
    return a, b


def _read(source: str) -> Side:
    frame = published.records() if source == PUBLISHED else records.read_table(Path(source))
    try:
        judging.check_records(frame)
    except ValueError as error:
        raise StudyError(f"{source}: {error}") from None
    studies = frame["study"].dropna().unique()
    return Side(str(studies[0]) if len(studies) else source, source, frame)


def _only(side: Side, dataset: str) -> pd.DataFrame:
    """The rows of one dataset."""
    rows = side.records[side.records["dataset"] == dataset]
    if rows.empty:
        known = [str(name) for name in side.records["dataset"].unique()]
        raise StudyError(
            f"--datasets {dataset}: {side.source} has none of that name"
            f"{did_you_mean(dataset, known)}; it has {', '.join(known)}"
        )
    return rows
