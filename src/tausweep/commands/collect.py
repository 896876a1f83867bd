"""`tausweep collect`: collect the records of a study into one table."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tausweep import study as studies
from tausweep.commands import flags, targets
from tausweep.results import records
from tausweep.storage.atomic import write_text
from tausweep.storage.layout import File, Layout
from tausweep.study import Study, StudyError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    parser.add_argument("output", metavar="OUTPUT", help="the table of records")
    flags.add_results(parser)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    collect(options.study, Path(options.results), Path(options.output))


def collect(study: str, results: Path, output: Path) -> None:
    """Write ``records.csv`` with one row per run, if every run of the study has its record.

    If the study measures runs along their training, ``along.csv`` is written beside it.

    Raises:
        StudyError: A record is missing, damaged, or has other settings; the first is named.
    """
    asked, layout, rows = studies.load(study), Layout(results), []
    targets.check_output(output, asked, layout)
    for run in asked.runs():
        path = layout.run(run) / File.RECORD
        try:
            columns: dict[str, Any] = records.read(path)["columns"]
        except FileNotFoundError:
            raise StudyError(f"{path}: is missing; the study is not complete") from None
        if columns["settings_digest"] != run.settings.digest:
            raise StudyError(
                f"{path}: was made with other settings than the study's; "
                f"`snakemake --configfile {study} --forcerun {path}` measures it again"
            )
        rows.append(columns)
    statuses = [row["status"] for row in rows]
    write_along(asked, layout, statuses, output.parent / File.ALONG_TABLE)
    write_text(output, records.table(rows))


def write_along(study: Study, layout: Layout, statuses: Iterable[str], output: Path) -> None:
    """Write ``along.csv``, or remove it if the study measures no run along its training.

    Args:
        study: The study.
        layout: Where its runs are.
        statuses: The status of each run, in order; runs that are not complete get no rows.
        output: Where to write.

    Raises:
        StudyError: A complete run's ``along.json`` is missing or damaged.
    """
    if study.evaluate_at is None:
        output.unlink(missing_ok=True)
        return
    rows: list[dict[str, Any]] = []
    for run, status in zip(study.runs(), statuses, strict=True):
        if status == "complete" and run.settings.along:
            rows += records.along(run, layout.run(run) / File.ALONG)
    write_text(output, records.along_table(rows))
