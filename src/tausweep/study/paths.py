"""Paths as a study file names them."""

from __future__ import annotations

import errno
from pathlib import Path

from tausweep.study.errors import StudyError

_ABSENT = (errno.ENOENT, errno.ENOTDIR)


def expanded(text: str, field: str) -> Path:
    """A path with ``~`` and ``~user`` resolved; it need not exist.

    Args:
        text: The path as the study file has it.
        field: The field's name there, for error messages.

    Raises:
        StudyError: It is not a possible path, or the system refuses to look at it, because a part
            is too long or a folder may not be searched.
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
