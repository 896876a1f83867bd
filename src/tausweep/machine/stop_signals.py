"""The signals that ask a job to save its state and end."""

from __future__ import annotations

import signal
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def catch(*, patient: bool) -> list[int]:
    """Catch the stop signals from now on.

    Args:
        patient: Whether to ignore a second signal; otherwise it ends the job at once. Jobs under
            torchrun are patient, because torchrun passes on a signal that the scheduler has already
            sent to every process.

    Returns:
        A list, empty at first, to which signals are added as they arrive.
    """
    arrived: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        if not patient:
            signal.signal(number, signal.SIG_DFL)

    for number in STOP_SIGNALS:
        signal.signal(number, handle)
    return arrived


def release() -> None:
    """Let the stop signals end the process at once again."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
