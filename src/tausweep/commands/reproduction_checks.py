"""Checks of a study's numbers against those of somebody else who ran it: ours, by default."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tausweep.commands import archive
from tausweep.commands.check import Check, counted
from tausweep.results import records
from tausweep.results.cells import Key, printed
from tausweep.results.equivalence import LEVEL, MeasureEquivalence, equivalence
from tausweep.results.kept import MADE, MADE_BY, NOT_COMPARED, RecordRow, rows_by_run
from tausweep.storage import shipped
from tausweep.storage.layout import File
from tausweep.study import BASELINES, StudyError

KEPT = "benchmarks/measured"
LAST_DIGITS = {"rel_tol": 1e-6, "abs_tol": 1e-9}
"""The last digits of two measures differ between x86 CPUs (docs/reruns.md), by less than this."""


@dataclass(frozen=True)
class Reference:
    """Records to compare with.

    Attributes:
        name: What to call them.
        table: Columns of ``records.csv``.
    """

    name: str
    table: pd.DataFrame


def ours(study: str) -> Reference | None:
    """The records of a study that come with tausweep, if there are any."""
    path = shipped.path(KEPT) / study / File.RECORDS
    return Reference("ours", records.read_table(path)) if path.is_file() else None


def reference(given: str, study: str) -> Reference:
    """Records that a user names.

    Args:
        given: A table of records, a study's folder, an export, or a results folder.
        study: Name of the study.

    Raises:
        StudyError: It is none of these.
    """
    path = Path(given)
    if archive.is_archive(path):
        with archive.opened(path) as root:
            return Reference(given, _table_in(root, study, given))
    return Reference(given, _table_in(path, study, given))


def _table_in(path: Path, study: str, given: str) -> pd.DataFrame:
    if not path.is_dir():
        return records.read_table(path)
    for place in (path / File.RECORDS, path / study / File.RECORDS):
        if place.is_file():
            return records.read_table(place)
    raise StudyError(f"--against {given}: has neither {File.RECORDS} nor {study}/{File.RECORDS}")


def check_reproduction(
    theirs: pd.DataFrame, against: Reference, margins: Mapping[str, float]
) -> list[Check]:
    """Whether records have the numbers of others, exactly or within the margins.

    Args:
        theirs: Columns of ``records.csv``.
        against: What to compare with.
        margins: Margin of equivalence by column.
    """
    found = equivalence(theirs, against.table, margins)
    if not found.measures:
        why = "other settings or data" if found.left_out else "no run in common"
        return [Check("reproduction", "note", f"not compared with {against.name}: {why}")]
    checks = [_same_numbers(theirs, against)]
    if found.left_out:
        said = f"{counted(len(found.left_out), 'cell')} left out: other settings or data"
        details = tuple(f"{_cell(key)}" for key in found.left_out)
        checks.append(Check("reproduction", "note", said, details))
    if found.outcomes:
        wrong = tuple(f"{_cell(key)}, seed {seed}" for key, seed in found.outcomes)
        checks.append(Check("reproduction", "fails", "runs diverged on one side only", wrong))
    return checks + [_of_measure(measure, against.name) for measure in found.measures]


def _same_numbers(theirs: pd.DataFrame, against: Reference) -> Check:
    """How many numbers are the same to the last digit.

    If those of a trained run are, training repeats exactly. A run that was made alike should then
    have the same numbers too; if it has others, it was changed. Otherwise other digits are no
    failure.
    """
    mine, others = rows_by_run(theirs), rows_by_run(against.table)
    same = compared = 0
    changed: dict[str, list[str]] = {}
    made: dict[str, tuple[str, ...]] = {}
    exact: set[tuple[str, ...]] = set()
    for key, row in mine.items():
        other = others.get(key)
        if other is None or row["status"] not in MADE:
            continue
        if any(row.get(name) != other.get(name) for name in ("settings_digest", "data_digest")):
            continue
        pairs = _numbers(row, other)
        compared += len(pairs)
        equal = [name for name, (one, two) in pairs.items() if one == two]
        same += len(equal)
        alike = tuple(str(row.get(name)) for name in MADE_BY)
        run = f"{_cell(key[0])}, seed {key[1]}"
        changed[run], made[run] = [], alike
        if len(equal) == len(pairs):
            exact |= set() if key[0].loss in BASELINES else {alike}
        elif alike == tuple(str(other.get(name)) for name in MADE_BY):
            changed[run] = [
                f"{run}: {name} is {one}, and {two} in {against.name}"
                for name, (one, two) in pairs.items()
                if not math.isclose(one, two, **LAST_DIGITS)
            ]
    if not changed:
        said = f"no run of the same seed, settings and data as {against.name}"
        return Check("same numbers", "note", said)
    of = f"{compared:,} numbers of {counted(len(changed), 'run')}"
    if same == compared:
        said = f"all {of} are those of {against.name}, to the last digit"
        return Check("same numbers", "holds", said)
    said = f"{same:,} of {of} are those of {against.name}, to the last digit"
    wrong = [line for run, lines in changed.items() if made[run] in exact for line in lines]
    if wrong:
        count = sum(bool(lines) and made[run] in exact for run, lines in changed.items())
        said += f"; {counted(count, 'run')} made alike should have the same"
        return Check("same numbers", "fails", said, tuple(wrong))
    return Check("same numbers", "note", said)


def _numbers(row: RecordRow, other: RecordRow) -> dict[str, tuple[float, float]]:
    """The numbers of a run on both sides; one that a side lacks is NaN."""
    names = [name for name in row if name in other and name not in NOT_COMPARED]
    pairs = {name: (row[name], other[name]) for name in names}
    return {
        name: (
            math.nan if pair[0] is None else float(pair[0]),
            math.nan if pair[1] is None else float(pair[1]),
        )
        for name, pair in pairs.items()
        if pair != (None, None)
    }


def _of_measure(measure: MeasureEquivalence, name: str) -> Check:
    test, margin = measure.study, measure.study.margin
    if test.interval is None:
        said = f"cannot be tested against {name}: fewer than two seeds with every cell"
        return Check(measure.column, "note" if measure.holds is None else "fails", said)
    low, high = test.interval
    interval = f"{test.mean:.3g} ({low:.3g} to {high:.3g})"
    cells = counted(len(measure.cells), "cell")
    seeds = " and ".join(map(str, dict.fromkeys(measure.seeds)))
    said = f"mean of {cells} minus that of {name} is {interval}, {seeds} seeds"
    details = tuple(
        f"{_cell(key)}: {measure.cells[key].mean:+.3g}, shown to be beyond ±{margin:g}"
        for key in measure.beyond
    )
    if measure.holds:
        alone = f"{measure.equivalent_cells} of {cells} also by themselves"
        return Check(measure.column, "holds", f"{said}: within ±{margin:g}; {alone}")
    if details:
        return Check(measure.column, "fails", f"{said}; a cell is beyond ±{margin:g}", details)
    if low <= 0 <= high:
        said = f"{said}: too wide to show that it is within ±{margin:g}"
        return Check(measure.column, "undecided", said)
    return Check(
        measure.column, "fails", f"{said}: a difference, not shown to be within ±{margin:g}"
    )


def _cell(key: Key) -> str:
    temperature = printed(key.temperature)
    return f"{key.dataset}/{key.loss}{f' at {temperature}' if temperature else ''}"


LEGEND = (
    f"Measures: difference of means and its {1 - 2 * LEVEL:.0%} interval. It holds if two "
    f"one-sided tests at {LEVEL:.0%} show\nthat the difference is within the margin; only seeds "
    "count as repetitions (docs/artefact.md)."
)
"""What the lines about measures say, for print."""
