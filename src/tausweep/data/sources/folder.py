"""Image folders: ``train/<class>/`` and ``test/<class>/``, images at any depth below.

Classes are the sorted folder names; within a class, images are sorted by path. Hidden files and
files that are no images by their suffix (``trees.IMAGE_SUFFIXES``) are left out.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from tausweep.data import trees
from tausweep.data.sources import SPLITS, SourceSplit, Split, root
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


def fingerprint(source: Source) -> str:
    """Digest of the relative path and size of every image of both splits.

    Raises:
        StudyError: As for ``read``.
    """
    place = root(source)
    return trees.digest(
        trees.ListedFile(f"{split}/{name}/{file.path}", file.size)
        for split, names in _classes(place).items()
        for name in names
        for file in _images(place / split / name)
    )


def train_size(source: Source) -> int:
    """Number of images of the training split.

    Raises:
        StudyError: As for ``read``.
    """
    place = root(source)
    return sum(len(_images(place / "train" / name)) for name in _classes(place)["train"])


def class_counts(source: Source) -> dict[str, dict[str, int]]:
    """Number of images by split and class; a class that the test split lacks has 0 there.

    Raises:
        StudyError: As for ``read``.
    """
    place = root(source)
    classes = _classes(place)
    return {
        split: {
            name: len(_images(place / split / name)) if name in classes[split] else 0
            for name in classes["train"]
        }
        for split in SPLITS
    }


def suffixes(source: Source) -> dict[str, int]:
    """How many images of both splits have each suffix, in lower case; the most frequent first.

    Raises:
        StudyError: As for ``read``.
    """
    place = root(source)
    counted = Counter(
        PurePath(file.path).suffix.lower()
        for split, names in _classes(place).items()
        for name in names
        for file in _images(place / split / name)
    )
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
