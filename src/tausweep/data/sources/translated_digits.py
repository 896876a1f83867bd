"""scikit-learn's handwritten digits, each at a random place on a 12 x 12 canvas; no download.

The idea is that of "translated MNIST" (Mnih et al., Recurrent Models of Visual Attention, 2014,
sec. 4.1): if a digit can be anywhere, a linear classifier on pixels learns little, and an encoder
has to find the shape. The data is our own: the 1,797 bundled 8 x 8 digits in the split of
``digits``, on a black canvas with 25 possible places. Each digit keeps its place for all epochs and
seeds. Places are computed with integers only, so the bytes are the same on every machine.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tausweep.data.sources import SourceSplit, Split, digits

if TYPE_CHECKING:
    from tausweep.study import Source

SIDE = 12
"""Side of the canvas in pixels."""

PLACE_SEED = 0


def read(source: Source, split: Split) -> SourceSplit:
    """Read the training (1,437) or test (360) split; classes are ``0`` to ``9``."""
    import numpy as np

    found, rows = digits.chosen(split)
    small = np.asarray(found.images)
    height, width = small.shape[1:3]
    across = SIDE - width + 1
    # NumPy guarantees only the raw output of a bit generator to stay the same in all versions. It
    # is drawn for the whole bundle, so a digit's place depends only on its row there.
    keys = np.random.PCG64(PLACE_SEED).random_raw(int(digits.IMAGES))[rows]
    tops, lefts = np.divmod((keys % ((SIDE - height + 1) * across)).astype(np.int64), across)
    images = np.zeros((len(rows), SIDE, SIDE, 3), dtype=np.uint8)
    for image, digit, top, left in zip(images, small, tops, lefts, strict=True):
        image[top : top + height, left : left + width] = digit
    return SourceSplit(images, found.labels, found.classes)


def fingerprint(source: Source) -> str:
    """Digest of the bundled file and of the placement of its digits."""
    return hashlib.sha256(f"{digits.SHA256} {SIDE} {PLACE_SEED}".encode()).hexdigest()
