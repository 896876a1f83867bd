"""A user's own source: a Python file with ``read(source, split)``.

``source`` is the study's ``source`` mapping (``source.path``, ``source.options``), and ``split`` is
``train`` or ``test``. The result has ``images``, ``labels`` and ``classes`` like
``tausweep.data.SourceSplit``. Images are PIL images of any mode or H x W x 3 uint8 arrays.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep.data import trees
from tausweep.data.sources import Images, Look, SourceSplit, Split, root
from tausweep.study import StudyError, plugins
from tausweep.study.paths import expanded

if TYPE_CHECKING:
    from tausweep.study import Source

FIELD = "source.module"


def read(source: Source, split: Split) -> SourceSplit:
    """Run the plug-in's ``read``.

    Raises:
        StudyError: The file is missing, cannot be imported, or has no ``read``; or ``read`` raises
            an error or returns something without images, labels and classes. Access to an image
            can raise it too.
    """
    path = str(source.module)
    function = plugins.function(path, "read", FIELD)
    at = f"{FIELD}: {plugins.place(function, path)}"

    def parts() -> SourceSplit:
        given = function(source, split)
        for part in ("images", "labels", "classes"):
            if getattr(given, part, None) is None:
                raise StudyError(f"{at}: it returned a {type(given).__name__} without {part}")
        if not (hasattr(given.images, "__len__") and hasattr(given.images, "__getitem__")):
            kind = type(given.images).__name__
            raise StudyError(f"{at}: its images are a {kind}; a list of them is needed")
        if isinstance(given.classes, str):
            raise StudyError(f"{at}: its classes are a str; a list of names is needed")
        classes = [str(name) for name in given.classes]
        return SourceSplit(_Images(given.images, path), given.labels, classes)

    found: SourceSplit = plugins.guarded(parts, path, FIELD, defined=function)()
    return found


class _Images:
    """A plug-in's images; errors on access name the plug-in's file."""

    def __init__(self, images: Images, path: str) -> None:
        self._length = plugins.guarded(lambda: len(images), path, FIELD)
        self._image = plugins.guarded(lambda row: images[row], path, FIELD)

    def __len__(self) -> int:
        return int(self._length())

    def __getitem__(self, row: int) -> Any:
        return self._image(row)


def look(source: Source) -> Look:
    """Look at what a plug-in may read: a digest of its code, its options and the files at its path.

    All files at the path count, of any kind, because we cannot know which of them it reads.

    Raises:
        StudyError: The file or the path is missing.
    """
    options = json.dumps(source.options, sort_keys=True, default=str)
    total = hashlib.sha256(_file(source).read_bytes() + b"\0" + options.encode())
    files: dict[str, tuple[int, int]] = {}
    if source.path is not None:
        place = root(source)
        if place.is_file():
            status = place.stat()
            total.update(b"%d" % status.st_size)
            files["."] = status.st_size, status.st_mtime_ns
        else:
            found = trees.files(place)
            total.update(trees.digest(found).encode())
            files = {path: (size, changed) for path, size, changed in found}
    return Look(total.hexdigest(), files)


def _file(source: Source) -> Path:
    path = expanded(source.module or "", FIELD)
    if not path.is_file():
        raise StudyError(f"source.module: there is no file {path}")
    return path
