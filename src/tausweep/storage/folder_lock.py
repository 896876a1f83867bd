"""Locks of folders of prepared data: one writer, and one workflow that has it written."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create a folder and lock it for this process; a second process waits.

    The kernel holds the lock, so it ends with the process, however that ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


POLL_SECONDS = 0.5


def reserve(folder: Path, whole: Callable[[], bool], say: Callable[[str], None]) -> IO[str] | None:
    """Reserve the preparation of data for this workflow, or wait until another has prepared it.

    Args:
        folder: Folder of the data; created if needed.
        whole: Whether the data is there and matches today's source.
        say: Called once if this has to wait.

    Returns:
        A file that holds the reservation while it is open. None if the data is there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / ".reserved").open("a")
    told = False
    while not whole():
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if not told:
                say(f"{folder}: another workflow is preparing these data; waiting for it")
                told = True
            time.sleep(POLL_SECONDS)
    file.close()
    return None
