"""Locks for folders: one process writes, and one workflow is responsible for having it written.

The locks are the kernel's, so each is released when its process ends, however it ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from tausweep.storage.layout import File

POLL_SECONDS = 0.5


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder and lock it for this process; other processes wait."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / File.DATA_LOCK):
        yield


def reserve(
    folder: Path, whole: Callable[[], bool], say: Callable[[str], None]
) -> BaseFileLock | None:
    """Become the one workflow that makes prepared data, or wait until another has made them.

    Args:
        folder: Folder of the data; created if needed.
        whole: Tells whether the data exist and match today's source.
        say: Called once if this has to wait.

    Returns:
        The reservation, which lasts until it is released or the process ends. None if the data
        exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reservation = FileLock(folder / File.DATA_RESERVED)
    told = False
    while not whole():
        try:
            reservation.acquire(blocking=False)
        except Timeout:
            if not told:
                say(f"{folder}: another workflow is preparing these data; waiting for it")
                told = True
            time.sleep(POLL_SECONDS)
        else:
            return reservation
    return None
