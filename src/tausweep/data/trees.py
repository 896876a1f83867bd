"""List trees of image files, in an order that does not depend on file system or locale."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tausweep.study import StudyError

SUFFIXES = (
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
"""Suffixes of files that may be beside images: lists, notes, archives. Files without a suffix may
be there too."""


class File(NamedTuple):
    """A file: path relative to the scanned folder, with ``/``, and size in bytes."""

    path: str
    size: int


def subfolders(folder: Path) -> list[str]:
    """Sorted names of the folders in a folder, except hidden ones.

    Raises:
        StudyError: The folder is missing or cannot be listed.
    """
    return sorted(entry.name for entry in _entries(str(folder)) if entry.is_dir())


def images(folder: Path, deep: bool = True) -> list[File]:
    """The image files in a folder (``deep``: and below it) by path, except hidden ones.

    Raises:
        StudyError: A folder or file cannot be accessed, or some files are neither readable images
            (``SUFFIXES``) nor allowed beside them (``BESIDE``). Skipping those silently would lose
            images.
    """
    found = sorted(_walk(str(folder), "", (), deep))
    if unread := [file.path for file in found if not file.path.lower().endswith(SUFFIXES)]:
        more = f" and {len(unread) - 3} more" if unread[3:] else ""
        raise StudyError(
            f"{folder}: {len(unread)} of {len(found)} files are of an unknown kind "
            f"({', '.join(unread[:3])}{more}); convert images to PNG or JPEG, and remove others"
        )
    return found


def digest(files: Iterable[File]) -> str:
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
) -> Iterator[File]:
    for entry in _entries(folder):
        try:
            if entry.is_dir():
                status = entry.stat()
                here = (status.st_dev, status.st_ino)
                # A link to a folder above it would make an endless loop.
                if deep and here not in above:
                    below = f"{prefix}{entry.name}/"
                    yield from _walk(entry.path, below, (*above, here), deep)
            elif (suffix := Path(entry.name).suffix.lower()) and suffix not in BESIDE:
                yield File(f"{prefix}{entry.name}", entry.stat().st_size)
        except OSError as error:
            raise StudyError(f"file {entry.path}: {error.strerror}") from None
