"""Files that are either the old or the new, whole, at any instant and for any reader."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it there, synced, when the block succeeds.

    At any instant, for any reader, ``path`` is either the old file or the whole new one. Its mode
    is that of a file that is simply opened for writing there, whoever writes the temporary one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # Asked of a file and not of os.umask, which can be read only by setting it, for all threads
        # of the process; the folder's default access list counts as well.
        with temporary.open("wb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        yield temporary
        # Libraries write to files of their own that only this user may read: safetensors does.
        temporary.chmod(mode)
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except OSError as error:
        unnamed = error.filename is None and error.errno == errno.ENOSPC  # by a write
        if unnamed or error.filename == str(temporary):
            error.filename, error.filename2 = str(path), None  # what the user knows of
        raise
    finally:
        with contextlib.suppress(OSError):  # of a folder that cannot be written nothing is left
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: Any) -> None:
    """Write canonical JSON atomically: sorted keys, two spaces, a final newline, no NaN."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")
