"""Another process that holds a lock until it is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def holder(code: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds what ``code`` takes of ``folder``; killed at the end if it still runs.

    Args:
        code: Python that uses ``folder``, and calls ``hold()`` once it has what it takes.
        folder: What is held.
    """
    program = f"""
import sys, time
from pathlib import Path
folder = Path(sys.argv[1])
def hold():
    print("held", flush=True)
    time.sleep(60)
{code}
"""
    command = [sys.executable, "-c", program, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process, and wait until it is gone."""
    process.kill()
    process.wait()
