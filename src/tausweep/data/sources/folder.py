"""Image folders: ``train/<class>/`` and ``test/<class>/``, with images at any depth.

Classes are the sorted folder names; within a class, images are sorted by path. Hidden files and
files that may lie beside images (``trees.BESIDE``) are skipped; any other file is an error that
names it. Images without a split or without labels, and those of a table, are ``entries``.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from tausweep.data import trees
from tausweep.data.sources import (
    NO_LABEL,
    NO_LABEL_COUNT,
    SPLITS,
    Look,
    SourceSplit,
    Split,
    entries,
    root,
)
from tausweep.data.sources.entries import Entry
from tausweep.study import StudyError
from tausweep.study.paths import expanded

if TYPE_CHECKING:
    from tausweep.study import Source

_NAMES = {"train": "training", "test": "test"}


def read(source: Source, split: Split) -> SourceSplit:
    """List one split; its images are decoded on access.

    Raises:
        StudyError: The folder does not exist, a split or class is missing or empty, an image is
            outside the class folders, or the training split lacks a class of the test split.
    """
    import numpy as np

    from tausweep.data.pictures import Pictures

    place = root(source)
    if (listed := _entries(source)) is not None:
        return _of_entries(place, listed, split)
    classes = _classes(place)["train"]
    paths, labels = [], []
    for label, name in enumerate(classes):
        folder = place / split / name
        found = _images(folder) if split == "train" or folder.is_dir() else []
        paths += [folder / file.path for file in found]
        labels += [label] * len(found)
    return SourceSplit(Pictures(paths), np.array(labels, dtype=np.int64), classes)


def _entries(source: Source) -> list[Entry] | None:
    """The images of a table, or of a folder without splits; none of ``train`` and ``test``.

    Raises:
        StudyError: See ``entries``; or the folder is missing.
    """
    place = root(source)
    if not place.is_dir():
        raise StudyError(f"source.path: there is no folder {place}")
    if source.table is not None:
        return entries.of_table(expanded(source.table, "source.table"))
    if {*SPLITS} & {*trees.subfolders(place)}:
        return None
    return entries.of_folder(place)


def _of_entries(place: Path, listed: list[Entry], split: Split) -> SourceSplit:
    import numpy as np

    from tausweep.data.pictures import Pictures

    undivided = any(entry.split is None for entry in listed)
    contents = entries.digests(place, [e.path for e in listed]) if undivided else []
    divided = entries.divided(listed, contents) if undivided else listed
    classes = sorted({e.label for e in entries.checked(divided, place) if e.label is not None})
    code = {name: i for i, name in enumerate(classes)} | {None: NO_LABEL}
    own = [entry for entry in divided if entry.split == split]
    labels = np.array([code[entry.label] for entry in own], dtype=np.int64)
    return SourceSplit(Pictures([place / entry.path for entry in own]), labels, classes)


def _look(source: Source, listed: list[Entry]) -> Look:
    """Of entries; which undivided images are test images is not known without reading them."""
    place, files = root(source), []
    for entry in listed:
        try:
            status = (place / entry.path).stat()
        except OSError as error:
            raise StudyError(f"{place / entry.path}: {error.strerror}") from None
        # Label and split decide the prepared data too, so they are part of what was seen.
        named = f"{entry.split or ''}/{entry.label or ''}/{entry.path}"
        files.append(trees.ListedFile(named, status.st_size, status.st_mtime_ns))
    known = {e.path: (f.size, f.changed) for e, f in zip(listed, files, strict=True)}
    if any(entry.split is None for entry in listed):
        return Look(trees.digest(files), known)
    entries.checked(listed, source.table or place)
    names = sorted({e.label for e in listed if e.label is not None})
    counts: dict[str, dict[str, int]] = {split: dict.fromkeys(names, 0) for split in SPLITS}
    for entry in listed:
        of_split, name = counts[str(entry.split)], entry.label or NO_LABEL_COUNT
        of_split[name] = of_split.get(name, 0) + 1
    return Look(trees.digest(files), known, counts)


def look(source: Source) -> Look:
    """List the images of both splits: a digest of relative paths and sizes, and numbers by class.

    Raises:
        StudyError: As for ``read``.
    """
    place = root(source)
    if (listed := _entries(source)) is not None:
        return _look(source, listed)
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
    """Number of images by suffix (lower case) in both splits, most frequent first.

    Raises:
        StudyError: As for ``read``.
    """
    counted = Counter(PurePath(path).suffix.lower() for path in look(source).files)
    return dict(counted.most_common())


def _classes(place: Path) -> dict[Split, list[str]]:
    """Class names of both splits, after checking them against each other."""
    if not place.is_dir():
        raise StudyError(f"source.path: there is no folder {place}")
    found: dict[Split, list[str]] = {}
    for split in SPLITS:
        folder = place / split
        if not folder.is_dir():
            there = ", ".join(trees.subfolders(place)) or "no folders"
            raise StudyError(
                f"{place}: the {_NAMES[split]} split is missing; it should be in "
                f"{folder}/<class>/ (found: {there})"
            )
        if stray := trees.images(folder, deep=False):
            raise StudyError(f"{folder / stray[0].path}: an image must be in a class folder")
        found[split] = trees.subfolders(folder)
        if not found[split]:
            raise StudyError(f"{folder}: it is empty; it should have a folder for each class")
    for name in found["test"]:
        if name not in found["train"]:
            raise StudyError(
                f"{place}: class {name!r} is in the test split but not in the training split"
            )
    return found


def _images(folder: Path) -> list[trees.ListedFile]:
    found = trees.images(folder)
    if not found:
        raise StudyError(f"{folder}: it has no image ({', '.join(trees.IMAGE_SUFFIXES)})")
    return found
