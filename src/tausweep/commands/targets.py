"""What a Snakemake command asks for, held against the study at hand, and what is out of date.

Rules write for the study at hand only, so a target of another study is refused by name before
anything runs or is deleted. And results say themselves what they were made of: one that was made of
something else is made again also where Snakemake has no memory of it, as after an import.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

from tausweep.commands.plan import made_of_source
from tausweep.data.manifest import manifest
from tausweep.storage.layout import File, Folder, Layout, prepared_name
from tausweep.study import Run, Study, StudyError, canonical, did_you_mean

RUN_DEPTH = 4
"""Parts of a run's id."""


def check(targets: Iterable[str], study: Study, study_file: str, layout: Layout) -> None:
    """Refuse targets that are not of the study.

    Args:
        targets: Files and names of rules, of which the latter are Snakemake's to judge.
        study: The study at hand.
        study_file: Its file, as the sentence should have it.
        layout: Where results lie.

    Raises:
        StudyError: A target is of another study, or of a run or dataset that it does not have.
    """
    runs = {run.id: run for run in study.runs()}
    for target in sorted(targets):
        parts = _below(target, layout)
        if len(parts) < 2:
            continue
        if parts[0] == Folder.DATA:
            _check_data(target, parts[1], study, study_file)
        elif parts[0] != study.study:
            raise StudyError(
                f"target {target}: is of a study {parts[0]}, but the study at hand is "
                f"{study.study} ({study_file}); give the file of {parts[0]} by --configfile"
            )
        elif parts[1] in (Folder.RUNS, Folder.LOGS) and len(parts) > 2 + RUN_DEPTH:
            _check_run(target, parts[2 : 2 + RUN_DEPTH], study, study_file, runs)


def check_output(output: Path, study: Study, layout: Layout) -> None:
    """Refuse to write what is of one study into the results of another.

    Raises:
        StudyError: The path is below the folder of another study.
    """
    parts = _below(str(output), layout)
    if len(parts) > 1 and parts[0] != study.study:
        raise StudyError(
            f"output {output}: is of a study {parts[0]}, but the study file is of "
            f"{study.study}; nothing was written"
        )


def _below(path: str, layout: Layout) -> tuple[str, ...]:
    """Parts of a path below the results folder; none if it is elsewhere."""
    root = os.path.normpath(layout.root.absolute())
    whole = PurePath(os.path.normpath(Path(path).absolute()))
    return whole.relative_to(root).parts if whole.is_relative_to(root) else ()


def _check_data(target: str, name: str, study: Study, study_file: str) -> None:
    known = {prepared_name(run.settings.dataset) for run in study.runs()}
    if name not in known:
        raise StudyError(
            f"target {target}: no dataset of the study {study.study} ({study_file}) is prepared "
            f"there; its data go to {', '.join(sorted(known))}"
        )


def _check_run(
    target: str, parts: tuple[str, ...], study: Study, study_file: str, runs: Mapping[str, Run]
) -> None:
    wanted = "/".join(parts)
    if wanted in runs:
        return
    dataset, loss, tau, seed = parts
    try:
        spelt = "/".join((dataset, loss, canonical(float(tau)), seed))
    except ValueError:
        spelt = wanted
    hint = f"; it is written {spelt}" if spelt in runs else did_you_mean(wanted, runs)
    raise StudyError(
        f"target {target}: the study {study.study} ({study_file}) has no run {wanted}{hint}"
    )


def data_unchanged(run: Run, layout: Layout) -> bool:
    """Whether a run was trained on the data that are prepared now, and their source is the same."""
    described = _json(layout.run(run) / File.PRETRAIN)
    made = manifest(run.settings.dataset, layout)
    return (
        described is not None
        and made is not None
        and described.get("data_digest") == made.get("digest")
        and made_of_source(made, run.settings.dataset, layout)
    )


def unprepared(study: Study, layout: Layout) -> list[Path]:
    """Folders of data that must be made, for a run of the study is still to be trained on them.

    Sorted, so that whoever locks them does so in one order.
    """
    found = set()
    for run in study.runs():
        made = manifest(run.settings.dataset, layout)
        folder = layout.run(run)
        missing = made is None and not (folder / File.PRETRAIN).exists()
        if missing or (made is not None and not made_of_source(made, run.settings.dataset, layout)):
            found.add(layout.prepared(run.settings.dataset))
    return sorted(found)


def outdated(study: Study, layout: Layout, wanted: Iterable[str], chosen: set[str]) -> list[str]:
    """Results that say of themselves that they are not of today's settings or data.

    Args:
        study: The study at hand.
        layout: Where results lie.
        wanted: Targets; none asks for all of the study.
        chosen: Runs that the target ``selected`` means.

    Returns:
        Files, of each run the first that has to be made again: what follows it is Snakemake's.
    """
    runs, whole, wanted = set[str](), False, list(wanted) or ["all"]
    for target in wanted:
        parts = _below(target, layout)
        if target == "selected":
            runs |= chosen
        elif len(parts) > 2 + RUN_DEPTH and parts[1] == Folder.RUNS:
            runs.add("/".join(parts[2 : 2 + RUN_DEPTH]))
        elif target == "all" or (parts and parts[0] == study.study and parts[1:] != (File.STUDY,)):
            whole = True
    found = [
        str(path)
        for run in study.runs()
        if (whole or run.id in runs) and (path := _outdated_of(run, layout)) is not None
    ]
    table = layout.study(study.study) / File.RECORDS
    if whole and table.exists() and not _is_table_of(table, study):
        found.append(str(table))
    resolved = layout.study(study.study) / File.STUDY
    if any(t == "all" or t.endswith(f"/{File.STUDY}") for t in wanted) and (
        resolved.exists() and resolved.read_text(encoding="utf-8") != study.canonical_json() + "\n"
    ):
        found.append(str(resolved))
    return found


def _outdated_of(run: Run, layout: Layout) -> Path | None:
    """The first file of a run that was made of something else; none if none was."""
    folder, settings = layout.run(run), run.settings
    record = _json(folder / File.RECORD) or {}
    described = _json(folder / File.PRETRAIN) or record.get("pretrain") or {}
    if not described:
        return None
    made = manifest(settings.dataset, layout)
    other_data = (
        made is not None
        and made_of_source(made, settings.dataset, layout)
        and described.get("data_digest") != made.get("digest")
    )
    if described.get("settings_digest") != settings.pretrain_digest or other_data:
        return folder / File.PRETRAIN
    columns = record.get("columns")
    if isinstance(columns, dict) and columns.get("settings_digest") != settings.digest:
        return folder / File.RECORD
    return None


def _is_table_of(table: Path, study: Study) -> bool:
    """Whether a collected table has the study's runs, of today's settings."""
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = [row["settings_digest"] for row in csv.DictReader(file)]
    except (KeyError, ValueError, csv.Error):
        return False
    return sorted(rows) == sorted(run.settings.digest for run in study.runs())


def _json(path: Path) -> dict[str, Any] | None:
    """A JSON mapping; none if it is absent or damaged, which its own stage tells."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
