"""The images that a temperature is chosen for, in every form that they may have: one table of them.

The table is what the study file names, so the split, the labels and what was left out are there to
be read, and the harness needs nothing else.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from tausweep.data import trees
from tausweep.data.sources import SPLITS, entries
from tausweep.data.sources.entries import Entry
from tausweep.study import StudyError

TESTS = ("test", "val")
MOST = 20_000
"""Images that are used at most: more are seen too seldom in the time that people have."""
LEAST = 40
"""Training images: with fewer there is nothing to contrast with."""
_NAMED = 5


@dataclass(frozen=True)
class Images:
    """Images with their split.

    Attributes:
        folder: Where they lie.
        entries: Each has a split; sorted by split and path.
        notes: What was left out and how they were divided, in sentences.
        side: Median of their shorter sides in pixels.
    """

    folder: Path
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]
    side: float

    @property
    def classes(self) -> list[str]:
        """Names of the classes; empty without labels."""
        return sorted({e.label for e in self.entries if e.label is not None})

    @property
    def labelled(self) -> bool:
        """Whether the test images have labels, so that accuracies can be measured."""
        return any(e.label is not None for e in self.entries if e.split == "test")

    def count(self, split: str) -> int:
        """Number of images of a split."""
        return sum(entry.split == split for entry in self.entries)

    def table(self) -> str:
        """The CSV of a source of kind folder."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["path", "label", "split"])
        writer.writerows((e.path, e.label or "", e.split) for e in self.entries)
        return text.getvalue()


def read(given: Path, threads: int, say: Callable[[str], None]) -> Images:
    """Read images: list them, open each once, leave out a few that are damaged, and divide them.

    Args:
        given: A folder with ``train/<class>`` and ``test/<class>`` (or ``val``), with ``<class>``
            folders, or with images alone; or a CSV with the columns path, label and split, whose
            paths are relative to where it lies.
        threads: That open images.
        say: Told of progress.

    Raises:
        StudyError: There is no such input, it has too few images, many are damaged, or its labels
            and splits do not fit.
    """
    if not given.exists():
        raise StudyError(f"{given}: there is no such folder or CSV")
    folder = given if given.is_dir() else given.resolve().parent
    listed = _listed(given)
    notes = []
    used = _subset(listed, MOST)
    if len(used) < len(listed):
        notes.append(f"{len(used):,} of {len(listed):,} images are used, of each class its share")
    say(f"opening {len(used):,} images")
    whole, damaged, sides = _opened(folder, used, threads)
    if damaged:
        from tausweep.data import pictures

        notes.append(pictures.left_out(damaged, len(used)))
    divided = whole
    if any(entry.split is None for entry in whole):
        divided = entries.divided(whole, entries.digests(folder, [e.path for e in whole]))
        if not any(entry.split == "test" for entry in whole):
            notes.append(
                f"a fifth of the images{' of each class' if divided[0].label else ''} are test "
                "images, chosen by their content"
            )
    divided, lone = _without_lone(divided)
    notes += lone
    found = sorted(entries.checked(divided, given), key=lambda e: (e.split or "", e.path))
    images = Images(folder.resolve(), tuple(found), tuple(notes), median(sides))
    if images.count("train") < LEAST:
        raise StudyError(
            f"{given}: it has {images.count('train')} training images; {LEAST} or more are needed"
        )
    if len(images.classes) == 1:
        raise StudyError(
            f"{given}: all images have one class ({images.classes[0]}); two or more are needed, or "
            "none: put the images directly into one folder"
        )
    return images


def _listed(given: Path) -> list[Entry]:
    if given.is_file():
        found = entries.of_table(given)
        if lacking := [e.path for e in found if not (given.parent / e.path).is_file()]:
            raise StudyError(
                f"{given}: {len(lacking):,} of its {len(found):,} images are missing, the first is "
                f"{lacking[0]}; paths are relative to where the CSV lies"
            )
        return found
    there = trees.subfolders(given)
    tests = [name for name in TESTS if name in there]
    if "train" not in there:
        return entries.of_folder(given)
    # Without test images those of the only folder are divided.
    splits = [("train", "train"), (tests[0], "test")] if tests else [("train", None)]
    return [
        replace(entry, path=f"{name}/{entry.path}", split=split)
        for name, split in splits
        for entry in entries.of_folder(given / name)
    ]


def _subset(listed: Sequence[Entry], most: int) -> list[Entry]:
    """At most so many images, of each class and split its share; the same ones each time."""
    if len(listed) <= most:
        return list(listed)
    groups: dict[tuple[str | None, str | None], list[Entry]] = {}
    for entry in listed:
        groups.setdefault((entry.split, entry.label), []).append(entry)
    chosen: list[Entry] = []
    for group in groups.values():
        group.sort(key=lambda entry: hashlib.sha256(os.fsencode(entry.path)).digest())
        chosen += group[: max(2, round(most * len(group) / len(listed)))]
    return chosen


def reduced(images: Images, train: int) -> Images:
    """The same with about so many training images."""
    if images.count("train") <= train:
        return images
    total = images.count("train")
    chosen = _subset([e for e in images.entries if e.split == "train"], train)
    test = [e for e in images.entries if e.split == "test"]
    note = f"{len(chosen):,} of {total:,} training images are used, so that each is seen more often"
    return replace(images, entries=(*test, *chosen), notes=(*images.notes, note))


def _opened(
    folder: Path, listed: Sequence[Entry], threads: int
) -> tuple[list[Entry], list[str], list[int]]:
    """Images that can be decoded; sentences about the others; shorter sides in pixels."""
    from tausweep.data import pictures

    def side(entry: Entry) -> int | str:
        try:
            return min(pictures.read(folder / entry.path).size)
        except StudyError as error:
            return str(error)

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(side, listed))
    whole = [entry for entry, size in zip(listed, found, strict=True) if isinstance(size, int)]
    sides = [size for size in found if isinstance(size, int)]
    return whole, [size for size in found if isinstance(size, str)], sides or [0]


def _without_lone(divided: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """Without classes that have images in one split only: nothing could be measured of them."""
    counts = {
        split: Counter(e.label for e in divided if e.split == split and e.label is not None)
        for split in SPLITS
    }
    lone = sorted(set(counts["train"]) - set(counts["test"]))
    if not lone or not counts["test"]:
        return list(divided), []
    kept = [entry for entry in divided if entry.label not in lone]
    shown = ", ".join(lone[:_NAMED]) + (" ..." if lone[_NAMED:] else "")
    return kept, [f"{len(lone)} classes without test images are left out: {shown}"]
