"""Published archives, checked against their MD5 digests before anything in them is opened."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tausweep.storage.folder_lock import locked
from tausweep.study import StudyError

_PART = ".part"
_ATTEMPTS = 5
_TIMEOUT = 60.0
"""Seconds without data after which a connection counts as broken."""


@dataclass(frozen=True)
class Published:
    """A file as its authors published it: name, MD5 digest, and where to download it."""

    name: str
    md5: str
    url: str | None = None


def fault(folder: Path, file: Published) -> str | None:
    """What is wrong with a file, as a clause; none if it is as published."""
    path = folder / file.name
    if not path.is_file():
        return f"{path} is missing"
    with path.open("rb") as opened:
        found = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != file.md5:
        return (
            f"{path} is truncated or altered (MD5 {found}, published {file.md5}, "
            f"{path.stat().st_size} bytes)"
        )
    return None


def first_fault(folder: Path, files: Iterable[Published]) -> str | None:
    """The first fault among several files."""
    return next((wrong for file in files if (wrong := fault(folder, file))), None)


def fetch(file: Published, folder: Path, use: Callable[[], None] = lambda: None) -> None:
    """Download a file to a folder unless it is there as published; locks the folder meanwhile.

    An interrupted download (``<name>.part``) is resumed, also by a later process.

    Args:
        file: What to download.
        folder: Where to; created if needed.
        use: Called while the folder is still locked, for instance to unpack the file.

    Raises:
        StudyError: It cannot be downloaded or used; the message says what to download by hand.
    """
    try:
        with locked(folder):
            # Another process may have downloaded it while this one waited for the lock.
            if fault(folder, file):
                _download(file, folder)
            use()
    # URLError is an OSError; a broken response raises an HTTPException.
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise StudyError(
            f"{folder / file.name}: cannot be downloaded or unpacked from {file.url} ({error}); "
            f"put a copy with MD5 {file.md5} there by hand"
        ) from error


def _download(file: Published, folder: Path) -> None:
    """Download a file into its ``.part``, check it and move it into place.

    Raises:
        OSError: The server fails, or its file is not as published.
    """
    part = Published(file.name + _PART, file.md5)
    path = folder / part.name
    for attempt in range(_ATTEMPTS):
        begun = path.stat().st_size if path.exists() else 0
        try:
            _append(str(file.url), path)
        except urllib.error.HTTPError as error:
            # 416: the server has no more bytes; the digest decides whether the file is complete.
            if error.code != 416:
                raise
        except (OSError, http.client.HTTPException):
            # Try again as long as each connection brings something.
            if attempt + 1 == _ATTEMPTS or not path.exists() or path.stat().st_size == begun:
                raise
            time.sleep(0.1)
            continue
        wrong = fault(folder, part)
        if wrong is None:
            path.replace(folder / file.name)
            return
        path.unlink()
        # A resumed file may have begun as another version; a complete download must be right.
        if begun == 0:
            raise OSError(wrong)
    raise OSError(f"the connection broke {_ATTEMPTS} times")


def _append(url: str, path: Path) -> None:
    """Download the rest of a file, or all of it if the server does not support ranges."""
    begun = path.stat().st_size if path.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "tausweep"})
    if begun:
        request.add_header("Range", f"bytes={begun}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        continues = response.status == http.HTTPStatus.PARTIAL_CONTENT
        with path.open("ab" if continues else "wb") as file:
            shutil.copyfileobj(response, file, 2**20)
        left = response.length
    # `read(size)` does not raise if the body ends early.
    if left:
        raise http.client.IncompleteRead(b"", left)


def digest(files: Iterable[Published]) -> str:
    """SHA-256 of names and published digests, 64 hexadecimal digits."""
    text = "".join(f"{file.name} {file.md5}\n" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()
