"""scikit-learn's handwritten digits, each at a place of its own on a 12 x 12 canvas; no download.

The idea is that of "translated MNIST" (Mnih et al., Recurrent Models of Visual Attention, 2014,
sec. 4.1): where a digit may stand anywhere, a linear classifier of the pixels sees little, and an
encoder has to find the shape. It is not that data set: these are the 1,797 bundled digits of 8 x 8
in the split of ``digits``, on a black canvas with room for 25 places, and a digit stays where it
was put once, for all epochs and seeds. Integers alone decide it, so the bytes are the same on
every machine.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tausweep.data.sources import SourceSplit, Split, digits

if TYPE_CHECKING:
    from tausweep.study import Source

SIDE = 12
"""Of the canvas in pixels."""

PLACE_SEED = 0


def read(source: Source, split: Split) -> SourceSplit:
    """Read the training (1,437) or test (360) split; classes are ``0`` to ``9``."""
    import numpy as np

    found, rows = digits.chosen(split)
    small = np.asarray(found.images)
    height, width = small.shape[1:3]
    across = SIDE - width + 1
    # Raw output of a bit generator is the one stream that numpy promises never to change. It is
    # drawn for the whole bundle, so that a digit's place is a function of its row there.
    keys = np.random.PCG64(PLACE_SEED).random_raw(int(digits.IMAGES))[rows]
    tops, lefts = np.divmod((keys % ((SIDE - height + 1) * across)).astype(np.int64), across)
    images = np.zeros((len(rows), SIDE, SIDE, 3), dtype=np.uint8)
    for image, digit, top, left in zip(images, small, tops, lefts, strict=True):
        image[top : top + height, left : left + width] = digit
    return SourceSplit(images, found.labels, found.classes)


def fingerprint(source: Source) -> str:
    """The digest of the bundled file and of how its digits are placed."""
    return hashlib.sha256(f"{digits.SHA256} {SIDE} {PLACE_SEED}".encode()).hexdigest()
