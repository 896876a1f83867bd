"""Records: one per run with all its measures, and the collected table of a study."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep.results import parquet
from tausweep.storage.atomic import write_json
from tausweep.storage.layout import File
from tausweep.study import ALONG, Run, StudyError, canonical
from tausweep.study.columns import (
    COLUMNS,
    GEOMETRY,
    IDENTITY,
    INSTRUCTIONS,
    ORIGIN,
    PENALTY,
    SEPARATION,
)

if TYPE_CHECKING:
    import pandas as pd

ALONG_IDENTITY = ("study", "dataset", "loss", "temperature", "seed", "share", "epoch")
"""A run and its position in training: an epoch, and the share of epochs that the study names."""
TEXT = {"study", "dataset", "loss", "status", "device", INSTRUCTIONS, "precision", *ORIGIN[3:]}
TIMED = ("images_per_second", "pretrain_seconds")
"""Columns of times, which differ whenever the same study runs again."""


def flat(measured: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The numbers of the measures' files as columns; a plug-in's numbers keep their names.

    Args:
        measured: Content of ``linear.json``, ``knn.json`` ... by name; empty for a diverged run,
            without ``separation`` and ``penalty`` for a baseline. Measures that are missing become
            empty columns.
    """
    if not measured:
        return {}
    separation, penalty = measured.get("separation", {}), measured.get("penalty", {})
    linear = measured.get("linear", {"probe": {}, "converged": {}})
    probe, converged = linear["probe"], linear["converged"]
    knn = measured.get("knn", {})
    geometry = measured.get("geometry", {"test": {}, "train": {}})
    collapsed = geometry["test"].get("collapsed")
    row = {
        "collapsed": None if collapsed is None else int(collapsed),
        "linear_accuracy": probe.get("accuracy"),
        "linear_accuracy_best": probe.get("best"),
        "linear_accuracy_converged": converged.get("accuracy"),
        "feature_rms": probe.get("feature_rms"),
        "knn_accuracy": knn.get("accuracy"),
        "knn_accuracy_bank": knn.get("accuracy_bank"),
        **{name: geometry["test"].get(name) for name in GEOMETRY},
        **{f"train_{name}": geometry["train"].get(name) for name in GEOMETRY},
        "test_images": geometry["test"].get("samples"),
        **{name: separation.get(name) for name in SEPARATION},
        **{name: penalty.get(name) for name in PENALTY},
    }
    for name in measured.keys() - {"linear", "knn", "geometry", "separation", "penalty"}:
        row |= measured[name]
    return row


def record(
    run: Run,
    *,
    status: str,
    measured: Mapping[str, Mapping[str, Any]],
    pretrain: Mapping[str, Any],
    evaluate: Mapping[str, Any],
    code_version: str,
) -> dict[str, Any]:
    """The record of one run, ready for JSON.

    Args:
        run: The run.
        status: ``complete`` or ``diverged``.
        measured: Values by measure; empty for a diverged run.
        pretrain: The content of ``pretrain.json``.
        evaluate: Provenance of the evaluation.
        code_version: Digests of the code of both stages.
    """
    columns = {
        **_identity(run, status),
        **flat(measured),
        **of_pretraining(pretrain),
        INSTRUCTIONS: _instructions(pretrain, evaluate),
        "precision": run.settings.pretrain.precision,
        "settings_digest": run.settings.digest,
        "code_version": code_version,
    }
    settings = run.settings.pretrain_json() | run.settings.evaluate_json()
    return {
        "columns": columns,
        "settings": settings,
        "pretrain": dict(pretrain),
        "evaluate": dict(evaluate),
    }


def _identity(run: Run, status: str) -> dict[str, Any]:
    values = (run.study, run.dataset, run.loss, run.temperature, run.seed, status)
    return dict(zip(IDENTITY, values, strict=True))


def so_far(
    run: Run, measured: Mapping[str, Mapping[str, Any]], pretrain: Mapping[str, Any]
) -> dict[str, Any]:
    """The columns that exist for a pretrained run without a record.

    Args:
        run: The run.
        measured: Values of the measures that exist.
        pretrain: The content of ``pretrain.json``.

    Raises:
        KeyError: The pretraining's description lacks something.
    """
    return {
        **_identity(run, "pretrained"),
        **flat(measured),
        **of_pretraining(pretrain),
        "precision": run.settings.pretrain.precision,
        "code_version": pretrain["code_version"],
    }


def _instructions(pretrain: Mapping[str, Any], evaluate: Mapping[str, Any]) -> str | None:
    """``portable`` only if both stages are, because numbers come from both."""
    found = [stage.get("hardware", {}).get(INSTRUCTIONS) for stage in (pretrain, evaluate)]
    return found[0] if found[0] == found[1] else "native"


def of_pretraining(pretrain: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that come from ``pretrain.json``."""
    return {
        "train_loss": pretrain["train_loss"],
        "images_per_second": pretrain["images_per_second"],
        "pretrain_seconds": pretrain["seconds"],
        **_sizes(pretrain),
        "device": pretrain["hardware"]["device"],
        "threads": pretrain["hardware"]["threads"],
        "data_digest": pretrain["data_digest"],
    }


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A record with digests of its run's files and of itself.

    Args:
        content: The result of ``record``.
        folder: The run's folder; checkpoints, locks and half-written files do not count.
    """
    files = {
        path.name: file_digest(path)
        for path in sorted(folder.iterdir())
        if path.suffix in (".json", ".csv", ".safetensors")
        and not path.name.startswith((".", "checkpoint.", File.RECORD, File.RUN_LOCK))
    }
    return {**content, "digests": {"files": files, "record": _own_digest(content, files)}}


def under_names_of(run: Run, content: Mapping[str, Any]) -> dict[str, Any]:
    """A record of the same settings with a run's study and dataset, sealed again if it was.

    Args:
        run: The run.
        content: A record, of this study or another, that is unaltered.
    """
    rest = {name: value for name, value in content.items() if name != "digests"}
    rest["columns"] = {**content["columns"], "study": run.study, "dataset": run.dataset}
    if "digests" not in content:
        return rest
    files = content["digests"]["files"]
    return {**rest, "digests": {"files": files, "record": _own_digest(rest, files)}}


def is_sealed(content: Mapping[str, Any]) -> bool:
    """Whether a record with digests is unaltered."""
    rest = {name: value for name, value in content.items() if name != "digests"}
    digests = content["digests"]
    try:
        return bool(digests["record"] == _own_digest(rest, digests["files"]))
    except (KeyError, TypeError):
        return False


def is_intact(content: Mapping[str, Any], folder: Path) -> bool:
    """Whether a sealed record and every file of its run are unaltered.

    Raises:
        KeyError: It has no digests.
    """
    files = content["digests"]["files"]
    return is_sealed(content) and all(
        (folder / name).exists() and file_digest(folder / name) == digest
        for name, digest in files.items()
    )


def _own_digest(content: Mapping[str, Any], files: Mapping[str, str]) -> str:
    text = json.dumps([content, files], sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _sizes(pretrain: Mapping[str, Any]) -> dict[str, Any]:
    """The bank's N, and K and alpha if the loss has a hard set."""
    bank, hard = pretrain["bank_size"], pretrain["hard_set_size"]
    alpha = None if hard is None else hard / (bank - 1)
    return {"bank_size": bank, "hard_set_size": hard, "alpha": alpha}


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a record."""
    write_json(path, content)


def read(path: Path) -> dict[str, Any]:
    """Read a record.

    Raises:
        FileNotFoundError: There is none.
        StudyError: It is truncated or not a record.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not content["columns"].keys() >= {*IDENTITY, *ORIGIN}:
            raise KeyError("columns")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StudyError(
            f"{path}: is damaged or not a record; delete it, and the next start makes it again"
        ) from None
    return content


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV: ``COLUMNS``, then further columns by name; missing values are empty.

    Numbers are in the shortest form that reads back exactly.
    """
    rows = list(rows)
    further = sorted({name for row in rows for name in row} - {*COLUMNS})
    return _csv(rows, [*COLUMNS, *further])


def is_table_of(
    text: str, rows: Iterable[Mapping[str, Any]], *, older: bool = False, part: bool = False
) -> bool:
    """Whether a table in CSV has these rows, in whatever order: a study file may be reordered.

    Args:
        text: The table.
        rows: Columns of records.
        older: Whether it may lack columns, as tables that are older than them do.
        part: Whether it may have further rows.
    """
    kept, made = (csv.DictReader(io.StringIO(one)) for one in (text, table(rows)))
    columns = list(kept.fieldnames or ())
    known = list(made.fieldnames or ())
    if not {*columns} <= {*known} or not (older or columns == known):
        return False
    theirs, these = (
        Counter(tuple(row[name] for name in columns) for row in side) for side in (kept, made)
    )
    return these <= theirs if part else these == theirs


def _csv(rows: Iterable[Mapping[str, Any]], columns: list[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        shown = {name: "" if _missing(value) else value for name, value in row.items()}
        if not _missing(row.get("temperature")):
            shown["temperature"] = canonical(row["temperature"])
        writer.writerow(shown)
    return text.getvalue()


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def along(run: Run, path: Path) -> list[dict[str, Any]]:
    """The rows of a run along its training, for the epochs that its study asks for.

    Args:
        run: The run.
        path: Its ``along.json``.

    Raises:
        StudyError: It is missing or damaged.
    """
    whose = (run.study, run.dataset, run.loss, run.temperature, run.seed)
    place: dict[str, Any] = dict(zip(ALONG_IDENTITY, whose, strict=False))
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        found = {row["epoch"]: {name: row["values"][name] for name in ALONG} for row in rows}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise StudyError(
            f"{path}: is missing or damaged; delete the record beside it, and the next start makes "
            "both again"
        ) from None
    return [
        {**place, "share": share, "epoch": epoch, **found[epoch]}
        for epoch, share in run.settings.along.items()
        if epoch in found
    ]


def along_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows of ``along`` as CSV; see ``table``."""
    return _csv(rows, [*ALONG_IDENTITY, *ALONG])


def read_along(path: Path) -> pd.DataFrame | None:
    """Read an ``along.csv`` with missing values as NaN; none if there is no such file.

    Raises:
        StudyError: It is not such a table.
    """
    import pandas as pd

    try:
        text = dict.fromkeys(ALONG_IDENTITY[:3], "string")
        # Only an empty cell is a missing value: a dataset may be called NA.
        frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        return None
    except (ValueError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: not a table along training: {error}") from None
    lacking = [name for name in ALONG_IDENTITY if name not in frame.columns]
    if lacking:
        raise StudyError(f"{path}: not a table along training: it has no column {lacking[0]}")
    return frame


def _separator(header: str) -> str:
    """The separator of a table that another program saved, if it is not a comma; else empty."""
    return next((mark for mark in ";\t|" if {*IDENTITY} <= {*header.split(mark)}), "")


def read_table(path: Path) -> pd.DataFrame:
    """Read a collected table, CSV or parquet; missing values and newer columns are NaN.

    Raises:
        StudyError: There is no such file, or it lacks a column that identifies a run.
    """
    import pandas as pd

    try:
        if path.suffix == ".parquet":
            return _with_all_columns(parquet.read_parquet(path), path)
        text = dict.fromkeys(TEXT, "string")
        # Only an empty cell is a missing value: a dataset may be called NA.
        frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise StudyError(f"{path}: there is no such table of records") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: not a table of records: {error}") from None
    lacking = [name for name in IDENTITY if name not in frame.columns]
    if lacking and len(frame.columns) == 1 and (found := _separator(frame.columns[0])):
        raise StudyError(
            f"{path}: its columns are separated by {found!r} and should be by commas; save it as "
            "CSV with commas and decimal points"
        )
    return _with_all_columns(frame, path)


def _with_all_columns(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    lacking = [name for name in IDENTITY if name not in frame.columns]
    if lacking:
        raise StudyError(f"{path}: not a table of records: it has no column {lacking[0]}")
    later = [name for name in COLUMNS if name not in frame.columns]
    return frame.assign(**dict.fromkeys(later, math.nan))
