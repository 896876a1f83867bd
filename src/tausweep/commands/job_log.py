"""Read the log of a job: how far its training is, whether it was stopped, what went wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_SIZE = re.compile(r"^\S+: ([\d,]+) images, (\d+) epochs$", re.MULTILINE)
_EPOCH = re.compile(r"^epoch (\d+)/(\d+) .*$", re.MULTILINE)
_SPEED = re.compile(r"([\d,]+) images/s")
_RESUMED = re.compile(r"^resumed at epoch (\d+), ", re.MULTILINE)
_INTERRUPTED = "tausweep: error: interrupted;"
_SAVED = re.compile(r"stopped and saved (?:at|after) [^;\n]*")


@dataclass(frozen=True)
class Training:
    """How far a run's training is, according to its log.

    Attributes:
        epoch: Epochs done.
        epochs: Epochs in total.
        resumed: Epochs that an earlier job had done.
        epoch_seconds: Mean duration of this job's epochs; none before the first has ended.
        images_per_second: Throughput of the last epoch.
    """

    epoch: int
    epochs: int
    resumed: int = 0
    epoch_seconds: float | None = None
    images_per_second: float | None = None

    def share(self, seconds: float) -> float:
        """Share of the training that is done, a given number of seconds after the last epoch's end.

        The current epoch is assumed to advance at the mean speed, and never counts as finished.
        """
        within = min(0.95, max(0.0, seconds) / self.epoch_seconds) if self.epoch_seconds else 0.0
        return min(1.0, (self.epoch + within) / self.epochs)


def read(path: Path) -> str:
    """The text of a log; empty if there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def progress(said: str) -> str:
    """The line of the last finished epoch in a log; empty before the first."""
    found = list(_EPOCH.finditer(said))
    return found[-1][0] if found else ""


def training(said: str) -> Training | None:
    """How far the training is, according to a log; none before it has begun."""
    size, resumed = _SIZE.search(said), _RESUMED.search(said)
    before = int(resumed[1]) - 1 if resumed else 0
    if lines := list(_EPOCH.finditer(said)):
        speeds = [_number(found[1]) for line in lines if (found := _SPEED.search(line[0]))]
        known = [speed for speed in speeds if speed > 0]
        # The mean over all epochs, because a single one depends on what else the machine was doing.
        average = sum(1 / speed for speed in known) / len(known) if known else None
        seconds = _number(size[1]) * average if size and average else None
        last = lines[-1]
        return Training(int(last[1]), int(last[2]), before, seconds, known[-1] if known else None)
    if size is None or int(size[2]) == 0:
        return None
    return Training(before, int(size[2]), before)


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def saved(said: str) -> str:
    """Where a stopped job saved its state: ``saved at epoch 3, step 2``; empty if it did not."""
    found = _SAVED.search(said)
    return found[0].removeprefix("stopped and ").strip() if found else ""


def stopped(said: str) -> bool:
    """Whether a job ended because it was told to: it saved its state, or it had none to save."""
    return bool(saved(said)) or _INTERRUPTED in said


def failed(said: str) -> bool:
    """Whether a log reports a failure; being stopped is not a failure."""
    error = "tausweep: error:" in said and not stopped(said)
    return error or "Traceback (most recent call last)" in said


def last_lines(said: str, count: int) -> tuple[str, ...]:
    """The last few lines that are not empty."""
    return tuple(line.rstrip() for line in said.splitlines() if line.strip())[-count:]
