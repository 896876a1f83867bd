"""Images at their original sizes: encoded, one after another in one file, read on demand."""

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
    """The encoded images of one split. Memory holds only their sizes, never the images.

    The file is read, not mapped into memory: mapped pages count as the process's own memory, and a
    truncated file would kill the process without a message.

    Attributes:
        path: The file.
        heights: N int64, heights of the decoded images in pixels.
        widths: N int64, their widths.
    """

    def __init__(self, path: Path, sizes: NDArray[np.int64]) -> None:
        """Open a file of images.

        Args:
            path: The file, with all images and no gaps.
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
        """The encoded image ``row``. Threads may call this at the same time.

        Raises:
            StudyError: The file was truncated after it was opened.
        """
        start = int(self._ends[row - 1]) if row else 0
        content = bytearray(int(self._ends[row]) - start)
        if os.preadv(self._descriptor, [content], start) != len(content):
            raise self.damaged(row, "the file ends before it")
        return content

    def damaged(self, row: int, what: str) -> StudyError:
        """An error that says what is wrong with an image."""
        return StudyError(
            f"{self.path}: image {row}: {what}; remove {self.path.parent / File.MANIFEST} and "
            "prepare the dataset again"
        )


class Sizes:
    """Collects the sizes of encoded images while they are written to a file."""

    def __init__(self) -> None:
        self._numbers = array("q")

    def noted(self, images: Iterable[tuple[bytes, int, int]]) -> Iterator[bytes]:
        """Yield the encoded images and note their sizes.

        Args:
            images: Content, height and width of each image.
        """
        for content, height, width in images:
            self._numbers.extend((len(content), height, width))
            yield content

    def table(self) -> NDArray[np.int64]:
        """N x 3 int64: bytes, height, width."""
        return np.array(self._numbers, dtype="<i8").reshape(-1, 3)
