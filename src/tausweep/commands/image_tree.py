"""A folder of images to be measured: split, in class folders, or flat."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tausweep.data import trees
from tausweep.study import StudyError

TRAIN = "train"
TESTS = ("test", "val")
"""Names of the split that is measured, the first that is there."""


@dataclass(frozen=True)
class ImageTree:
    """Images and their classes.

    Attributes:
        paths: Of the n images that are measured.
        labels: Class of each, or none.
        train_paths: Of the training split, which classifiers learn from; empty without one.
        train_labels: Class of each.
    """

    paths: list[Path]
    labels: list[str] | None
    train_paths: list[Path]
    train_labels: list[str]


def read(folder: Path) -> ImageTree:
    """List the images of a folder, sorted by path.

    ``train/<class>/`` and ``test/<class>/`` (or ``val``): the test images are measured. One of them
    alone, or ``<class>/`` folders: all images are. Images without folders have no labels.

    Raises:
        StudyError: There is no such folder, it has no image, or images lie beside class folders.
    """
    if not folder.is_dir():
        raise StudyError(f"--images {folder}: there is no such folder")
    there = trees.subfolders(folder)
    tests = [name for name in TESTS if name in there]
    if TRAIN in there and tests:
        paths, labels = _classes(folder / tests[0])
        train_paths, train_labels = _classes(folder / TRAIN)
        return ImageTree(paths, labels, train_paths, train_labels)
    if there in ([TRAIN], *([name] for name in TESTS)):
        return ImageTree(*_classes(folder / there[0]), [], [])
    loose = [folder / file.path for file in trees.images(folder, deep=False)]
    if not there and loose:
        return ImageTree(loose, None, [], [])
    return ImageTree(*_classes(folder), [], [])


def _classes(folder: Path) -> tuple[list[Path], list[str]]:
    paths: list[Path] = []
    labels: list[str] = []
    if loose := trees.images(folder, deep=False):
        raise StudyError(
            f"{folder / loose[0].path}: an image must lie in a class's folder, or all of them "
            f"directly in {folder}"
        )
    for name in trees.subfolders(folder):
        found = [folder / name / file.path for file in trees.images(folder / name)]
        paths += found
        labels += [name] * len(found)
    if not paths:
        raise StudyError(f"{folder}: it holds no image ({', '.join(trees.SUFFIXES)})")
    return paths, labels
