"""Messages of a command on standard error, and the exception for failing with an exit code."""

from __future__ import annotations

import os
import sys


class CommandError(Exception):
    """A command fails, with one sentence and an exit code. Bad input is a ``StudyError`` instead.

    Attributes:
        code: The exit code.
    """

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


def say(line: str) -> None:
    """Print a line on standard error, at once."""
    print(line, file=sys.stderr, flush=True)


def say_error(sentence: str) -> None:
    """Print an error; in a run of several processes, all but the first add their number."""
    rank = int(os.environ.get("RANK", "0"))
    who = f", process {rank + 1}" if rank > 0 else ""
    print(f"tausweep{who}: error: {sentence}", file=sys.stderr)
