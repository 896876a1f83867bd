"""One writer a folder, one workflow that has it written."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder and hold it for this process; a second one waits.

    The lock is the kernel's, so it ends with its process, however that ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


POLL_SECONDS = 0.5


def reserve(folder: Path, whole: Callable[[], bool], say: Callable[[str], None]) -> IO[str] | None:
    """Be the one workflow that has prepared data made, or wait until another had them made.

    Args:
        folder: Of the data; made if needed.
        whole: Whether they are there and of today's source.
        say: Told once whom this waits for.

    Returns:
        What holds the reservation while it is open: to the end of its process. None if the data
        are there.
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
                say(f"{folder}: another workflow prepares these data; waiting for them")
                told = True
            time.sleep(POLL_SECONDS)
    file.close()
    return None
