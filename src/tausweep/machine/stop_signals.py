"""The signals that ask a job to save its state and end."""

from __future__ import annotations

import signal
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

COPY_SECONDS = 3.0
"""Where a command passes its signals on to this process, those of a kind within this time are one:
a terminal or scheduler that tells every process of a job reaches both."""

_copies = False


def expect_copies() -> None:
    """From now on a second signal may be a copy of the first (``COPY_SECONDS``)."""
    global _copies
    _copies = True


def catch(*, patient: bool) -> list[int]:
    """Catch the stop signals from now on.

    Args:
        patient: Whether to ignore a second signal; otherwise it ends the job at once, even within
            a call that Python cannot interrupt, unless it may be a copy. Jobs under torchrun are
            patient, because torchrun passes on a signal that the scheduler has already sent to
            every process.

    Returns:
        A list, empty at first, to which signals are added as they arrive.
    """
    arrived: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        if patient:
            return
        signal.signal(number, signal.SIG_IGN if _copies else signal.SIG_DFL)
        if _copies:
            signal.signal(signal.SIGALRM, over)
            signal.setitimer(signal.ITIMER_REAL, COPY_SECONDS)

    def over(number: int, frame: FrameType | None) -> None:
        for ignored in arrived:
            signal.signal(ignored, signal.SIG_DFL)

    for number in STOP_SIGNALS:
        signal.signal(number, handle)
    return arrived


def release() -> None:
    """Let the stop signals end the process at once again."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
