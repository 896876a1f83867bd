"""Real pixels without a download: small patches of scikit-learn's two photographs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images

from tausweep.data.prepared import Prepared

CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def patches(count: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """``count`` x size x size x 3 uint8, cut at random places."""
    photographs = load_sample_images().images
    draw = np.random.default_rng(seed)
    cut = np.empty((count, size, size, 3), np.uint8)
    for patch, which in zip(cut, draw.integers(len(photographs), size=count), strict=True):
        photograph = photographs[which]
        top, left = (draw.integers(side - size) for side in photograph.shape[:2])
        patch[...] = photograph[top : top + size, left : left + size]
    return cut


def prepared(count: int, size: int, classes: int = 10) -> Prepared:
    """Patches as prepared data, with labels that mean nothing."""
    images = patches(min(count, 5000), size)
    images = np.resize(images, (count, size, size, 3))
    labels = np.arange(count, dtype=np.int64) % classes
    return Prepared(
        train_images=images,
        train_labels=labels,
        test_images=images[:classes],
        test_labels=labels[:classes],
        classes=[str(i) for i in range(classes)],
        mean=CIFAR_MEAN,
        std=CIFAR_STD,
        digest="patches",
        manifest={},
    )
