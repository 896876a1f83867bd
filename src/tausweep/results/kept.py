"""A study beside what was kept of it: whether it gives the same numbers here, and what differs.

What is kept lies beside the study file, in the layout of a results folder (docs/reruns.md):
``benchmarks/measured/demo`` is that of ``benchmarks/demo.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tausweep.results import records
from tausweep.results.cells import Key, run_key
from tausweep.storage.layout import File, Layout
from tausweep.study import Study, StudyError
from tausweep.study.columns import IDENTITY, INSTRUCTIONS, ORIGIN

FOLDER = "measured"
"""Beside the study file."""

MADE_BY = ("device", "threads", INSTRUCTIONS, "precision", "code_version")
"""Columns that say how a number was made."""

NOT_COMPARED = {*IDENTITY, *ORIGIN, INSTRUCTIONS, *records.TIMED}
MADE = ("complete", "diverged")

RecordRow = Mapping[str, Any]
"""Of a table by its columns; none is an empty cell."""


@dataclass(frozen=True)
class ChangedNumber:
    """One number that is not what was kept."""

    run: str
    column: str
    kept: float | None
    now: float | None

    def __str__(self) -> str:
        return f"{self.run}  {self.column}  {_shown(self.kept)}, now {_shown(self.now)}"


@dataclass(frozen=True)
class Beside:
    """A study's records beside those that were kept.

    Attributes:
        folder: Where these lie.
        runs: How many runs both have, of the same settings and data.
        numbers: How many numbers were compared.
        differences: Those that are not the same, by run in the study's order.
        otherwise: What was different in how these runs were made, in words.
        left_out: Runs of both that were not compared, in words; empty if there are none.
    """

    folder: Path
    runs: int
    numbers: int
    differences: tuple[ChangedNumber, ...]
    otherwise: tuple[str, ...]
    left_out: str

    @property
    def headline(self) -> str:
        """One sentence without its full stop."""
        of = f"{self.numbers:,} numbers of {self.runs} run{'s' * (self.runs != 1)}"
        if not self.runs:
            said = "no run of the same settings and data to compare"
        elif not self.differences:
            said = f"the same, all {of}"
        else:
            said = f"{len(self.differences):,} of the {of} differ"
        return f"{said}; {self.left_out}" if self.left_out else said

    def lines(self, most: int | None = None) -> list[str]:
        """The numbers that differ, a line each, and how these runs were made otherwise.

        Args:
            most: Of these numbers, the first so many; all if not given.
        """
        shown = [str(difference) for difference in self.differences[:most]]
        if more := len(self.differences) - len(shown):
            shown.append(f"and {more:,} more")
        if shown and self.otherwise:
            shown.append(f"made otherwise: {'; '.join(self.otherwise)}")
        return shown


def folder_of(study_file: str | Path, study: Study) -> Path:
    """Where records of a study are kept, if any are."""
    return Path(study_file).parent / FOLDER / study.study


def beside(
    study: Study, study_file: str | Path, layout: Layout, table: pd.DataFrame
) -> Beside | None:
    """Compare a study's collected table with the one that was kept; none if none was.

    Numbers are the same if they are equal, to the last bit. Times are no such numbers.

    Args:
        study: What is asked for.
        study_file: Its file.
        layout: Where its results lie.
        table: Its collected table, or a partial one (columns of ``records.csv``).

    Raises:
        StudyError: What was kept is no table of records.
    """
    folder = folder_of(study_file, study)
    if (
        not (folder / File.RECORDS).is_file()
        or folder.resolve() == layout.study(study.study).resolve()
    ):
        return None
    kept_rows, now_rows = _rows(records.read_table(folder / File.RECORDS)), _rows(table)
    kept_layout = Layout(folder.parent)
    differences: list[ChangedNumber] = []
    otherwise: dict[str, None] = {}
    runs = numbers = 0
    others = []
    for run in study.runs():
        key = (Key(run.dataset, run.loss, run.temperature), run.seed)
        kept, now = kept_rows.get(key), now_rows.get(key)
        if kept is None or now is None or now["status"] not in MADE:
            continue
        if any(kept.get(name) != now.get(name) for name in ("settings_digest", "data_digest")):
            others.append(run.id)
            continue
        pairs = {
            name: (kept[name], now[name])
            for name in now
            if name in kept and name not in NOT_COMPARED and (kept[name], now[name]) != (None, None)
        }
        found = [
            ChangedNumber(run.id, name, *pair) for name, pair in pairs.items() if pair[0] != pair[1]
        ]
        runs, numbers = runs + 1, numbers + len(pairs)
        differences += found
        if found:
            otherwise |= dict.fromkeys(_otherwise(kept, now))
            places = (kept_layout.run(run), layout.run(run))
            otherwise |= dict.fromkeys(_other_packages(*map(_packages, places)))
    left_out = f"{len(others)} of other settings or data left out" if others else ""
    return Beside(folder, runs, numbers, tuple(differences), tuple(otherwise), left_out)


def _rows(table: pd.DataFrame) -> dict[tuple[Key, int], RecordRow]:
    """Rows of a table by cell and seed; what is empty is none."""
    found: dict[tuple[Key, int], RecordRow] = {}
    for row in table.to_dict("records"):
        plain: dict[str, Any] = {
            str(name): None if pd.isna(value) else value for name, value in row.items()
        }
        found[run_key(plain)] = plain
    return found


def _otherwise(kept: RecordRow, now: RecordRow) -> list[str]:
    return [
        f"{name.replace('_', ' ')} {_shown(kept.get(name))}, now {_shown(now.get(name))}"
        for name in MADE_BY
        if kept.get(name) != now.get(name)
    ]


def _packages(folder: Path) -> RecordRow:
    """Versions that a run's record names; none if the record is not there."""
    try:
        made = records.read(folder / File.RECORD)
    except (FileNotFoundError, StudyError):
        return {}
    return {**made["pretrain"].get("packages", {}), **made["evaluate"].get("packages", {})}


def _other_packages(kept: RecordRow, now: RecordRow) -> list[str]:
    return [
        f"{name} {kept[name]}, now {now[name]}"
        for name in sorted(kept.keys() & now.keys())
        if kept[name] != now[name]
    ]


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)
