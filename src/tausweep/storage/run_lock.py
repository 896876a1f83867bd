"""The lock of a run, so that it has one writer: a file with process, host and heartbeat.

If Snakemake is killed, its training process stays alive, so a second start must find out that the
run is still being written. On the same host it looks at the process itself. On another host (with a
cluster's shared folder) the heartbeat decides. A job that finds a live writer is refused, or waits
for it. The writer's results are the same to the byte, so a waiting job then has little or nothing
to do.
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
from tausweep.storage.links import NO_LINKS

HEARTBEAT_SECONDS = 10.0
POLL_SECONDS = 0.5
EMPTY_SECONDS = 1.0
"""How long a lock may be empty before it is damaged, where there are no hard links."""
STALE_SECONDS = 120.0
"""A lock of another host without a heartbeat for so long is taken over. This is far above the clock
skew and attribute caching of network file systems."""


class RunLockedError(RuntimeError):
    """Another live process is writing this run; the message names it."""


def _me(run: str) -> dict[str, Any]:
    process = psutil.Process()
    me = {"pid": process.pid, "host": platform.node(), "started": process.create_time()}
    return me | ({"run": run} if run else {})


def _holder(path: Path) -> dict[str, Any] | None:
    """The live process that holds the lock; or none."""
    try:
        text, beat = path.read_text(encoding="utf-8"), path.stat().st_mtime
        if not text and time.time() - beat < EMPTY_SECONDS:
            time.sleep(EMPTY_SECONDS)  # it is being written (see _claim)
            text, beat = path.read_text(encoding="utf-8"), path.stat().st_mtime
        holder: dict[str, Any] = json.loads(text)
    except FileNotFoundError:
        return None
    except ValueError:
        return None  # something else damaged it
    if holder["host"] != platform.node():
        return holder if time.time() - beat < STALE_SECONDS else None
    try:
        process = psutil.Process(holder["pid"])
        # Process ids are recycled; a pair of process id and start time is not.
        same = abs(process.create_time() - holder["started"]) < 1.0
        return holder if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _claim(mine: Path, path: Path) -> None:
    """Give a file a second name.

    Raises:
        FileExistsError: The name exists.
    """
    try:
        # link() fails if the name exists, even on network file systems. open(O_EXCL) leaves the
        # lock empty for an instant, so it is only for file systems without links.
        os.link(mine, path)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        with path.open("x", encoding="utf-8") as file:
            file.write(mine.read_text(encoding="utf-8"))


def _take(path: Path, run: str) -> bool:
    """Create the lock as a whole; false if another process already did."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    mine.write_text(json.dumps(_me(run)), encoding="utf-8")
    try:
        _claim(mine, path)
    except FileExistsError:
        return False
    finally:
        mine.unlink()
    return True


def _bury(path: Path) -> None:
    """Remove a stale lock, but put it back if it is no longer the stale one.

    Two processes may both find the lock stale; the slower one must not remove the lock of the
    faster one.
    """
    grave = path.with_name(f".{path.name}.stale.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        path.replace(grave)
        if _holder(grave):
            with contextlib.suppress(FileExistsError):
                _claim(grave, path)
        grave.unlink()


def half_written(folder: Path) -> list[Path]:
    """Files of a run that a killed process left half-written.

    Ours are named ``.NAME.PID.tmp``; safetensors first writes to ``.tmpXXXXXX``.
    """
    return sorted([*folder.glob(".*.tmp"), *folder.glob(".tmp*")])


@contextlib.contextmanager
def run_lock(
    folder: Path,
    wait: Callable[[str], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    *,
    run: str = "",
) -> Iterator[None]:
    """Hold the lock of a run's folder while the block runs.

    Files that a killed writer left half-written are removed.

    Args:
        folder: The run's folder.
        wait: Called once with the name of the process that this waits for; without it, a held lock
            is an error.
        stop: Asked while waiting; if true, waiting ends.
        run: What this process calls the run, for those who wait.

    Raises:
        RunLockedError: A live process holds the lock, and ``wait`` is none or waiting was stopped.
    """
    path = folder / File.RUN_LOCK
    while not _take(path, run):
        if holder := _holder(path):
            what = f"this run ({holder['run']})" if holder.get("run") else "this run"
            held = f"{folder}: process {holder['pid']} on {holder['host']} still writes {what}"
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
    """The live process (``pid``, ``host``, ``started``) that writes the run; or none."""
    return _holder(folder / File.RUN_LOCK)
