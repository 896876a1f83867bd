"""The logger plug-in of ``snakemake --logger tausweep``, which shows how far a study is.

Snakemake finds it by the name of this package and imports it whenever it starts, so what shows
anything is imported only where it is asked for.
"""

import logging
import shlex
import signal
import sys
import threading
from dataclasses import dataclass, field
from types import FrameType
from typing import Optional

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase


# No annotation here is a string: Snakemake takes the types of flags from them, and reads Optional.
@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Flags of the plug-in.

    Attributes:
        again: The command that is named to go on with; by default the one that was given.
    """

    again: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata={"help": "The command to name for going on (this one)", "type": str},
    )


class LogHandler(LogHandlerBase):
    """Hands Snakemake's records over to ``tausweep.commands.narration``."""

    def __post_init__(self) -> None:
        """Begin to show; a dry run is Snakemake's own to show."""
        if self.common_settings.dryrun:
            return
        from tausweep.commands.narration import Narration

        assert self.settings is None or isinstance(self.settings, LogHandlerSettings)
        again = self.settings.again if self.settings is not None else None
        self._narration = Narration(sys.stdout, again or shlex.join(["snakemake", *sys.argv[1:]]))
        if threading.current_thread() is threading.main_thread():
            self._note_interrupts()

    def _note_interrupts(self) -> None:
        """Know of Ctrl-C, which Snakemake then handles as ever."""
        before = signal.getsignal(signal.SIGINT)

        def note(number: int, frame: FrameType | None) -> None:
            self._narration.stopping = True
            if callable(before):
                before(number, frame)

        if callable(before):
            signal.signal(signal.SIGINT, note)

    def emit(self, record: logging.LogRecord) -> None:
        """Show what a record says."""
        if self.common_settings.dryrun:
            return
        try:
            self._narration.take(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Say how it ended."""
        if not self.common_settings.dryrun:
            self._narration.end()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """Whether it writes to a stream, where Snakemake then does not."""
        return not self.common_settings.dryrun

    @property
    def writes_to_file(self) -> bool:
        """Whether it writes to a file."""
        return False

    @property
    def has_filter(self) -> bool:
        """It takes every record: what --quiet means for lines of jobs is not meant here."""
        return True

    @property
    def has_formatter(self) -> bool:
        """It formats for itself."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """It needs none."""
        return False
