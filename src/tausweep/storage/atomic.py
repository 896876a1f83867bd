"""Atomic writes: every reader sees either the old or the complete new file."""

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
    """Yield a temporary path beside ``path``; sync it and move it there if the block succeeds.

    Every reader sees either the old file or the complete new one. The mode of the file is that of
    a file that is simply opened for writing, whichever library writes the temporary one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # Taken from a file, because os.umask can only be read by setting it for all threads, and
        # because the folder's default access list counts too.
        with temporary.open("wb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        yield temporary
        # Some libraries, such as safetensors, write files that only this user may read.
        temporary.chmod(mode)
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except OSError as error:
        unnamed = error.filename is None and error.errno == errno.ENOSPC  # raised by a write
        if unnamed or error.filename == str(temporary):
            error.filename, error.filename2 = str(path), None  # the name that the user knows
        raise
    finally:
        with contextlib.suppress(OSError):  # nothing is left in a folder that cannot be written
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: Any) -> None:
    """Write canonical JSON atomically: sorted keys, two spaces, a final newline, no NaN."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")
