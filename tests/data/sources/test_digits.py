"""The bundled digits: a fixed split, exact grey values, constants that fit them."""

import hashlib
from pathlib import Path

import numpy as np
import sklearn
from sklearn.datasets import load_digits

from pictures import array, each
from tausweep import data as datasets
from tausweep.data.sources import digits
from tausweep.study import Source

SOURCE = Source(kind="digits")


def test_split_is_1437_to_360_with_36_test_images_a_class() -> None:
    train, test = datasets.read(SOURCE, "train"), datasets.read(SOURCE, "test")
    assert (len(train.images), len(test.images)) == (1437, 360)
    assert np.bincount(test.labels).tolist() == [36] * 10
    assert train.classes == test.classes == [str(i) for i in range(10)]


def test_the_two_splits_are_the_whole_and_share_no_image() -> None:
    parts = [datasets.read(SOURCE, split) for split in ("train", "test")]
    ours = sorted(
        (int(label), image[..., 0].tobytes())
        for part in parts
        for image, label in zip(each(part.images), part.labels, strict=True)
    )
    bundle = load_digits()
    grey = np.rint(bundle.images * 255 / 16).astype(np.uint8)
    assert ours == sorted((int(t), g.tobytes()) for g, t in zip(grey, bundle.target, strict=True))


def test_grey_values_span_0_to_255_in_equal_channels() -> None:
    images = array(datasets.read(SOURCE, "train").images)
    assert set(np.unique(images)) == {round(value * 255 / 16) for value in range(17)}
    assert (images[..., 0] == images[..., 2]).all()


def test_fingerprint_is_the_digest_of_the_bundled_file() -> None:
    bundled = Path(sklearn.__file__).parent / "datasets" / "data" / "digits.csv.gz"
    assert datasets.fingerprint(SOURCE) == hashlib.sha256(bundled.read_bytes()).hexdigest()
    assert digits.fingerprint(SOURCE) == digits.SHA256
