"""Whether a study's results are what its runs wrote: digests, columns against measures, versions.

Nothing is recomputed. The output lists what is wrong and what could not be checked.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tausweep import study as studies
from tausweep.commands import flags
from tausweep.commands.status import other_code, stale_reasons
from tausweep.results import records
from tausweep.storage.layout import File, Layout, measure_file
from tausweep.study import MEASURED, OF_LABELS, OF_THE_LOSS, Run, Study, StudyError

SHOWN_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "tausweep")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    flags.add_results(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    said, holds = verify(studies.load(options.study), Layout(Path(options.results)))
    print(said)
    return 0 if holds else 1


@dataclass
class RunCheck:
    """What a check of one run found.

    Attributes:
        wrong: What is not as the run wrote it, one sentence each.
        notes: What could not be checked, or belongs to another version.
    """

    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


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
        found.wrong.append(str(error))
        return found, None
    _check_identity(run, content, path, found)
    _check_digests(content, folder, found)
    _check_columns(content, folder, path, found)
    return found, content


def _check_identity(run: Run, content: dict[str, Any], path: Path, found: RunCheck) -> None:
    columns = content["columns"]
    own = {"study": run.study, "dataset": run.dataset, "loss": run.loss,
           "temperature": run.temperature, "seed": run.seed}  # fmt: skip
    for name, value in own.items():
        if columns[name] != value:
            found.wrong.append(f"{path}: its {name} is {columns[name]}, but its path says {value}")
    if columns["settings_digest"] == run.settings.digest:
        settings = run.settings.pretrain_json() | run.settings.evaluate_json()
        if content.get("settings") != json.loads(json.dumps(settings)):
            found.wrong.append(f"{path}: its settings do not match its settings_digest")


def _check_digests(content: dict[str, Any], folder: Path, found: RunCheck) -> None:
    path, digests = folder / File.RECORD, content.get("digests")
    if digests is None:
        found.notes.append("its record has no digests: it is older than them")
        return
    if not records.is_sealed(content):
        found.wrong.append(f"{path}: was altered: it does not match its own digest")
        return
    for name, expected in sorted(digests["files"].items()):
        file = folder / name
        if not file.exists():
            found.notes.append(f"{name} is missing")
        elif records.file_digest(file) != expected:
            found.wrong.append(f"{file}: was altered: it does not match its digest in record.json")


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
        found.wrong.append(f"{path}: what it says about pretraining does not match pretrain.json")
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
                found.wrong.append(f"{folder / measure_file(name)}: is damaged")
        if measured.keys() >= {*MEASURED} - optional:
            wanted |= records.flat(measured)
    for name in sorted(wanted):
        if columns.get(name) != wanted[name]:
            found.wrong.append(
                f"{path}: its {name} is {columns.get(name)}, but the run's files say {wanted[name]}"
            )


def _check_table(study: Study, layout: Layout, kept: dict[str, dict[str, Any]]) -> list[str]:
    """What is wrong with the collected table of a complete study."""
    path = layout.study(study.study) / File.RECORDS
    runs = study.runs()
    if not path.exists() or any(run.id not in kept for run in runs):
        return []
    rows = [kept[run.id]["columns"] for run in runs]
    if path.read_text(encoding="utf-8") == records.table(rows):
        return []
    for row, run in zip(records.read_table(path).to_dict("records"), runs, strict=False):
        theirs = {str(row[n]) for n in ("dataset", "loss", "seed")}
        if theirs != {run.dataset, run.loss, str(run.seed)}:
            return [f"{path}: does not have the runs of the study; delete it to collect it again"]
    return [f"{path}: does not match the records; delete it to collect it again"]


def verify(study: Study, layout: Layout) -> tuple[str, bool]:
    """Check a whole study.

    Returns:
        The findings as text, and whether everything that could be checked is right.
    """
    wrong: list[str] = []
    notes: dict[str, list[str]] = {}
    kept: dict[str, dict[str, Any]] = {}
    packages: Counter[str] = Counter()
    for run in study.runs():
        found, content = check_run(run, layout.run(run))
        wrong += found.wrong
        if content is not None:
            kept[run.id] = content
            found.notes += stale_reasons(content["columns"], run, layout)
            found.notes += other_code(content["columns"])
            used = content.get("evaluate", {}).get("packages", {})
            packages[", ".join(f"{n} {used[n]}" for n in SHOWN_PACKAGES if n in used)] += 1
        for note in found.notes:
            notes.setdefault(note, []).append(run.id)
    wrong += _check_table(study, layout, kept)
    lines = [f"study {study.study}: {len(kept)} records of {len(study.runs())} runs checked"]
    if wrong:
        lines += ["", f"not as written by the run ({len(wrong)})", *(f"  {line}" for line in wrong)]
    if notes:
        lines += ["", "not checked, or made by another version"]
        for note, named in notes.items():
            more = f" and {len(named) - 1} more" if len(named) > 1 else ""
            lines.append(f"  {note}: {named[0]}{more}")
    if packages:
        lines += ["", "made with"]
        lines += [f"  {used} ({count} records)" for used, count in packages.most_common()]
    lines += [
        "",
        "everything that could be checked is right" if not wrong else "not everything is right",
    ]
    return "\n".join(lines), not wrong
