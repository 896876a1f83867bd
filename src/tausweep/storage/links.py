"""One file in two folders: a hard link, or a copy where there are no hard links.

Everything that is written replaces a file (``tausweep.storage.atomic``) and never changes one in
place, so what happens to one of the two names does not reach the other.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from tausweep.storage.atomic import replacing

NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""What systems say where there are no hard links: exFAT, some network folders, files of others."""

NOT_HERE = NO_LINKS | {errno.EXDEV, errno.EMLINK}
"""And where these two paths in particular cannot be linked: two disks, too many links."""


def link_or_copy(source: Path, target: Path) -> bool:
    """Give a file a second name; a file that has that name is replaced atomically.

    Returns:
        Whether it is a link.

    Raises:
        OSError: The source is missing, or the target's folder cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        os.link(source, temporary)
    except OSError as error:
        if error.errno not in NOT_HERE:
            raise
        copy(source, target)
        return False
    try:
        temporary.replace(target)
    finally:
        # If both are the same file already, the system leaves both names.
        temporary.unlink(missing_ok=True)
    return True


def copy(source: Path, target: Path) -> None:
    """Copy a file's content atomically; its time is now."""
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
