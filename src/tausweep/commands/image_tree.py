"""Read a folder of images to measure: with splits, with class folders, or flat."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

from tausweep.commands import embeddings_file
from tausweep.data import trees
from tausweep.study import StudyError

TRAIN = "train"
TESTS = ("test", "val")
"""Possible names of the split that is measured; the first that exists is used."""
PATHS = ("path", "file", "filename", "image")
"""Possible names of the column of paths in a file of labels."""


@dataclass(frozen=True)
class ImageTree:
    """Images and their classes.

    Attributes:
        paths: Paths of the n images that are measured.
        labels: Class of each, or none.
        train_paths: Paths of the training split, from which classifiers learn; empty without one.
        train_labels: Class of each.
    """

    paths: list[Path]
    labels: list[str] | None
    train_paths: list[Path]
    train_labels: list[str]

    def without(self, paths: Container[Path]) -> ImageTree:
        """It, without some of its images."""
        kept = [path not in paths for path in self.paths]
        kept_train = [path not in paths for path in self.train_paths]
        return ImageTree(
            list(compress(self.paths, kept)),
            None if self.labels is None else list(compress(self.labels, kept)),
            list(compress(self.train_paths, kept_train)),
            list(compress(self.train_labels, kept_train)),
        )


def read(folder: Path) -> ImageTree:
    """List the images of a folder, sorted by path.

    If there are ``train/<class>/`` and ``test/<class>/`` (or ``val``), the test images are
    measured. If there is only one split, or only ``<class>/`` folders, all images are measured.
    Images without class folders have no labels.

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
            f"{folder / loose[0].path}: images must be in class folders, or all of them "
            f"directly in {folder}"
        )
    for name in trees.subfolders(folder):
        found = [folder / name / file.path for file in trees.images(folder / name)]
        paths += found
        labels += [name] * len(found)
    if not paths:
        raise StudyError(f"{folder}: it has no images ({', '.join(trees.IMAGE_SUFFIXES)})")
    return paths, labels


def labelled(tree: ImageTree, folder: Path, table: Path, column: str | None) -> ImageTree:
    """The images of a flat folder for which a CSV file has labels.

    Args:
        tree: The images, without a training split.
        folder: Where its images lie.
        table: A CSV with a column of paths (``PATHS``), relative to the folder, and one of labels.
        column: Name of the column of labels; see ``embeddings_file.label_column``.

    Raises:
        StudyError: An image has no row, or a column is missing.
    """
    if tree.train_paths:
        raise StudyError(f"--labels: {folder} has its labels in its folders, train and test")
    content = embeddings_file.table_of(table)
    paths = next((name for name in PATHS if name in content.columns), None)
    if paths is None:
        raise StudyError(
            f"{table}: has no column {', '.join(PATHS)}; labels of images need their paths"
        )
    own = embeddings_file.label_column(
        [name for name in content.columns if name != paths], str(table), column
    )
    by_path = dict(zip(content[paths].astype(str), content[own], strict=True))
    names = [path.relative_to(folder).as_posix() for path in tree.paths]
    if lacking := [name for name in names if name not in by_path]:
        raise StudyError(
            f"{table}: {len(lacking):,} of {len(names):,} images of {folder} have no label, "
            f"{lacking[0]} first"
        )
    empty = [name for name in names if by_path[name] != by_path[name]]
    if empty:
        raise StudyError(f"{table}: the label of {empty[0]} is empty")
    return ImageTree(tree.paths, [str(by_path[name]) for name in names], [], [])
