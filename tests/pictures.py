"""Small image files that look like photographs: of many sizes, in the formats of the originals."""

import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tausweep.data.originals import Originals
from tausweep.data.pictures import Pictures
from tausweep.data.sources import Images, SourceSplit

SIZES = ((50, 37), (37, 50), (64, 64), (41, 90), (33, 33), (120, 81))
"""Width and height."""


def picture(seed: int, size: tuple[int, int]) -> Image.Image:
    """Smooth random colours, so that JPEG keeps them about right."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def tree(
    root: Path, per_class: int = 6, classes: tuple[str, ...] = ("ant", "bee"), scale: int = 1
) -> Path:
    """An image folder of JPEG files, test split included."""
    seed = 0
    for split, count in (("train", per_class), ("test", max(2, per_class // 2))):
        for name in classes:
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                width, height = SIZES[seed % len(SIZES)]
                image = picture(seed, (scale * width, scale * height))
                image.save(folder / f"{i:03}.jpg", quality=90)
                seed += 1
    return root


def images(folder: Path, counts: dict[str, int]) -> Path:
    """A split of an image folder: so many small files of each class."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (8, 8), (i, 0, 0)).save(folder / name / f"{i}.png")
    return folder


def array(images: object) -> NDArray[np.uint8]:
    """Images of one size, as the array that they are: N x H x W x 3."""
    assert isinstance(images, np.ndarray)
    return images


def originals(images: object) -> Originals:
    """Images as the originals that they are."""
    assert isinstance(images, Originals)
    return images


def each(images: Images) -> list[Any]:
    """Every image of a split, in order."""
    return [images[row] for row in range(len(images))]


def paths_of(split: SourceSplit) -> list[Path]:
    """Files of a split's images."""
    assert isinstance(split.images, Pictures)
    return list(split.images.paths)


needs_eight_bit_kernel = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT",
    reason="without AVX2 torch resizes 8-bit images by another kernel: levels differ by one",
)


SHARED = "TAUSWEEP_SHARED_DATA"
"""Environment variable: a folder with images of ImageNet, one a class of ImageNet100."""

needs_real_images = pytest.mark.skipif(SHARED not in os.environ, reason="needs the real images")


def real_tree(folder: Path) -> Path:
    """An image folder of real photographs, the same in both splits."""
    with tarfile.open(Path(os.environ[SHARED]) / "imagenet100_samples.tar.xz") as tar:
        tar.extractall(folder, filter="data")
    root = folder / "imagenet100_samples"
    shutil.copytree(root / "train", root / "test")
    return root
