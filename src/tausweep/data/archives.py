"""Original archives with published MD5 digests: checked before anything in them is opened."""

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
"""Seconds without a byte after which a connection counts as broken."""


@dataclass(frozen=True)
class Published:
    """A file as its authors published it: name, MD5 digest, and where it can be fetched."""

    name: str
    md5: str
    url: str | None = None


def fault(folder: Path, file: Published) -> str | None:
    """What is wrong with a file, as the end of a sentence; none if it is as published."""
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
    """See to it that a file lies in a folder as published, which this process holds meanwhile.

    What an interrupted download left (``<name>.part``) is gone on with, also by a later process.

    Args:
        file: What to fetch; nothing is fetched if it is there as published.
        folder: Where to; made if needed.
        use: Called while the folder is still held, such as to unpack the file.

    Raises:
        StudyError: It cannot be fetched or used; the sentence says what to fetch by hand.
    """
    try:
        with locked(folder):
            # Another process may have fetched it while this one waited.
            if fault(folder, file):
                _download(file, folder)
            use()
    # URLError is an OSError, a broken response an HTTPException.
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise StudyError(
            f"{folder / file.name}: cannot be fetched or unpacked from {file.url} ({error}); "
            f"put a copy with MD5 {file.md5} there by hand"
        ) from error


def _download(file: Published, folder: Path) -> None:
    """Fetch a file into its ``.part``, check it and move it into place.

    Raises:
        OSError: The server fails, or what it has is not as published.
    """
    part = Published(file.name + _PART, file.md5)
    path = folder / part.name
    for attempt in range(_ATTEMPTS):
        begun = path.stat().st_size if path.exists() else 0
        try:
            _append(str(file.url), path)
        except urllib.error.HTTPError as error:
            # 416: there is nothing after what we have; the digest says whether that is all.
            if error.code != 416:
                raise
        except (OSError, http.client.HTTPException):
            # A connection that gave something is worth another one.
            if attempt + 1 == _ATTEMPTS or not path.exists() or path.stat().st_size == begun:
                raise
            time.sleep(0.1)
            continue
        wrong = fault(folder, part)
        if wrong is None:
            path.replace(folder / file.name)
            return
        path.unlink()
        # What was gone on with may have been another file's beginning.
        if begun == 0:
            raise OSError(wrong)
    raise OSError(f"the connection broke {_ATTEMPTS} times")


def _append(url: str, path: Path) -> None:
    """Fetch what a file lacks; from the start if the server does not give parts of it."""
    begun = path.stat().st_size if path.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "tausweep"})
    if begun:
        request.add_header("Range", f"bytes={begun}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        continues = response.status == http.HTTPStatus.PARTIAL_CONTENT
        with path.open("ab" if continues else "wb") as file:
            shutil.copyfileobj(response, file, 2**20)
        left = response.length
    # `read` of a body that ends too early with a size returns what there is, without an error.
    if left:
        raise http.client.IncompleteRead(b"", left)


def digest(files: Iterable[Published]) -> str:
    """SHA-256 of names and published digests, 64 hexadecimal digits."""
    text = "".join(f"{file.name} {file.md5}\n" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()
