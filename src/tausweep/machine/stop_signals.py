"""The signals that ask a job to save its state and end."""

from __future__ import annotations

import signal
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def catch(*, patient: bool) -> list[int]:
    """Catch the stop signals from now on.

    Args:
        patient: Whether to go on waiting after the second signal too. Otherwise it ends the job at
            once. Under torchrun a job is patient: torchrun passes on the signal that a scheduler
            already sent to every process.

    Returns:
        The signals in the order in which they arrive. The list is empty now and grows.
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
