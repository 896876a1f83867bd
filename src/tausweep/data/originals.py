"""Images of their original sizes: encoded, one after the other in one file, read when asked for."""

from __future__ import annotations

import os
import weakref
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tausweep.storage.layout import File
from tausweep.study import StudyError

BYTES, HEIGHT, WIDTH = range(3)
"""Columns of ``<split>_sizes.npy``."""


class Originals:
    """Encoded images of one split; memory holds their sizes, never the images.

    They are read and not mapped: mapped pages count as the process's own memory, and a file that
    was cut short would end the process without a word.

    Attributes:
        path: The file.
        heights: N int64, pixels of the decoded images.
        widths: N int64, the same.
    """

    def __init__(self, path: Path, sizes: NDArray[np.int64]) -> None:
        """Open a file.

        Args:
            path: All images, without gaps.
            sizes: N x 3 int64: bytes, height, width.
        """
        self.path = path
        self.heights, self.widths = sizes[:, HEIGHT].copy(), sizes[:, WIDTH].copy()
        self._ends = np.cumsum(sizes[:, BYTES])
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)

    def __len__(self) -> int:
        return len(self._ends)

    def encoded(self, row: int) -> bytearray:
        """The encoded image ``row``; any number of threads may ask at a time.

        Raises:
            StudyError: The file was cut short since it was opened.
        """
        start = int(self._ends[row - 1]) if row else 0
        content = bytearray(int(self._ends[row]) - start)
        if os.preadv(self._descriptor, [content], start) != len(content):
            raise self.damaged(row, "the file ends before it")
        return content

    def damaged(self, row: int, what: str) -> StudyError:
        """The error that says what is wrong with an image."""
        return StudyError(
            f"{self.path}: image {row}: {what}; remove {self.path.parent / File.MANIFEST} and "
            "prepare the dataset again"
        )


class Sizes:
    """Collects the sizes of encoded images that pass through it on their way to the file."""

    def __init__(self) -> None:
        self._numbers = array("q")

    def noted(self, images: Iterable[tuple[bytes, int, int]]) -> Iterator[bytes]:
        """The encoded images alone.

        Args:
            images: Content, height and width of each.
        """
        for content, height, width in images:
            self._numbers.extend((len(content), height, width))
            yield content

    def table(self) -> NDArray[np.int64]:
        """N x 3 int64: bytes, height, width."""
        return np.array(self._numbers, dtype="<i8").reshape(-1, 3)
