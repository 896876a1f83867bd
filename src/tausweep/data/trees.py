"""List trees of image files in an order that does not depend on the file system or the locale."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePath
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
        ".md",
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
"""Suffixes of files that may lie beside images: lists, notes, archives. Text files without a suffix
may too."""

ARRAYS = frozenset({".mat", ".npy", ".npz"})
"""Beside class folders these are lists as well; inside class folders they could be the images."""

COMPRESSED = frozenset({".bz2", ".gz", ".xz"})
"""Compression of a single file, such as ``scan.nii.gz``; the suffix before it tells the kind of
file."""

SYSTEM_FOLDERS = frozenset(
    {"$RECYCLE.BIN", "@eaDir", "System Volume Information", "__MACOSX", "lost+found"}
)
"""Folders written by file managers, archivers and disks; a Synology's contain thumbnails."""

_HEAD = 8000


class ListedFile(NamedTuple):
    """A file: path relative to the scanned folder, with ``/``, bytes, time of change (ns)."""

    path: str
    size: int
    changed: int = 0


def subfolders(folder: Path) -> list[str]:
    """Sorted names of the folders in a folder, without hidden ones and ``SYSTEM_FOLDERS``.

    Raises:
        StudyError: The folder is missing or cannot be listed.
    """
    return sorted(entry.name for entry in _entries(str(folder)) if entry.is_dir())


def files(folder: Path) -> list[ListedFile]:
    """All files in a folder and below it, without hidden ones, sorted by path.

    Raises:
        StudyError: Something in it cannot be read, or is neither a file nor a folder.
    """
    return sorted(_walk(str(folder), "", (), True, lambda _: False))


def images(folder: Path, deep: bool = True) -> list[ListedFile]:
    """The image files in a folder (``deep``: and below it), sorted by path; no hidden ones.

    Raises:
        StudyError: Something in it cannot be read, or some files are neither images that we read
            (``IMAGE_SUFFIXES``) nor allowed beside images (``BESIDE``; without ``deep`` also
            ``ARRAYS``). To skip such files silently could lose images.
    """
    beside = BESIDE if deep else BESIDE | ARRAYS
    found = sorted(_walk(str(folder), "", (), deep, lambda entry: _lies_beside(entry, beside)))
    if unread := [file.path for file in found if not file.path.lower().endswith(IMAGE_SUFFIXES)]:
        more = f" and {len(unread) - 3} more" if unread[3:] else ""
        raise StudyError(
            f"{folder}: {len(unread)} of {len(found)} files are of a kind that is not read "
            f"({', '.join(unread[:3])}{more}); convert images to PNG or JPEG, with its suffix in "
            "their names, or take them out"
        )
    return found


def digest(files: Iterable[ListedFile]) -> str:
    """SHA-256 of paths and sizes, 64 hexadecimal digits."""
    total = hashlib.sha256()
    for path, size, _ in files:
        total.update(os.fsencode(path) + b"\0%d\n" % size)
    return total.hexdigest()


def _lies_beside(entry: os.DirEntry[str], beside: frozenset[str]) -> bool:
    """Whether a file is clearly not one of the images."""
    name = entry.name.lower()
    if name.endswith(IMAGE_SUFFIXES):
        return False
    path = PurePath(name)
    suffix = path.suffix
    if suffix in COMPRESSED:
        suffix = PurePath(path.stem).suffix or suffix
    # Some versions of Python take a point at the end for a suffix.
    return suffix in beside if suffix.strip(".") else entry.is_file() and _is_text(Path(entry.path))


def _is_text(path: Path) -> bool:
    """Whether a file is text, by git's rule: no zero byte at its beginning."""
    try:
        with path.open("rb") as file:
            return b"\0" not in file.read(_HEAD)
    except OSError:
        return False


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return [
                entry
                for entry in found
                if not entry.name.startswith(".") and entry.name not in SYSTEM_FOLDERS
            ]
    except OSError as error:
        raise StudyError(f"folder {folder}: {error.strerror}") from None


def _walk(
    folder: str,
    prefix: str,
    above: tuple[tuple[int, int], ...],
    deep: bool,
    left_out: Callable[[os.DirEntry[str]], bool],
) -> Iterator[ListedFile]:
    for entry in _entries(folder):
        try:
            if entry.is_dir():
                status = entry.stat()
                here = (status.st_dev, status.st_ino)
                # A link to a folder above would be an endless loop.
                if deep and here not in above:
                    below = f"{prefix}{entry.name}/"
                    yield from _walk(entry.path, below, (*above, here), deep, left_out)
            elif not left_out(entry):
                status = entry.stat()
                if not stat.S_ISREG(status.st_mode):
                    # Reading a pipe would never end.
                    raise StudyError(f"{entry.path}: is a pipe, a socket or a device, not a file")
                yield ListedFile(f"{prefix}{entry.name}", status.st_size, status.st_mtime_ns)
        except OSError as error:
            raise StudyError(f"file {entry.path}: {error.strerror}") from None
