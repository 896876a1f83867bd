"""Compare a study with its kept records: whether the numbers are the same, and what differs.

Kept records are beside the study file, in the layout of a results folder (docs/reruns.md):
``benchmarks/measured/demo`` belongs to ``benchmarks/demo.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tausweep.results import records
from tausweep.results.cells import Key, run_key
from tausweep.storage.layout import File, Folder, Layout
from tausweep.study import Study, StudyError
from tausweep.study.columns import IDENTITY, INSTRUCTIONS, ORIGIN

FOLDER = "measured"
"""The folder of kept records, beside the study file."""

MADE_BY = ("device", "threads", INSTRUCTIONS, "precision", "code_version")
"""Columns that say how a number was made."""

NOT_COMPARED = {*IDENTITY, *ORIGIN, INSTRUCTIONS, *records.TIMED}
MADE = ("complete", "diverged")

RecordRow = Mapping[str, Any]
"""A row of a table by column; an empty cell is none."""


@dataclass(frozen=True)
class ChangedNumber:
    """One number that differs from the kept one."""

    run: str
    column: str
    kept: float | None
    now: float | None

    def __str__(self) -> str:
        return f"{self.run}  {self.column}  {_shown(self.kept)}, now {_shown(self.now)}"


@dataclass(frozen=True)
class Beside:
    """A comparison of a study's records with the kept ones.

    Attributes:
        folder: The folder of the kept records.
        runs: Number of runs in both with the same settings and data.
        numbers: Number of compared numbers.
        differences: The numbers that differ, by run in the study's order.
        otherwise: How these runs were made differently, in words.
        left_out: Runs in both that were not compared, in words; empty if there are none.
    """

    folder: Path
    runs: int
    numbers: int
    differences: tuple[ChangedNumber, ...]
    otherwise: tuple[str, ...]
    left_out: str

    @property
    def headline(self) -> str:
        """One sentence without a full stop."""
        of = f"{self.numbers:,} numbers of {self.runs} run{'s' * (self.runs != 1)}"
        if not self.runs:
            said = "no run with the same settings and data to compare"
        elif not self.differences:
            said = f"all {of} are the same"
        else:
            said = f"{len(self.differences):,} of the {of} differ"
        return f"{said}; {self.left_out}" if self.left_out else said

    def lines(self, most: int | None = None) -> list[str]:
        """The numbers that differ, one per line, and how these runs were made differently.

        Args:
            most: Most differences to list; by default all.
        """
        shown = [str(difference) for difference in self.differences[:most]]
        if more := len(self.differences) - len(shown):
            shown.append(f"and {more:,} more")
        if shown and self.otherwise:
            shown.append(f"made differently: {'; '.join(self.otherwise)}")
        return shown


def folder_of(study_file: str | Path, study: Study) -> Path:
    """The folder for kept records of a study."""
    return Path(study_file).parent / FOLDER / study.study


def table_in(folder: Path) -> Path | None:
    """The kept table in such a folder, of a study that may be unfinished; none if there is none."""
    for place in (folder, folder / Folder.PARTIAL):
        if (place / File.RECORDS).is_file():
            return place / File.RECORDS
    return None


def beside(
    study: Study, study_file: str | Path, layout: Layout, table: pd.DataFrame
) -> Beside | None:
    """Compare a study's collected table with the kept one; none if there is none.

    Numbers are the same if they are equal to the last bit. Times are not compared.

    Args:
        study: The study.
        study_file: Its file.
        layout: Where its results are.
        table: Its collected table, or a partial one (columns of ``records.csv``).

    Raises:
        StudyError: The kept file is not a table of records.
    """
    folder = folder_of(study_file, study)
    kept_table = table_in(folder)
    if kept_table is None or folder.resolve() == layout.study(study.study).resolve():
        return None
    kept_rows, now_rows = rows_by_run(records.read_table(kept_table)), rows_by_run(table)
    # A column that no kept row has came after the study was measured.
    known = {n for row in kept_rows.values() for n, value in row.items() if value is not None}
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
            if name in known
            and name not in NOT_COMPARED
            and (kept[name], now[name]) != (None, None)
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
    left_out = f"{len(others)} with other settings or data left out" if others else ""
    return Beside(folder, runs, numbers, tuple(differences), tuple(otherwise), left_out)


def rows_by_run(table: pd.DataFrame) -> dict[tuple[Key, int], RecordRow]:
    """Rows of a table of records by cell and seed; empty fields are none."""
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
    """Versions of packages in a run's record; empty if there is no record."""
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
