"""Trees of image files: what is in them, in an order that no file system or locale decides."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tausweep.study import StudyError

IMAGE_SUFFIXES = (
    ".avif",
    ".bmp",
    ".gif",
    ".jfif",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".pbm",
    ".pgm",
    ".png",
    ".pnm",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)


BESIDE = frozenset(
    {
        ".7z",
        ".bz2",
        ".csv",
        ".db",
        ".gz",
        ".html",
        ".ini",
        ".json",
        ".lnk",
        ".log",
        ".lst",
        ".mat",
        ".md",
        ".npy",
        ".npz",
        ".pdf",
        ".py",
        ".rst",
        ".sh",
        ".tar",
        ".tgz",
        ".tsv",
        ".txt",
        ".url",
        ".xml",
        ".xz",
        ".yaml",
        ".yml",
        ".zip",
    }
)
"""Suffixes of what may lie beside images: lists, notes, archives. So may files without a suffix."""


class ListedFile(NamedTuple):
    """A file: path relative to the scanned folder, with ``/``, and size in bytes."""

    path: str
    size: int


def subfolders(folder: Path) -> list[str]:
    """Sorted names of the folders in a folder; hidden ones are left out.

    Raises:
        StudyError: The folder is missing or cannot be listed.
    """
    return sorted(entry.name for entry in _entries(str(folder)) if entry.is_dir())


def images(folder: Path, deep: bool = True) -> list[ListedFile]:
    """The image files in a folder (``deep``: and below it), sorted by path; no hidden ones.

    Raises:
        StudyError: A folder or file in it cannot be looked at, or some files are neither images
            that can be read (``IMAGE_SUFFIXES``) nor what may lie beside them (``BESIDE``): left
            out in silence, they would be missed.
    """
    found = sorted(_walk(str(folder), "", (), deep))
    if unread := [file.path for file in found if not file.path.lower().endswith(IMAGE_SUFFIXES)]:
        more = f" and {len(unread) - 3} more" if unread[3:] else ""
        raise StudyError(
            f"{folder}: {len(unread)} of {len(found)} files are of a kind that is not read "
            f"({', '.join(unread[:3])}{more}); convert images to PNG or JPEG, or take them out"
        )
    return found


def digest(files: Iterable[ListedFile]) -> str:
    """SHA-256 of paths and sizes, 64 hexadecimal digits."""
    total = hashlib.sha256()
    for path, size in files:
        total.update(os.fsencode(path) + b"\0%d\n" % size)
    return total.hexdigest()


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if not entry.name.startswith(".")]
    except OSError as error:
        raise StudyError(f"folder {folder}: {error.strerror}") from None


def _walk(
    folder: str, prefix: str, above: tuple[tuple[int, int], ...], deep: bool
) -> Iterator[ListedFile]:
    for entry in _entries(folder):
        try:
            if entry.is_dir():
                status = entry.stat()
                here = (status.st_dev, status.st_ino)
                # A link to a folder above would never end.
                if deep and here not in above:
                    below = f"{prefix}{entry.name}/"
                    yield from _walk(entry.path, below, (*above, here), deep)
            elif (suffix := Path(entry.name).suffix.lower()) and suffix not in BESIDE:
                yield ListedFile(f"{prefix}{entry.name}", entry.stat().st_size)
        except OSError as error:
            raise StudyError(f"file {entry.path}: {error.strerror}") from None
