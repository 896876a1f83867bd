"""The logger plug-in of ``snakemake --logger tausweep``, which shows how far a study is.

Snakemake finds it by the name of this package and imports it whenever it starts, so what shows
anything is imported only where it is asked for.
"""

from __future__ import annotations

import logging
import shlex
import signal
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

if TYPE_CHECKING:
    from tausweep.commands.narration import Narration


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Flags of the plug-in.

    Attributes:
        again: The command that started Snakemake, named to go on with; none if it was started as
            itself.
    """

    again: str | None = field(
        default=None,
        metadata={"help": "The command that starts Snakemake, named to go on with", "type": str},
    )


class LogHandler(LogHandlerBase):
    """Hands Snakemake's records over to ``tausweep.commands.narration``.

    Not those of a dry run, which Snakemake shows as ever.
    """

    def __post_init__(self) -> None:
        """Begin to show."""
        self._undo = ExitStack()
        self._narration: Narration | None = None
        if self.common_settings.dryrun:
            return
        from tausweep.commands.narration import Narration

        again = self.settings.again if isinstance(self.settings, LogHandlerSettings) else None
        self._narration = Narration(
            sys.stdout,
            again or shlex.join(["snakemake", *sys.argv[1:]]),
            supervised=again is not None,
        )
        if threading.current_thread() is threading.main_thread():
            self._note_interrupts(self._narration)

    def _note_interrupts(self, narration: Narration) -> None:
        """Let it know of Ctrl-C, which Snakemake then handles as ever."""
        before = signal.getsignal(signal.SIGINT)
        if not callable(before):
            return

        def note(number: int, frame: FrameType | None) -> None:
            narration.stopping = True
            before(number, frame)

        signal.signal(signal.SIGINT, note)
        self._undo.callback(signal.signal, signal.SIGINT, before)

    def emit(self, record: logging.LogRecord) -> None:
        """Show what a record says."""
        if self._narration is not None:
            try:
                self._narration.take(record)
            except Exception:
                self.handleError(record)

    def close(self) -> None:
        """Say how it ended."""
        if self._narration is not None:
            self._narration.end()
        self._undo.close()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """Whether it writes to a stream, where Snakemake then does not."""
        return self._narration is not None

    @property
    def writes_to_file(self) -> bool:
        """It writes to no file."""
        return False

    @property
    def has_filter(self) -> bool:
        """It takes every record, also those that --quiet hides: jobs are counted by them."""
        return True

    @property
    def has_formatter(self) -> bool:
        """It formats for itself."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """It needs no graph of the rules."""
        return False
