"""scikit-learn's bundled handwritten digits: 1,797 images of 8 x 8, no download.

They come without splits. Our fixed test split is 36 images of each class, chosen with seed 0 (360);
the other 1,437 are the training split. Grey values 0..16 become 0..255 (rounded half to even), in
three equal channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tausweep.data.sources import SourceSplit, Split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tausweep.study import Source

SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
"""Digest of the file ``digits.csv.gz`` in scikit-learn."""

IMAGES = 1_797
TEST_IMAGES = 360
SPLIT_SEED = 0


def read(source: Source, split: Split) -> SourceSplit:
    """Read the training (1,437) or test (360) split; classes are ``0`` to ``9``."""
    return chosen(split)[0]


def chosen(split: Split) -> tuple[SourceSplit, NDArray[np.int64]]:
    """A split, and the rows of its images in the bundle, ascending."""
    import numpy as np
    from sklearn.datasets import load_digits

    from tausweep.data.subset import balanced

    bundle = load_digits()
    classes = [str(name) for name in bundle.target_names]
    labels = bundle.target.astype(np.int64)
    test = balanced(labels, classes, TEST_IMAGES, SPLIT_SEED, "test split of digits")
    rows = test if split == "test" else np.setdiff1d(np.arange(len(labels)), test)
    grey = np.rint(bundle.images[rows] * (255 / 16)).astype(np.uint8)
    return SourceSplit(np.repeat(grey[..., None], 3, axis=3), labels[rows], classes), rows


def fingerprint(source: Source) -> str:
    """The digest of the bundled file."""
    return SHA256
