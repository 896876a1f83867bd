"""Image folders: ``train/<class>/`` and ``test/<class>/``, images at any depth below.

Classes are the sorted folder names; within a class, images are sorted by path. Left out are hidden
files and what may lie beside images (``trees.BESIDE``); other files are refused by name.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from tausweep.data import trees
from tausweep.data.sources import SPLITS, Look, SourceSplit, Split, root
from tausweep.study import StudyError

if TYPE_CHECKING:
    from tausweep.study import Source

_NAMES = {"train": "training", "test": "test"}


def read(source: Source, split: Split) -> SourceSplit:
    """List one split; its images are decoded when they are asked for.

    Raises:
        StudyError: No such folder, a missing or empty split or class, images outside of any class,
            or a class in the test split that the training split lacks.
    """
    import numpy as np

    from tausweep.data.pictures import Pictures

    place = root(source)
    classes = _classes(place)["train"]
    paths, labels = [], []
    for label, name in enumerate(classes):
        folder = place / split / name
        found = _images(folder) if split == "train" or folder.is_dir() else []
        paths += [folder / file.path for file in found]
        labels += [label] * len(found)
    return SourceSplit(Pictures(paths), np.array(labels, dtype=np.int64), classes)


def look(source: Source) -> Look:
    """See which images both splits have: a digest of relative paths and sizes, and their numbers.

    Raises:
        StudyError: As for ``read``.
    """
    place = root(source)
    classes = _classes(place)
    counts: dict[str, dict[str, int]] = {
        split: dict.fromkeys(classes["train"], 0) for split in SPLITS
    }
    files = []
    for split in SPLITS:
        for name in classes[split]:
            found = _images(place / split / name)
            counts[split][name] = len(found)
            files += [file._replace(path=f"{split}/{name}/{file.path}") for file in found]
    known = {path: (size, changed) for path, size, changed in files}
    return Look(trees.digest(files), known, counts)


def suffixes(source: Source) -> dict[str, int]:
    """How many images of both splits have each suffix, in lower case; the most frequent first.

    Raises:
        StudyError: As for ``read``.
    """
    counted = Counter(PurePath(path).suffix.lower() for path in look(source).files)
    return dict(counted.most_common())


def _classes(place: Path) -> dict[Split, list[str]]:
    """Class names of both splits, checked against each other."""
    if not place.is_dir():
        raise StudyError(f"source.path: there is no folder {place}")
    found: dict[Split, list[str]] = {}
    for split in SPLITS:
        folder = place / split
        if not folder.is_dir():
            there = ", ".join(trees.subfolders(place)) or "no folders"
            raise StudyError(
                f"{place}: the {_NAMES[split]} split is missing; it is expected in "
                f"{folder}/<class>/ (found: {there})"
            )
        if stray := trees.images(folder, deep=False):
            raise StudyError(f"{folder / stray[0].path}: an image must lie in a class's folder")
        found[split] = trees.subfolders(folder)
        if not found[split]:
            raise StudyError(f"{folder}: it is empty; a folder for each class is expected in it")
    for name in found["test"]:
        if name not in found["train"]:
            raise StudyError(
                f"{place}: class {name!r} is in the test split but not in the training split"
            )
    return found


def _images(folder: Path) -> list[trees.ListedFile]:
    found = trees.images(folder)
    if not found:
        raise StudyError(f"{folder}: it holds no image ({', '.join(trees.IMAGE_SUFFIXES)})")
    return found
