"""An export as a folder, a .tar.gz or a .zip: written, opened, compared with its own list.

The same files give the same bytes. An export holds the results folder's own layout, so whatever
reads results reads an export: ``with opened(path) as root: Layout(root)``.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tausweep import study as studies
from tausweep.results.records import file_digest
from tausweep.storage.atomic import replacing
from tausweep.storage.layout import File
from tausweep.study import Study, StudyError

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".zip")
OTHER_ARCHIVES = (".tar", ".rar", ".7z", ".gz", ".bz2", ".xz", ".zst")
CONTENTS = "CONTENTS.json"
"""Lists name, size and SHA-256 of every file, and the version that wrote them."""
FORMAT = "tausweep-archive-1"

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every file in an archive: the earliest that zip can store."""


def index(study: str, version: str, weights: bool, files: Mapping[str, bytes]) -> dict[str, Any]:
    """The content of ``CONTENTS.json``.

    Args:
        study: Name of the study.
        version: That of tausweep.
        weights: Whether encoders, banks and embeddings are among the files.
        files: The files by path.
    """
    listed = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in sorted(files.items())
    }
    return {
        "format": FORMAT,
        "study": study,
        "version": version,
        "weights": weights,
        "files": listed,
    }


def write(output: Path, files: Mapping[str, bytes]) -> None:
    """Write files as the kind of export that the path's suffix says, whole or not at all.

    Raises:
        StudyError: The suffix is that of another kind of archive, or the folder is not empty.
    """
    check_output(output)
    ordered = dict(sorted(files.items()))
    if not is_archive(output):
        _write_folder(output, ordered)
        return
    write_archive = _write_zip if output.name.endswith(".zip") else _write_tar
    with replacing(output) as temporary:
        write_archive(temporary, ordered)


def check_output(output: Path) -> None:
    """Refuse a path where no export can be written.

    Raises:
        StudyError: The suffix is that of another kind of archive, or the folder is not empty.
    """
    if not is_archive(output) and output.name.endswith(OTHER_ARCHIVES):
        raise StudyError(
            f"archive {output}: its suffix is not allowed; it should be one of "
            f"{', '.join(ARCHIVE_SUFFIXES)}, or no suffix for a folder"
        )
    if not is_archive(output) and output.exists():
        if not output.is_dir():
            raise StudyError(f"{output}: is a file; name a folder or an archive")
        if any(output.iterdir()):
            raise StudyError(f"{output}: is not empty; delete it or name another folder")


def _write_folder(output: Path, files: Mapping[str, bytes]) -> None:
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        for name, data in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        if output.exists():
            output.rmdir()
        temporary.rename(output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_tar(path: Path, files: Mapping[str, bytes]) -> None:
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))


def _write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            packed.writestr(entry, data)


def is_archive(path: Path) -> bool:
    """Whether a path has the suffix of an archive."""
    return path.name.endswith(ARCHIVE_SUFFIXES)


def is_export(folder: Path) -> bool:
    """Whether a folder is an export, or was unpacked from one."""
    return (folder / CONTENTS).is_file()


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Path]:
    """A temporary results folder with an archive's content, while the block runs.

    Every file is checked against the archive's own list.

    Raises:
        StudyError: It is not an archive of tausweep, or is damaged.
    """
    with unpacked(path) as folder:
        altered, unlisted = differences(folder, read_index(folder))
        if unlisted or any("is missing" in line for line in altered):
            raise StudyError(f"archive {path}: is damaged: its files do not match its list")
        if altered:
            raise StudyError(f"archive {path}: is damaged: {altered[0]}")
        yield folder


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A temporary folder with an archive's content, as it is, while the block runs.

    Raises:
        StudyError: It is not an archive of tausweep, cannot be read, or has a file that would lie
            outside of the folder.
    """
    with tempfile.TemporaryDirectory(prefix="tausweep-") as name:
        folder = Path(name)
        try:
            files = _read(path)
            json.loads(files[CONTENTS])["files"].keys()
        except FileNotFoundError:
            raise StudyError(f"archive {path}: there is no such file") from None
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError,
                tarfile.TarError, zipfile.BadZipFile) as error:  # fmt: skip
            raise StudyError(
                f"archive {path}: is damaged or not an archive of tausweep ({error})"
            ) from None
        for file, data in files.items():
            target = folder / file
            if not target.resolve().is_relative_to(folder.resolve()):
                raise StudyError(f"archive {path}: {file} would be written outside of the folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        yield folder


def read_index(folder: Path) -> dict[str, Any]:
    """The list of contents of an export.

    Raises:
        StudyError: It is missing or damaged, or of a later format.
    """
    path = folder / CONTENTS
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        entries = content["files"].values()
        whole = all({"bytes", "sha256"} <= entry.keys() for entry in entries)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise StudyError(f"{path}: is missing or damaged; get the export again")
    if content.get("format", FORMAT) != FORMAT:
        raise StudyError(
            f"{path}: its format is {content['format']}, and this version reads {FORMAT}; install "
            f"tausweep {content.get('version', 'of the version that wrote it')}"
        )
    return content


def differences(folder: Path, listed: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """How the files in a folder differ from its list of contents.

    Returns:
        One sentence for each file that is missing, altered or outside of the folder, and the names
        of the files that are not listed.
    """
    altered = []
    for name, facts in listed["files"].items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            altered.append(f"{name} is outside of the export")
        elif not path.is_file():
            altered.append(f"{name} is missing")
        elif file_digest(path) != facts["sha256"]:
            altered.append(f"{name} was altered")
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return altered, sorted(found - listed["files"].keys() - {CONTENTS})


def study_of(root: Path) -> Study:
    """The study of an opened archive.

    Raises:
        StudyError: There is not exactly one.
    """
    found = sorted(root.glob(f"*/{File.STUDY}"))
    if len(found) != 1:
        raise StudyError(f"{root}: has {len(found)} studies instead of one")
    return studies.load(found[0])


def _read(path: Path) -> dict[str, bytes]:
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path) as packed:
            names = (name for name in packed.namelist() if not name.endswith("/"))
            return {name: packed.read(name) for name in names}
    with tarfile.open(path, "r:gz") as tar:
        read = {}
        for entry in tar:
            if entry.isdir():
                continue
            file = tar.extractfile(entry) if entry.isfile() else None
            if file is None:
                raise ValueError(f"{entry.name} is not a plain file")
            read[entry.name] = file.read()
        return read
