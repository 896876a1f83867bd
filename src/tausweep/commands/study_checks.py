"""Checks of a study's results by what they say of themselves."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from tausweep.claims import judging
from tausweep.commands.check import Check, counted
from tausweep.commands.record_checks import RunCheck, check_run
from tausweep.commands.status import other_code, stale_reasons
from tausweep.data.prepared import Form, content_digest, sealed
from tausweep.results import parquet, records
from tausweep.storage.layout import File, Layout
from tausweep.study import Study, StudyError
from tausweep.study.columns import COLUMNS

SHOWN_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "tausweep")


def check_study(study: Study, layout: Layout) -> list[Check]:
    """All checks of the results of a study.

    Args:
        study: The study.
        layout: Where its results are.
    """
    runs = study.runs()
    found: dict[str, RunCheck] = {}
    kept: dict[str, dict[str, Any]] = {}
    for run in runs:
        found[run.id], content = check_run(run, layout.run(run))
        if content is not None:
            kept[run.id] = content
    return [
        *_of_runs(found, kept),
        *_of_tables(study, layout, kept),
        *_of_data(study, layout, kept),
        *_of_versions(study, layout, kept),
        *_of_absence(found),
    ]


def _of_runs(found: dict[str, RunCheck], kept: dict[str, dict[str, Any]]) -> list[Check]:
    count = counted(len(kept), "record")
    if not kept and not any(run.wrong for run in found.values()):
        return [Check("records", "note", f"none of {counted(len(found), 'run')} has a record")]
    wrong: dict[str, list[str]] = {
        name: [said for run in found.values() for check, said in run.wrong if check == name]
        for name in ("records", "settings", "files", "measures")
    }
    of = f"of {counted(len(found), 'run')}"
    files = sum(run.files for run in found.values())
    compared = sum(run.measures for run in found.values())
    made = "match the files of their measures"
    sealed = sum(found[run].sealed for run in kept)
    older = f"; {len(kept) - sealed:,} are older than such digests" * (sealed < len(kept))
    if not sealed and not wrong["records"]:
        said = f"{count} {of}, older than digests of records: changes would not be seen"
        whole = Check("records", "note", said)
    else:
        whole = Check.of(
            "records",
            wrong["records"],
            f"{count} {of}, not all as their runs wrote them",
            f"{count} {of}: each has the digest of itself that is in it{older}",
        )
    checks = [
        whole,
        Check.of(
            "settings",
            wrong["settings"],
            f"{counted(len(wrong['settings']), 'settings digest')} wrong",
            f"{count}: every settings digest is that of the settings beside it",
        ),
    ]
    if wrong["files"] or files:
        fails = f"{counted(len(wrong['files']), 'file')} altered since the run"
        holds = f"{counted(files, 'file')} beside the records match the digests in them"
        checks.append(Check.of("run files", wrong["files"], fails, holds))
    if wrong["measures"] or compared:
        fails, holds = (
            f"not all numbers of {count} {made}",
            f"numbers of {compared} of {count} {made}",
        )
        checks.append(Check.of("measures", wrong["measures"], fails, holds))
    else:
        said = "not compared: the files of the measures are not here"
        checks.append(Check("measures", "note", said))
    return checks


def _of_tables(study: Study, layout: Layout, kept: dict[str, dict[str, Any]]) -> list[Check]:
    path = layout.study(study.study) / File.RECORDS
    if not path.exists():
        return [Check("tables", "note", f"{path.name} is not here")]
    try:
        table = records.read_table(path)
        checks = [check_schema(table, path.name)]
        wrong = _differs_from_records(study, path, table, kept)
        beside = path.parent / File.RECORDS_PARQUET
        also = beside.exists() and parquet.available()
        if also and not table.equals(records.read_table(beside)):
            wrong.append(f"{beside}: does not have the numbers of {path.name}")
    except StudyError as error:
        return [Check("tables", "fails", "cannot be read", (str(error),))]
    what = f"{path.name}{f' and {File.RECORDS_PARQUET}' if also else ''}"
    fails = f"{what}: not all numbers are those of the records"
    lacking = sum(run.id not in kept for run in study.runs())
    if lacking and not wrong:
        said = f"{what}: {counted(lacking, 'run')} without a record to compare with"
        return [*checks, Check("tables", "note", said)]
    return [*checks, Check.of("tables", wrong, fails, f"{what}: every number is that of a record")]


def check_schema(table: pd.DataFrame, name: str) -> Check:
    """Whether a table has what records have, and the values that they can have."""
    wrong = []
    try:
        judging.check_records(table)
    except ValueError as error:
        wrong.append(str(error).removeprefix("records: "))
    for column in COLUMNS:
        if column not in records.TEXT and not pd.api.types.is_numeric_dtype(table[column]):
            wrong.append(f"{column}: has values that are no numbers")
    for column in table.columns.intersection(["linear_accuracy", "knn_accuracy"]):
        if pd.api.types.is_numeric_dtype(table[column]):
            outside = table[column].dropna()
            outside = outside[(outside < 0) | (outside > 100)]
            wrong += [f"{column}: {value} is not between 0 and 100" for value in outside]
    rows = counted(len(table), "row")
    return Check.of("schema", wrong, f"{name} is not as records are", f"{name}: {rows}, all valid")


def _differs_from_records(
    study: Study, path: Path, table: pd.DataFrame, kept: dict[str, dict[str, Any]]
) -> list[str]:
    runs = study.runs()
    rows = [kept[run.id]["columns"] for run in runs if run.id in kept]
    whole, text = len(rows) == len(runs), path.read_text(encoding="utf-8")
    if records.is_table_of(text, rows, older=True, part=not whole):
        return []
    named = {(str(r["dataset"]), str(r["loss"]), int(r["seed"])) for r in table.to_dict("records")}
    if whole and named != {(run.dataset, run.loss, run.seed) for run in runs}:
        return [f"{path}: does not have the runs of the study; delete it to collect it again"]
    return [f"{path}: does not match the records; delete it to collect it again"]


def _of_data(study: Study, layout: Layout, kept: dict[str, dict[str, Any]]) -> list[Check]:
    wrong, known = [], dict[str, str]()
    for dataset in {run.settings.dataset for run in study.runs()}:
        path = layout.prepared(dataset) / File.MANIFEST
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            made = content_digest(Form(content["format"], ()), content["classes"], content["files"])
            if content["digest"] != made or ("seal" in content and content != sealed(content)):
                wrong.append(f"{path}: was altered: it does not match its own digest")
            known[path.parent.name] = content["digest"]
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError, AttributeError):
            wrong.append(f"{path}: is damaged")
    if not known and not wrong:
        return [Check("data", "note", "the manifests of the prepared data are not here")]
    for run in study.runs():
        stated = known.get(layout.prepared(run.settings.dataset).name)
        if stated and run.id in kept and kept[run.id]["columns"]["data_digest"] != stated:
            wrong.append(f"{run.id}: was made from other data than the manifest describes")
    holds = f"{counted(len(known), 'manifest')} intact; the records were made from these data"
    return [Check.of("data", wrong, "data and records do not match", holds)]


def _of_versions(study: Study, layout: Layout, kept: dict[str, dict[str, Any]]) -> list[Check]:
    if not kept:
        return []
    packages: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for run in study.runs():
        content = kept.get(run.id)
        if content is None:
            continue
        used = content.get("evaluate", {}).get("packages", {})
        packages[", ".join(f"{n} {used[n]}" for n in SHOWN_PACKAGES if n in used)] += 1
        stale = [r for r in stale_reasons(content["columns"], run, layout) if r != "other data"]
        others.update([*other_code(content["columns"]), *stale])
    with_packages = "; ".join(f"{used or 'not recorded'}" for used, _ in packages.most_common())
    if others or len(packages) > 1:
        each = tuple(f"{reason}: {counted(count, 'record')}" for reason, count in others.items())
        said = f"made with {with_packages}; not all by this code and these settings"
        return [Check("versions", "note", said, each)]
    return [Check("versions", "holds", f"made by this code, with {with_packages}")]


def _of_absence(found: dict[str, RunCheck]) -> list[Check]:
    notes = Counter(note for run in found.values() for note in run.notes)
    if not notes:
        return []
    each = tuple(f"{note}: {counted(count, 'run')}" for note, count in notes.items())
    return [Check("not here", "note", "what a run has and this has not", each)]
