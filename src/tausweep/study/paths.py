"""Paths as a study file names them."""

from __future__ import annotations

import errno
from pathlib import Path

from tausweep.study.errors import StudyError

_ABSENT = (errno.ENOENT, errno.ENOTDIR)


def expanded(text: str, field: str) -> Path:
    """A path with ``~`` and ``~user`` resolved; what lies there is for the caller to see.

    Args:
        text: As the study file has it.
        field: What it is called there, for the sentence of an error.

    Raises:
        StudyError: No path is written like that, or the system refuses to look at it: a part is too
            long, or a folder may not be searched.
    """
    if "\0" in text:
        raise StudyError(f"{field}: {text!r} is not allowed: no path has a zero byte")
    try:
        path = Path(text).expanduser()
        path.stat()
    except RuntimeError:
        raise StudyError(f"{field}: {text} is not allowed: there is no such user") from None
    except OSError as error:
        if error.errno not in _ABSENT:
            shown = text if len(text) < 200 else f"{text[:200]}..."
            raise StudyError(f"{field}: {shown} cannot be looked at: {error.strerror}") from None
    return path
