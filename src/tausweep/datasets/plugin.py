"""A user's own source: a Python file with ``read(source, split)``.

``source`` is the study's ``source`` mapping (``source.path``, ``source.options``), ``split`` is
``train`` or ``test``; what it returns has ``images``, ``labels`` and ``classes`` like
``tausweep.datasets.SourceSplit``. Images are PIL images of any mode or H x W x 3 uint8 arrays.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tausweep import plugins
from tausweep.datasets import trees
from tausweep.datasets.sources import SourceSplit, Split, root
from tausweep.study import StudyError

if TYPE_CHECKING:
    from tausweep.study import Source


def read(source: Source, split: Split) -> SourceSplit:
    """Run the plug-in's ``read``.

    Raises:
        StudyError: The file is missing, fails while it is imported, has no ``read``, or returns
            something without images, labels and classes; or its ``read`` raised.
    """
    path = str(source.module)
    given = plugins.function(path, "read", "source.module")(source, split)
    for part in ("images", "labels", "classes"):
        if not hasattr(given, part):
            raise StudyError(
                f"source.module: read of {path} returned a {type(given).__name__} without {part}"
            )
    return SourceSplit(given.images, given.labels, given.classes)


def fingerprint(source: Source) -> str:
    """Digest of the plug-in's code and options and, if it names a path, of the images there.

    Raises:
        StudyError: The file or the path is missing.
    """
    options = json.dumps(source.options, sort_keys=True, default=str)
    total = hashlib.sha256(_file(source).read_bytes() + b"\0" + options.encode())
    if source.path is not None:
        place = root(source)
        if place.is_file():
            total.update(b"%d" % place.stat().st_size)
        else:
            total.update(trees.digest(trees.images(place)).encode())
    return total.hexdigest()


def _file(source: Source) -> Path:
    path = Path(source.module or "").expanduser()
    if not path.is_file():
        raise StudyError(f"source.module: there is no file {path}")
    return path
