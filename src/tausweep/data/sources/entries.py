"""Images that do not lie in ``train/<class>`` and ``test/<class>``: listed, labelled and split.

They are listed by a CSV, lie in ``<class>`` folders without a split, or lie side by side without
labels. What has no split is divided by content: within each class the fifth of the images with the
lowest SHA-256 are test images. So the division depends on the images alone, not on their names or
order, and byte-identical copies of an image are on the same side of it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from tausweep.data import trees
from tausweep.study import StudyError, did_you_mean

TEST_SHARE = 0.2
"""Of the images of each class, where nothing says which are test images."""

PATHS = ("path", "file", "filename", "image")
LABELS = ("label", "labels", "class", "y")
SPLIT = "split"
"""Names of the columns of a table, the first that is there."""

_SPLITS = {"train": "train", "training": "train", "test": "test", "val": "test", "valid": "test",
           "validation": "test"}  # fmt: skip
_FILES = 64


@dataclass(frozen=True)
class Entry:
    """An image of a folder.

    Attributes:
        path: Relative to the folder, with ``/``.
        label: Name of its class; none if it has no label.
        split: ``train`` or ``test``; none if it is still to be divided.
    """

    path: str
    label: str | None = None
    split: str | None = None


def of_table(table: Path) -> list[Entry]:
    """The images that a CSV lists, in its order.

    Raises:
        StudyError: It cannot be read, lacks a column of paths, lists an image twice or outside the
            folder, or has an unknown split.
    """
    try:
        text = table.read_text(encoding="utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StudyError(f"{table}: cannot be read as a CSV: {reason}") from None
    columns = [name for name in (rows[0] if rows else {}) if name is not None]
    paths = next((name for name in PATHS if name in columns), None)
    if paths is None:
        raise StudyError(
            f"{table}: it needs rows with a column path, and may have label and split; it has "
            f"{', '.join(columns) or 'no rows'}"
        )
    labels = next((name for name in LABELS if name in columns), None)
    found: dict[str, Entry] = {}
    for line, row in enumerate(rows, start=2):
        entry = Entry(
            _inside(row[paths] or "", table, line),
            (row[labels] or "").strip() or None if labels else None,
            _split(row.get(SPLIT) or "", table, line),
        )
        if entry.path in found:
            raise StudyError(f"{table}, line {line}: {entry.path} is listed twice")
        found[entry.path] = entry
    return list(found.values())


def _inside(path: str, table: Path, line: int) -> str:
    """A path of a table in one spelling."""
    named = PurePosixPath(path.strip().replace(os.sep, "/"))
    if not named.parts or named.is_absolute() or ".." in named.parts:
        raise StudyError(
            f"{table}, line {line}: the path {path!r} is not allowed; it should be relative to the "
            "folder of the images, and inside it"
        )
    return str(named)


def _split(given: str, table: Path, line: int) -> str | None:
    word = given.strip().lower()
    if word and word not in _SPLITS:
        raise StudyError(
            f"{table}, line {line}: the split {given!r} is not allowed; it should be train or "
            f"test{did_you_mean(word, _SPLITS)}"
        )
    return _SPLITS[word] if word else None


def of_folder(folder: Path) -> list[Entry]:
    """The images of ``<class>`` folders, or those directly in a folder, without labels.

    Raises:
        StudyError: There is no image, or images lie beside class folders.
    """
    loose = [Entry(file.path) for file in trees.images(folder, deep=False)]
    classes = trees.subfolders(folder)
    if loose and classes:
        raise StudyError(
            f"{folder / loose[0].path}: an image must lie in a class's folder, or all of them "
            f"directly in {folder}"
        )
    entries = loose or [
        Entry(f"{name}/{file.path}", name)
        for name in classes
        for file in trees.images(folder / name)
    ]
    if not entries:
        raise StudyError(f"{folder}: it holds no image ({', '.join(trees.IMAGE_SUFFIXES)})")
    return entries


def divided(entries: Sequence[Entry], contents: Sequence[str]) -> list[Entry]:
    """The entries, each with a split; those that had one keep it.

    Where nothing is a test image yet, the rest is divided as the module says; else it is training
    images. So are images without a label beside others that have one.

    Args:
        entries: Of one folder.
        contents: A digest of each one's file.
    """
    some = any(entry.label is not None for entry in entries)
    tested = any(entry.split == "test" for entry in entries)
    members: dict[str | None, list[int]] = {}
    for row, entry in enumerate(entries):
        if entry.split is None and not tested and (entry.label is not None or not some):
            members.setdefault(entry.label, []).append(row)
    test = set()
    for rows in members.values():
        rows.sort(key=lambda row: (contents[row], entries[row].path))
        count = test_count(len(rows))
        while 0 < count < len(rows) and contents[rows[count - 1]] == contents[rows[count]]:
            count += 1
        test.update(rows[:count])
    return [
        entry if entry.split else replace(entry, split="test" if row in test else "train")
        for row, entry in enumerate(entries)
    ]


def test_count(count: int) -> int:
    """How many of the images of a class are test images; copies of the last one come on top."""
    return min(count - 1, max(1, round(TEST_SHARE * count))) if count > 1 else 0


def digests(folder: Path, paths: Iterable[str]) -> list[str]:
    """SHA-256 of files.

    Raises:
        StudyError: One cannot be read.
    """

    def digest(path: str) -> str:
        try:
            with (folder / path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise StudyError(f"{folder / path}: {error.strerror}") from None

    names = list(paths)
    parts = [names[start : start + _FILES] for start in range(0, len(names), _FILES)]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return [d for part in pool.map(lambda part: [digest(p) for p in part], parts) for d in part]


def checked(entries: Sequence[Entry], where: object) -> list[Entry]:
    """The entries, if both splits have images and labels fit.

    Raises:
        StudyError: A split is empty; some test images have labels and others none; labels are those
            of test images alone; or a class has test images alone.
    """
    for split in ("train", "test"):
        if not any(entry.split == split for entry in entries):
            raise StudyError(f"{where}: it has no {split} image; both splits need some")
    train = {entry.label for entry in entries if entry.split == "train"}
    test = {entry.label for entry in entries if entry.split == "test"}
    if None in test and len(test) > 1:
        first = next(e.path for e in entries if e.split == "test" and e.label is None)
        raise StudyError(
            f"{where}: the test image {first} has no label and others have; label all test images "
            "or none"
        )
    if lacking := sorted(label for label in test - train if label is not None):
        raise StudyError(
            f"{where}: class {lacking[0]!r} is in the test split but not in the training split"
        )
    return list(entries)
