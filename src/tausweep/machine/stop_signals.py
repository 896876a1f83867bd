"""The signals that ask a job to save its state and end."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType

from tausweep.machine.forkserver import SAME_SECONDS

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def catch(*, patient: bool) -> list[int]:
    """Catch the stop signals from now on.

    Args:
        patient: Whether to ignore a second signal; otherwise it ends the job at once, unless it
            comes within a second of the first, which is the same one sent twice. Jobs under
            torchrun are patient, because torchrun passes on a signal that the scheduler has already
            sent to every process.

    Returns:
        A list, empty at first, to which signals are added as they arrive.
    """
    arrived: list[int] = []
    first: dict[int, float] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if number not in first:
            first[number] = now
            arrived.append(number)
        elif not patient and now - first[number] >= SAME_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    for number in STOP_SIGNALS:
        signal.signal(number, handle)
    return arrived


def release() -> None:
    """Let the stop signals end the process at once again."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
