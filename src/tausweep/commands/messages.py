"""What a command says on standard error, and the exception by which it fails with an exit code."""

from __future__ import annotations

import os
import sys


class CommandError(Exception):
    """A command fails: one sentence, and the exit code that it fails with.

    Attributes:
        code: The exit code; bad input is a ``StudyError`` instead.
    """

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


def say(line: str) -> None:
    """Print a line on standard error, at once."""
    print(line, file=sys.stderr, flush=True)


def say_error(sentence: str) -> None:
    """Print an error; of several processes of a run, all but the first say which one they are."""
    rank = int(os.environ.get("RANK", "0"))
    who = f", process {rank + 1}" if rank > 0 else ""
    print(f"tausweep{who}: error: {sentence}", file=sys.stderr)
