"""A study's progress on a terminal: lines that stay, and a progress bar below them.

If the output is not a terminal there is no bar, but now and then a line says how far the study is.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tausweep.commands.cost import hours
from tausweep.commands.study_progress import Running, Snapshot

REFRESHES = 2.0
"""Refreshes of the bar per second."""

QUIET_SECONDS = 300.0
"""Without a bar, a line says how far the study is after so many seconds without output."""

LISTED = 8
"""Most running jobs that are listed below the bar; the others are only counted."""


class ProgressDisplay:
    """What a user sees of a study that runs.

    Args:
        stream: Where to print.
        now: Gives the current state of the study.
    """

    def __init__(self, stream: TextIO, now: Callable[[], Snapshot]) -> None:
        self._now = now
        self.console = Console(file=stream, highlight=False, markup=False, emoji=False)
        # Do not ask the console: with FORCE_COLOR it takes a file for a terminal.
        self.moves = stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown", None)
        self.stopping = False
        self._started = False
        self._live: Live | None = None
        self._told, self._ended = threading.Event(), threading.Event()

    def start(self) -> None:
        """Show progress from now on."""
        if self._started or self._ended.is_set():
            return
        self._started = True
        if self.moves:
            self._live = Live(
                console=self.console,
                get_renderable=lambda: bar(self._now(), self.stopping),
                refresh_per_second=REFRESHES,
                transient=True,
            )
            self._live.start()
        else:
            threading.Thread(target=self._remind, name="progress", daemon=True).start()

    def say(self, line: str, style: str = "") -> None:
        """Print a line that stays. It is not wrapped, so that paths can be copied."""
        self._told.set()
        self.console.print(Text(line, style), soft_wrap=True)

    def say_page(self, text: str) -> None:
        """Print sentences and tables; on a terminal, sentences are wrapped between words."""
        for line in text.splitlines():
            sentence = self.moves and "  " not in line
            self.console.print(Text(line), soft_wrap=not sentence)

    def stop(self) -> None:
        """Remove the bar; lines may still be printed."""
        self._ended.set()
        self._told.set()
        if self._live is not None:
            self._live.stop()

    def _remind(self) -> None:
        """Print how far the study is whenever nothing was printed for a while."""
        while not self._ended.is_set():
            if self._told.wait(QUIET_SECONDS):
                self._told.clear()
            else:
                now = self._now()
                running = "; ".join(_running(job) for job in now.running[:LISTED])
                self.console.print(Text(f"  {summary(now)}; {running}"), soft_wrap=True)


def bar(now: Snapshot, stopping: bool = False) -> RenderableType:
    """The bar, what it means in words, and the running jobs below it."""
    head = Table.grid(padding=(0, 1), expand=True)
    head.add_column(ratio=1)
    head.add_column(no_wrap=True)
    said = "stopping: running jobs save their state" if stopping else summary(now)
    head.add_row(ProgressBar(total=1.0, completed=now.share), Text(said))
    lines = [
        Text(f"  {_running(job)}", "dim", no_wrap=True, overflow="ellipsis")
        for job in now.running[:LISTED]
    ]
    if (more := len(now.running) - LISTED) > 0:
        lines.append(Text(f"  and {more} more", "dim"))
    return Group(head, *lines)


def summary(now: Snapshot) -> str:
    """How far a study is, in words: share of the work, runs, time left."""
    if not now.runs and not now.running:
        return "planning"
    parts = [f"{now.share:4.0%}"]
    if now.runs:
        parts.append(f"{now.finished} of {now.runs} runs")
    if now.seconds_left is not None and now.running:
        parts.append(f"{hours(now.seconds_left)} left")
    return ", ".join(parts)


def _running(job: Running) -> str:
    """The run that a job belongs to, and what the job is doing."""
    training = job.training
    if training is None:
        return f"{job.run}  {job.rule}".strip()
    if training.epoch == training.epochs:
        return f"{job.run}  epoch {training.epoch}/{training.epochs}, now measured"
    said = f"{job.run}  epoch {training.epoch}/{training.epochs}"
    if training.images_per_second:
        said += f"  {training.images_per_second:,.0f} images/s"
    return said
