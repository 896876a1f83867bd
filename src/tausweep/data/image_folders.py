"""Images of any source as folders of PNG files, which any program can read."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tausweep.data.pictures import as_image
from tausweep.data.sources import SPLITS, SourceSplit, Split
from tausweep.study import StudyError

DIGITS = 4
"""Fewest digits of an image's number, so that the order of names is that of the source."""


def write(read: Callable[[Split], SourceSplit], folder: Path) -> dict[Split, int]:
    """Write ``folder/<split>/<class>/<number>.png`` for every image of both splits.

    Numbers count the images of a class in the source's order, from 0. PNG keeps every pixel. The
    folder appears when it is complete: until then it is ``<folder>.part``, which a later call
    replaces.

    Args:
        read: Gives a split.
        folder: Must not exist.

    Returns:
        How many images each split has.

    Raises:
        StudyError: The folder exists; or see ``read``.
    """
    if folder.exists() or folder.is_symlink():
        raise StudyError(f"{folder}: is there already; remove it, or choose another folder")
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    written: dict[Split, int] = {}
    for split in SPLITS:
        found = read(split)
        counts: Counter[int] = Counter()
        digits = max(DIGITS, len(str(len(found.labels))) - 1)
        for name in found.classes:
            (part / split / name).mkdir(parents=True)
        for place, label in enumerate(found.labels):
            number = counts[label]
            path = part / split / found.classes[label] / f"{number:0{digits}}.png"
            as_image(found.images[place]).save(path)
            counts[label] += 1
        written[split] = len(found.labels)
    part.rename(folder)
    return written
