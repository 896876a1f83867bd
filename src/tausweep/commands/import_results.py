"""`tausweep import`: bring in a study's results, from an archive or another results folder.

Every run is verified before anything is written, and nothing that exists here is overwritten. All
restored files get the same modification time. So Snakemake decides what to redo by the digests that
results carry (see ``targets``), not by the order in which files were unpacked.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tausweep import study as studies
from tausweep.commands import archive, export, flags, migrate, run_store
from tausweep.commands.record_checks import check_run
from tausweep.results import records
from tausweep.storage.atomic import replacing
from tausweep.storage.layout import File, Layout, measure_file
from tausweep.storage.run_lock import RunLockedError, held_by, run_lock
from tausweep.study import Run, Study, StudyError

NAMED = 5
"""Most files or runs that a message names."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "source", metavar="SOURCE", help="an archive of export, or a results folder"
    )
    parser.add_argument(
        "study", nargs="?", metavar="STUDY", help="its study file, if SOURCE has none"
    )
    flags.add_results(parser)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    print(restore(Path(options.source), options.study, Layout(Path(options.results))))


@dataclass
class Restoration:
    """What to restore.

    Attributes:
        runs: Runs whose records are imported.
        other: Runs whose records have other settings than the study's and are left out.
        absent: Runs without a record in the source.
        end_only: Runs without their measures along the training, which the study has; left out.
        bare: Runs without an encoder in the source.
        unsealed: Runs whose records have no digests.
        files: Target paths by source path, in the order of writing.
    """

    runs: list[Run] = field(default_factory=list)
    other: list[Run] = field(default_factory=list)
    absent: list[Run] = field(default_factory=list)
    end_only: list[Run] = field(default_factory=list)
    bare: list[Run] = field(default_factory=list)
    unsealed: list[Run] = field(default_factory=list)
    files: dict[Path, Path] = field(default_factory=dict)


def restore(source: Path, study_file: str | None, layout: Layout) -> str:
    """Restore the results of a study.

    Args:
        source: An archive of ``tausweep export``, or a results folder.
        study_file: The study; by default the one in the source.
        layout: Where results go.

    Imported runs enter the store of runs, unless it has them.

    Returns:
        What was done, in words.

    Raises:
        StudyError: There is no study, a record or file was altered, or a different file already
            exists here. Nothing is written then.
    """
    with _opened(source) as root:
        study = studies.load(study_file) if study_file else _study_at(root, source)
        plan = _planned(study, Layout(root), layout)
        if archive.is_archive(source):
            _add_products(study, Layout(root), layout, plan)
        _refuse_conflicts(plan, layout)
        moment = time.time()
        for origin, target in plan.files.items():
            if not target.exists():
                with replacing(target) as temporary:
                    shutil.copyfile(origin, temporary)
                    os.utime(temporary, (moment, moment))
        for run in plan.runs:
            # A run that somebody begins to write meanwhile is left to its job.
            with contextlib.suppress(RunLockedError), run_lock(layout.run(run)):
                migrate.adopt(layout.run(run), layout)
    return _said(study, plan, source)


@contextlib.contextmanager
def _opened(source: Path) -> Iterator[Path]:
    if archive.is_archive(source):
        with archive.opened(source) as root:
            yield root
    elif source.is_dir():
        yield source
    else:
        raise StudyError(
            f"{source}: does not exist, or is neither a results folder nor an archive "
            f"({', '.join(archive.ARCHIVE_SUFFIXES)})"
        )


def _study_at(root: Path, source: Path) -> Study:
    try:
        return archive.study_of(root)
    except StudyError:
        raise StudyError(
            f"{source}: it does not have exactly one study.json; name the study file, as in "
            f"`tausweep import {source} STUDY`"
        ) from None


def _planned(study: Study, theirs: Layout, ours: Layout) -> Restoration:
    """Verify the runs in the source, and choose the runs and files to restore."""
    plan, wrong = Restoration(), list[str]()
    if not theirs.study(study.study).is_dir():
        raise StudyError(f"{theirs.root}: has no results of the study {study.study}")
    for run in study.runs():
        folder = theirs.run(run)
        found, content = check_run(run, folder)
        if found.wrong:
            wrong += [said.replace(f"{theirs.root}/", "", 1) for _, said in found.wrong]
            continue
        if content is None:
            plan.absent.append(run)
            continue
        if content["columns"]["settings_digest"] != run.settings.digest:
            plan.other.append(run)
            continue
        if run_store.lacks_along(run, content, [path.name for path in folder.iterdir()]):
            plan.end_only.append(run)
            continue
        plan.runs.append(run)
        _add_run(run, content, folder, ours.run(run), plan)
    if wrong:
        more = f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise StudyError(f"nothing was imported: {'; '.join(wrong[:NAMED])}{more}")
    return plan


def _add_run(
    run: Run, content: dict[str, Any], folder: Path, target: Path, plan: Restoration
) -> None:
    if "digests" in content:
        names = [*content["digests"]["files"]]
    else:
        names = [*export.RUN, *export.WEIGHTS]
        names += [measure_file(name) for name in run.settings.measures or {}]
        plan.unsealed.append(run)
    if not (folder / File.ENCODER).exists():
        plan.bare.append(run)
    # The record comes last, because a run with a record counts as finished.
    for name in (*sorted({*names} - {File.RECORD}), File.RECORD):
        if (folder / name).is_file():
            plan.files[folder / name] = target / name


def _add_products(study: Study, theirs: Layout, ours: Layout, plan: Restoration) -> None:
    """Add what was made from the records (tables, figures, ...), if all records are imported.

    This is only done for an archive, which has their digests. For a folder they are made again,
    which needs no training.
    """
    root, target = theirs.study(study.study), ours.study(study.study)
    table, runs = root / File.RECORDS, study.runs()
    if len(plan.runs) < len(runs) or not table.exists() or (target / File.RECORDS).exists():
        return
    rows = [records.read(theirs.run(run) / File.RECORD)["columns"] for run in runs]
    if not records.is_table_of(table.read_text(encoding="utf-8"), rows):
        raise StudyError("nothing was imported: records.csv does not match the records")
    found = [root / name for name in export.RESULTS]
    for folder in export.FOLDERS:
        found += sorted(path for path in (root / folder).rglob("*") if path.is_file())
    for path in found:
        if path.is_file() and not (target / path.relative_to(root)).exists():
            plan.files[path] = target / path.relative_to(root)


def _refuse_conflicts(plan: Restoration, ours: Layout) -> None:
    for run in plan.runs:
        if holder := held_by(ours.run(run)):
            raise StudyError(
                f"nothing was imported: {ours.run(run)}: process {holder['pid']} on "
                f"{holder['host']} is writing this run"
            )
    differing = [
        str(target)
        for origin, target in plan.files.items()
        if target.exists() and records.file_digest(target) != records.file_digest(origin)
    ]
    if differing:
        more = f" and {len(differing) - NAMED} more" if len(differing) > NAMED else ""
        raise StudyError(
            f"nothing was imported: {', '.join(differing[:NAMED])}{more}: already exists here and "
            "differs; move it away first"
        )


def _said(study: Study, plan: Restoration, source: Path) -> str:
    lines = [f"study {study.study}: {len(plan.runs)} of {len(study.runs())} runs from {source}"]
    for runs, what in (
        (
            plan.bare,
            "without encoder: in the tables, not trained again; a changed measure would need it",
        ),
        (plan.unsealed, "without digests: checked only against the files of their measures"),
        (plan.other, "with other settings than the study's: left out"),
        (plan.end_only, f"without {File.ALONG}, which the study needs: left out"),
        (plan.absent, "without a record in the source"),
    ):
        if runs:
            more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
            lines.append(f"  {len(runs)} {what}: {runs[0].id}{more}")
    return "\n".join(lines)
