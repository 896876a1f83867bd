"""One writer a folder, one workflow that has it written.

The locks are the kernel's, so each ends with its process, however that ends.
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
    """Make a folder and hold it for this process; a second one waits."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / File.DATA_LOCK):
        yield


def reserve(
    folder: Path, whole: Callable[[], bool], say: Callable[[str], None]
) -> BaseFileLock | None:
    """Be the one workflow that has prepared data made, or wait until another had them made.

    Args:
        folder: Folder of the data; created if needed.
        whole: Whether the data is there and matches today's source.
        say: Called once if this has to wait.

    Returns:
        The reservation: it holds until it is released, or to the end of its process. None if the
        data are there.
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
