"""All checks of some results: which they are, in which order, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from tausweep import study as studies
from tausweep.commands import archive
from tausweep.commands.check import Check
from tausweep.commands.export_checks import check_contents, check_metadata
from tausweep.commands.reproduction_checks import LEGEND, check_reproduction, ours, reference
from tausweep.commands.study_checks import check_schema, check_study
from tausweep.results import records
from tausweep.results.equivalence import EQUIVALENCE_MARGINS
from tausweep.storage import shipped
from tausweep.storage.layout import File, Layout
from tausweep.study import Study, StudyError

TABLES = (".csv", ".parquet")


@dataclass(frozen=True)
class Verification:
    """What all checks of some results found.

    Attributes:
        title: What was checked.
        checks: The checks, in order.
    """

    title: str
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether no check fails or is undecided."""
        return not self.noticed

    @property
    def noticed(self) -> tuple[str, ...]:
        """Names of the checks that fail or are undecided."""
        wrong = (c.name for c in self.checks if c.outcome in ("fails", "undecided"))
        return tuple(dict.fromkeys(wrong))

    def lines(self) -> list[str]:
        """All checks for print."""
        lines = [self.title, ""]
        for check in self.checks:
            lines += check.lines()
        if any(check.name in EQUIVALENCE_MARGINS for check in self.checks):
            lines += ["", LEGEND]
        if self.holds:
            last = "everything that could be checked is right"
        elif any(check.outcome == "fails" for check in self.checks):
            last = "not everything is right"
        else:
            last = "nothing is shown to be wrong, but a measure is not shown to be equivalent"
        return [*lines, "", last]

    def values(self) -> Mapping[str, object]:
        """All checks for JSON."""
        return {
            "title": self.title,
            "holds": self.holds,
            "checks": [check.values() for check in self.checks],
        }


def verify(
    what: str, results: Path, against: str | None, margins: Mapping[str, float]
) -> Verification:
    """Check results.

    Args:
        what: A folder or archive of ``tausweep export``, a results folder, a table of records, or
            a study.
        results: The results folder, if it is a study.
        against: Records to compare with; by default ours.
        margins: Margin of equivalence by column.

    Raises:
        StudyError: It is none of these, or cannot be read at all.
    """
    path = Path(what)
    if path.suffix in TABLES:
        return _of_table(path, against, margins)
    if archive.is_archive(path):
        with archive.unpacked(path) as root:
            return of_folder(root, what, against, margins)
    if path.is_dir():
        return of_folder(path, what, against, margins)
    study = studies.load(shipped.study_file(what))
    title = f"study {study.study} in {results}: {_runs(study)}"
    return Verification(title, tuple(_of_study(study, Layout(results), against, margins)))


def of_folder(
    root: Path, name: str, against: str | None, margins: Mapping[str, float]
) -> Verification:
    """Check an export that is a folder, a results folder, or the folder of a study in one.

    Raises:
        StudyError: It is none of these, or its study cannot be read.
    """
    if (root / File.STUDY).is_file():
        study = studies.load(root / File.STUDY)
        if root.resolve().name != study.study:
            raise StudyError(f"{name}: should be called {study.study}, as the study in it")
        checks = _of_study(study, Layout(root.resolve().parent), against, margins)
        return Verification(f"{name}: results of the study {study.study}", tuple(checks))
    checks = []
    title = name
    if archive.is_export(root):
        index = archive.read_index(root)
        title = f"{name}: export of the study {index['study']} by tausweep {index['version']}"
        checks += [*check_contents(root, index), check_metadata(root, index)]
    try:
        study = archive.study_of(root)
    except StudyError as error:
        if not checks:
            raise StudyError(
                f"{name}: is no export of tausweep, and has no results of a single study"
            ) from None
        checks.append(Check("study", "fails", "cannot be read", (str(error),)))
        return Verification(title, tuple(checks))
    title += f", {_runs(study)}"
    checks += _of_study(study, Layout(root), against, margins)
    return Verification(title, tuple(_relative(check, root) for check in checks))


def _relative(check: Check, root: Path) -> Check:
    """A check that names files as the export does, wherever that lies or was unpacked."""
    details = (detail.replace(f"{root}/", "") for detail in check.details)
    return replace(check, details=tuple(details))


def _runs(study: Study) -> str:
    count = len(study.runs())
    return f"{count} run{'s' * (count != 1)}"


def _of_study(
    study: Study, layout: Layout, against: str | None, margins: Mapping[str, float]
) -> list[Check]:
    checks = check_study(study, layout)
    path = layout.study(study.study) / File.RECORDS
    try:
        table = records.read_table(path)
    except StudyError:  # said by a check, unless there is no such table
        return checks
    return checks + _compared(table, study.study, against, margins)


def _of_table(path: Path, against: str | None, margins: Mapping[str, float]) -> Verification:

    table = records.read_table(path)
    checks = [check_schema(table, path.name)]
    names = [str(name) for name in table["study"].dropna().unique()]
    if len(names) == 1:
        checks += _compared(table, names[0], against, margins)
    return Verification(f"{path}: a table of records, without the files behind it", tuple(checks))


def _compared(
    table: pd.DataFrame, study: str, against: str | None, margins: Mapping[str, float]
) -> list[Check]:

    other = ours(study) if against is None else reference(against, study)
    if other is None:
        said = f"we keep no records of a study {study}; --against names others"
        return [Check("reproduction", "note", said)]
    return check_reproduction(table, other, margins)
