"""Damage copies of an export, from a slip to a forgery, and show which check notices each.

A forger who changes everything that depends on a number can only be noticed by numbers from
elsewhere: the files of the measures, or the records of somebody else who ran the study.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tausweep import __version__
from tausweep.commands import archive, verification
from tausweep.report.artefact import crate
from tausweep.results import parquet, records
from tausweep.storage.layout import File
from tausweep.study import StudyError

COLUMN = "linear_accuracy"
"""The number that is changed, by ``BY`` points."""
BY = 20.0


@dataclass(frozen=True)
class Damage:
    """A way to damage an export.

    Attributes:
        name: What is done, in words.
        do: Does it to a folder.
    """

    name: str
    do: Callable[[Path], None]


def show(what: str, margins: Mapping[str, float]) -> int:
    """Damage copies of an export one by one, print what notices, and return the exit code.

    Args:
        what: An export, a folder or an archive.
        margins: Margin of equivalence by column.

    Raises:
        StudyError: It is no export, or does not hold before it is damaged.
    """
    path = Path(what)
    if archive.is_archive(path):
        with archive.unpacked(path) as root:
            return _show(root, what, margins)
    if not archive.is_export(path):
        raise StudyError(f"{what}: is no export of tausweep; make one with `tausweep export`")
    return _show(path, what, margins)


def _show(root: Path, what: str, margins: Mapping[str, float]) -> int:
    whole = verification.of_folder(root, what, None, margins)
    if not whole.holds:
        raise StudyError(f"{what}: does not hold as it is; see `tausweep verify {what}`")
    print(f"{what}: {len(whole.checks)} checks, all right. Damaged copies:\n", flush=True)
    missed = 0
    for damage in DAMAGES:
        noticed = caught_by(damage, root, margins)
        missed += not noticed
        said = f"noticed by {', '.join(noticed)}" if noticed else "NOT NOTICED"
        print(f"{damage.name}\n    {said}", flush=True)
    count = len(DAMAGES)
    print(f"\n{count - missed} of {count} damages are noticed")
    return 1 if missed else 0


def caught_by(damage: Damage, root: Path, margins: Mapping[str, float]) -> list[str]:
    """The checks that do not hold on a damaged copy of an export.

    Args:
        damage: What to do to the copy.
        root: The export's folder, which stays as it is.
        margins: Margin of equivalence by column.
    """
    with tempfile.TemporaryDirectory(prefix="tausweep-") as folder:
        copy = Path(folder) / "export"
        shutil.copytree(root, copy)
        damage.do(copy)
        return list(verification.of_folder(copy, "the copy", None, margins).noticed)


def _a_record(root: Path) -> Path:
    """The record of a complete run."""
    for path in sorted(root.rglob(str(File.RECORD))):
        columns = records.read(path)["columns"]
        if columns["status"] == "complete" and columns["temperature"] is not None:
            return path
    raise StudyError(f"{root}: has no complete run with a temperature to damage")


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _changed(number: float) -> float:
    """Another accuracy, far from this one."""
    return number - BY if number > 50 else number + BY


def _number_of_record(root: Path) -> None:
    path = _a_record(root)
    content = records.read(path)
    content["columns"][COLUMN] = _changed(content["columns"][COLUMN])
    _write(path, content)


def _number_of_table(root: Path) -> None:
    (path,) = root.glob(f"*/{File.RECORDS}")
    identity = records.read(_a_record(root))["columns"]
    _change_row(path, identity)
    _list_again(root)


def _change_row(path: Path, identity: Mapping[str, Any]) -> None:
    """Change the number of one run in a table, and nothing else in it."""
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    for row in rows:
        if all(row[name] == str(identity[name]) for name in ("dataset", "loss", "seed")) and (
            float(row["temperature"] or "nan") == identity["temperature"]
        ):
            row[COLUMN] = str(_changed(float(row[COLUMN])))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")


def _forged_number(root: Path) -> None:
    record = _a_record(root)
    content = records.read(record)
    (path,) = root.glob(f"*/{File.RECORDS}")
    _change_row(path, content["columns"])
    beside = path.parent / File.RECORDS_PARQUET
    if beside.exists():
        beside.write_bytes(parquet.to_parquet(records.read_table(path)))
    content["columns"][COLUMN] = _changed(content["columns"][COLUMN])
    _seal_again(record, content)
    _list_again(root)


def _settings_digest(root: Path) -> None:
    record = _a_record(root)
    content = records.read(record)
    digest = content["columns"]["settings_digest"]
    content["columns"]["settings_digest"] = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    _seal_again(record, content)
    _list_again(root)


def _seal_again(path: Path, content: dict[str, Any]) -> None:
    """Write a record with new digests of itself and of the files beside it."""
    del content["digests"]
    _write(path, records.sealed(content, path.parent))


def _list_again(root: Path) -> None:
    """Make list and RO-Crate agree with the files as they now are."""
    index = archive.read_index(root)
    files = {name: (root / name).read_bytes() for name in index["files"] if name != crate.METADATA}
    metadata = json.loads((root / crate.METADATA).read_text(encoding="utf-8"))
    for entity in metadata["@graph"]:
        if entity["@id"] in files:
            file = crate.ExportedFile.of(files[entity["@id"]])
            entity |= {"sha256": file.sha256, "contentSize": str(file.size)}
    _write(root / crate.METADATA, metadata)
    files[crate.METADATA] = (root / crate.METADATA).read_bytes()
    made = archive.index(index["study"], __version__, index["weights"], files)
    _write(root / archive.CONTENTS, made)


def _one_bit(root: Path) -> None:
    path = _a_record(root).parent / File.HISTORY
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _missing(root: Path) -> None:
    (_a_record(root).parent / File.HISTORY).unlink()


def _crate_digest(root: Path) -> None:
    path = root / crate.METADATA
    metadata = json.loads(path.read_text(encoding="utf-8"))
    entity = next(entity for entity in metadata["@graph"] if entity["@id"] == crate.WORKFLOW)
    entity["sha256"] = entity["sha256"][::-1]
    _write(path, metadata)


DAMAGES = (
    Damage("one number of a record", _number_of_record),
    Damage("one bit of a file", _one_bit),
    Damage("a file is missing", _missing),
    Damage("a digest in the RO-Crate", _crate_digest),
    Damage("one number of records.csv, and all lists of files adapted to it", _number_of_table),
    Damage("a settings digest, its record sealed again and all lists adapted", _settings_digest),
    Damage(
        "one number of a record and of both tables, sealed again and all lists adapted",
        _forged_number,
    ),
)
"""From a slip to a forgery."""
