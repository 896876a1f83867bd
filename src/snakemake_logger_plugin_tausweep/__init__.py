"""The logger plug-in of ``snakemake --logger tausweep``, which shows how far a study is.

Snakemake finds it by the name of this package and imports it at every start. So the code that shows
progress is only imported if the plug-in is used.
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
        again: The command that the user should type to continue; none if Snakemake was started
            directly.
    """

    again: str | None = field(
        default=None,
        metadata={"help": "The command that the user types to continue the study", "type": str},
    )


class LogHandler(LogHandlerBase):
    """Hands Snakemake's records over to ``tausweep.commands.narration``.

    Records of a dry run are left to Snakemake's own log.
    """

    def __post_init__(self) -> None:
        """Start to show progress."""
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
        """Tell it about Ctrl-C, which Snakemake then handles as usual."""
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
        """Whether it writes to a stream; Snakemake's own log then does not."""
        return self._narration is not None

    @property
    def writes_to_file(self) -> bool:
        """False: it writes to no file."""
        return False

    @property
    def has_filter(self) -> bool:
        """True: it takes every record, even those that --quiet hides, to count jobs."""
        return True

    @property
    def has_formatter(self) -> bool:
        """True: it formats records itself."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """False: it needs no graph of the rules."""
        return False
