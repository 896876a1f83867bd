"""Check the targets of a Snakemake command against the study, and find what is out of date.

Rules write only for the given study, so a target of another study is refused by name before
anything runs or is deleted. Results record what they were made from. One that was made from
something else is made again, even if Snakemake knows nothing about it, as after an import.
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
"""Number of parts in a run's id."""


def check(targets: Iterable[str], study: Study, study_file: str, layout: Layout) -> None:
    """Refuse targets that do not belong to the study.

    Args:
        targets: Files and names of rules; Snakemake checks the names of rules itself.
        study: The study.
        study_file: Its file, for messages.
        layout: Where results are.

    Raises:
        StudyError: A target belongs to another study, or to a run or dataset that does not exist.
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
                f"target {target}: belongs to a study {parts[0]}, but this command is for "
                f"{study.study} ({study_file}); name the file of {parts[0]} with --configfile"
            )
        elif parts[1] in (Folder.RUNS, Folder.LOGS) and len(parts) > 2 + RUN_DEPTH:
            _check_run(target, parts[2 : 2 + RUN_DEPTH], study, study_file, runs)


def check_output(output: Path, study: Study, layout: Layout) -> None:
    """Refuse to write results of one study into the folder of another.

    Raises:
        StudyError: The path is in the folder of another study.
    """
    parts = _below(str(output), layout)
    if len(parts) > 1 and parts[0] != study.study:
        raise StudyError(
            f"output {output}: belongs to a study {parts[0]}, but the study file is that of "
            f"{study.study}; nothing was written"
        )


def _below(path: str, layout: Layout) -> tuple[str, ...]:
    """Parts of a path relative to the results folder; empty if it is elsewhere."""
    root = os.path.normpath(layout.root.absolute())
    whole = PurePath(os.path.normpath(Path(path).absolute()))
    return whole.relative_to(root).parts if whole.is_relative_to(root) else ()


def _check_data(target: str, name: str, study: Study, study_file: str) -> None:
    known = {prepared_name(run.settings.dataset) for run in study.runs()}
    if name not in known:
        raise StudyError(
            f"target {target}: no dataset of the study {study.study} ({study_file}) is prepared "
            f"there; its data are in {', '.join(sorted(known))}"
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


def pretraining(run: Run, layout: Layout) -> dict[str, Any]:
    """What a run's training says of itself, empty if it is not finished.

    Of a run that came as a record alone, the record says it.
    """
    folder = layout.run(run)
    described = _json(folder / File.PRETRAIN)
    if not described:
        described = (_json(folder / File.RECORD) or {}).get("pretrain")
    return described if isinstance(described, dict) else {}


def data_unchanged(run: Run, layout: Layout) -> bool:
    """Whether a run was trained on today's prepared data, and their source has not changed."""
    described = pretraining(run, layout)
    made = manifest(run.settings.dataset, layout)
    return (
        made is not None
        and described.get("data_digest") == made.get("digest")
        and made_of_source(made, run.settings.dataset, layout)
    )


def unprepared(study: Study, layout: Layout) -> list[Path]:
    """Folders of data that must be prepared because runs of the study still have to train on them.

    They are sorted so that all processes lock them in the same order.
    """
    found = set()
    for run in study.runs():
        made = manifest(run.settings.dataset, layout)
        missing = made is None and not pretraining(run, layout)
        if missing or (made is not None and not made_of_source(made, run.settings.dataset, layout)):
            found.add(layout.prepared(run.settings.dataset))
    return sorted(found)


def outdated(study: Study, layout: Layout, wanted: Iterable[str], chosen: set[str]) -> list[str]:
    """Results that were made with other settings or data than today's, as they record themselves.

    Args:
        study: The study.
        layout: Where results are.
        wanted: Targets; empty for the whole study.
        chosen: Runs of the target ``selected``.

    Returns:
        The first file of each run that must be made again; Snakemake finds what depends on it.
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
    """The first file of a run that was made from something else; none if all are up to date."""
    folder, settings = layout.run(run), run.settings
    if not (described := pretraining(run, layout)):
        return None
    made = manifest(settings.dataset, layout)
    other_data = (
        made is not None
        and made_of_source(made, settings.dataset, layout)
        and described.get("data_digest") != made.get("digest")
    )
    if described.get("settings_digest") != settings.pretrain_digest or other_data:
        return folder / File.PRETRAIN
    columns = (_json(folder / File.RECORD) or {}).get("columns")
    if isinstance(columns, dict) and columns.get("settings_digest") != settings.digest:
        return folder / File.RECORD
    return None


def _is_table_of(table: Path, study: Study) -> bool:
    """Whether a collected table has exactly the study's runs with today's settings."""
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = [row["settings_digest"] for row in csv.DictReader(file)]
    except (KeyError, ValueError, csv.Error):
        return False
    return sorted(rows) == sorted(run.settings.digest for run in study.runs())


def _json(path: Path) -> dict[str, Any] | None:
    """A JSON mapping; none if it is missing or damaged, which its own stage reports."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
