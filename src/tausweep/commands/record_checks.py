"""Whether a run's record and the files beside it are what the run wrote. Nothing is recomputed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tausweep.results import records
from tausweep.storage.layout import File, measure_file
from tausweep.study import MEASURED, OF_LABELS, OF_THE_LOSS, Run, StudyError, digest
from tausweep.study.run import EVALUATED


class Wrong(NamedTuple):
    """Something that is not as the run wrote it.

    Attributes:
        check: What was checked: ``records``, ``settings``, ``files`` or ``measures``.
        said: One sentence that names the file.
    """

    check: str
    said: str


@dataclass
class RunCheck:
    """What a check of one run found.

    Attributes:
        wrong: What is not as the run wrote it.
        notes: What could not be checked, or belongs to another version.
        sealed: Whether the record has a digest of itself, right or wrong.
        files: Number of files that match their digests in the record.
        measures: Whether the record's numbers were compared with the files of all measures.
    """

    wrong: list[Wrong] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sealed: bool = False
    files: int = 0
    measures: bool = False


def check_run(run: Run, folder: Path) -> tuple[RunCheck, dict[str, Any] | None]:
    """Check a run's record and the files beside it.

    Args:
        run: The run.
        folder: Where its files are.

    Returns:
        The finding, and the record; none if it is missing or cannot be read.
    """
    found, path = RunCheck(), folder / File.RECORD
    try:
        content = records.read(path)
    except FileNotFoundError:
        found.notes.append("has no record")
        return found, None
    except StudyError as error:
        found.wrong.append(Wrong("records", str(error)))
        return found, None
    _check_identity(run, content, path, found)
    _check_settings(run, content, path, found)
    _check_digests(content, folder, found)
    _check_columns(content, folder, path, found)
    return found, content


def _check_identity(run: Run, content: dict[str, Any], path: Path, found: RunCheck) -> None:
    columns = content["columns"]
    own = {"study": run.study, "dataset": run.dataset, "loss": run.loss,
           "temperature": run.temperature, "seed": run.seed}  # fmt: skip
    for name, value in own.items():
        if columns[name] != value:
            said = f"{path}: its {name} is {columns[name]}, but its path says {value}"
            found.wrong.append(Wrong("records", said))


def _check_settings(run: Run, content: dict[str, Any], path: Path, found: RunCheck) -> None:
    columns, stated = content["columns"], content.get("settings")
    matches = columns["settings_digest"] == (
        run.settings.digest if stated is None else _digest_of(stated)
    )
    if columns["settings_digest"] == run.settings.digest:
        settings = run.settings.pretrain_json() | run.settings.evaluate_json()
        matches = stated == json.loads(json.dumps(settings))
    if not matches and stated is not None:
        said = f"{path}: its settings do not match its settings_digest"
        found.wrong.append(Wrong("settings", said))


def _digest_of(settings: dict[str, Any]) -> str:
    """The digest of the settings that a record states (``RunSettings.digest``)."""
    trained = {name: value for name, value in settings.items() if name not in EVALUATED}
    evaluated = {name: value for name, value in settings.items() if name in EVALUATED}
    return digest([trained, evaluated])


def _check_digests(content: dict[str, Any], folder: Path, found: RunCheck) -> None:
    path, digests = folder / File.RECORD, content.get("digests")
    if digests is None:
        found.notes.append("its record has no digests: it is older than them")
        return
    found.sealed = True
    if not records.is_sealed(content):
        said = f"{path}: was altered: it does not match its own digest"
        found.wrong.append(Wrong("records", said))
        return
    for name, expected in sorted(digests["files"].items()):
        file = folder / name
        if not file.exists():
            found.notes.append(f"{name} is missing")
        elif records.file_digest(file) != expected:
            said = f"{file}: was altered: it does not match its digest in record.json"
            found.wrong.append(Wrong("files", said))
        else:
            found.files += 1


def _check_columns(content: dict[str, Any], folder: Path, path: Path, found: RunCheck) -> None:
    """Compare the record's numbers with the files that they came from."""
    columns = content["columns"]
    try:
        described = json.loads((folder / File.PRETRAIN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        described = content.get("pretrain")
        found.notes.append(f"{File.PRETRAIN} is absent")
    except ValueError:
        described = None
    if described != content.get("pretrain"):
        said = f"{path}: what it says about pretraining does not match pretrain.json"
        found.wrong.append(Wrong("measures", said))
    wanted = records.of_pretraining(content.get("pretrain") or {})
    if columns["status"] == "complete":
        own = content.get("settings", {}).get("measure_digests") or {}
        measured: dict[str, Any] = {}
        unlabelled = columns.get("linear_accuracy") is None and columns.get("knn_accuracy") is None
        optional = {*OF_THE_LOSS, *(OF_LABELS if unlabelled else ())}
        for name in (*MEASURED, *own):
            try:
                text = (folder / measure_file(name)).read_text(encoding="utf-8")
                measured[name] = json.loads(text)["values"]
            except FileNotFoundError:
                if name not in optional:
                    found.notes.append(f"{measure_file(name)} is absent")
            except (ValueError, KeyError, TypeError):
                said = f"{folder / measure_file(name)}: is damaged"
                found.wrong.append(Wrong("measures", said))
        if measured.keys() >= {*MEASURED} - optional:
            wanted |= records.flat(measured)
            found.measures = True
    for name in sorted(wanted):
        if columns.get(name) != wanted[name]:
            said = (
                f"{path}: its {name} is {columns.get(name)}, but the run's files say {wanted[name]}"
            )
            found.wrong.append(Wrong("measures", said))
