"""One writer a run: a lock file with process, host and heartbeat.

A killed Snakemake leaves its training child alive, so a second start must find out that somebody
still writes. On the same host the process itself is asked; from another host (a cluster's shared
folder) a heartbeat decides. Who finds a live writer is refused, or waits for it: what it leaves is
the same to the byte, so a job that Snakemake starts again has then little or nothing to do.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from tausweep.storage.layout import File

HEARTBEAT_SECONDS = 10.0
POLL_SECONDS = 0.5
STALE_SECONDS = 120.0
"""A foreign lock without a heartbeat for so long is taken over; far above the clock skew and the
attribute caching of network file systems."""


class RunLockedError(RuntimeError):
    """Another live process writes this run; the sentence names it."""


def _me() -> dict[str, Any]:
    process = psutil.Process()
    return {"pid": process.pid, "host": platform.node(), "started": process.create_time()}


def _holder(path: Path) -> dict[str, Any] | None:
    """Who holds the lock and lives; none if nobody does."""
    try:
        holder: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        beat = path.stat().st_mtime
    except FileNotFoundError:
        return None
    except ValueError:
        # Locks appear whole (see _take), so this one was damaged by something else.
        return None
    if holder["host"] != platform.node():
        return holder if time.time() - beat < STALE_SECONDS else None
    try:
        process = psutil.Process(holder["pid"])
        # A process id is used again, a process id with its start time is not.
        same = abs(process.create_time() - holder["started"]) < 1.0
        return holder if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _take(path: Path) -> bool:
    """Create the lock whole, or find that somebody else did."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    mine.write_text(json.dumps(_me()), encoding="utf-8")
    try:
        # link() fails if the name exists, on network file systems too; open(O_EXCL) would leave
        # an instant with an empty lock.
        os.link(mine, path)
    except FileExistsError:
        return False
    finally:
        mine.unlink()
    return True


def _bury(path: Path) -> None:
    """Move a stale lock away, and back if it was no longer the stale one.

    Two starters may both find the lock stale; the slower must not remove the faster one's.
    """
    grave = path.with_name(f".{path.name}.stale.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        path.replace(grave)
        if _holder(grave):
            with contextlib.suppress(FileExistsError):
                os.link(grave, path)
        grave.unlink()


def half_written(folder: Path) -> list[Path]:
    """Files of a run that were being written when their writer was killed.

    Ours are named ``.NAME.PID.tmp``; safetensors writes to ``.tmpXXXXXX`` first.
    """
    return sorted([*folder.glob(".*.tmp"), *folder.glob(".tmp*")])


@contextlib.contextmanager
def run_lock(
    folder: Path,
    wait: Callable[[str], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """Hold the lock of a run's folder while the block runs.

    Files that a killed writer left half written are removed.

    Args:
        folder: The run's folder.
        wait: Told once whom this waits for; none is refused at once.
        stop: Asked while waiting; when true, waiting ends.

    Raises:
        RunLockedError: A live process holds it, and nobody waits or waiting was stopped.
    """
    path = folder / File.RUN_LOCK
    while not _take(path):
        if holder := _holder(path):
            held = f"{folder}: process {holder['pid']} on {holder['host']} still writes this run"
            if wait is None or stop():
                raise RunLockedError(f"{held}; wait for it to end, or stop it")
            wait(f"{held}; waiting for its end")
            while _holder(path) == holder and not stop():
                time.sleep(POLL_SECONDS)
        else:
            _bury(path)
    for left in half_written(folder):
        left.unlink(missing_ok=True)
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(path)

    thread = threading.Thread(target=beat, name="run-lock-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        path.unlink(missing_ok=True)


def held_by(folder: Path) -> dict[str, Any] | None:
    """The live process (``pid``, ``host``, ``started``) that writes the run; none if nobody."""
    return _holder(folder / File.RUN_LOCK)
