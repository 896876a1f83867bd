"""Translated digits: those of ``digits``, whole, each at one of 25 places, the same everywhere."""

import numpy as np
from numpy.typing import NDArray

from pictures import each
from tausweep import data as datasets
from tausweep.study import Source

SOURCE = Source(kind="translated_digits")


def squares(image: NDArray[np.uint8], side: int = 8) -> NDArray[np.uint8]:
    """Every side x side window of an image, by top and left."""
    return np.lib.stride_tricks.sliding_window_view(image[..., 0], (side, side))


def test_each_image_is_one_whole_digit_on_black() -> None:
    for split in ("train", "test"):
        plain, moved = datasets.read(Source(kind="digits"), split), datasets.read(SOURCE, split)
        assert moved.classes == plain.classes
        assert np.array_equal(moved.labels, plain.labels)
        for digit, image in zip(each(plain.images), each(moved.images), strict=True):
            assert image.shape == (12, 12, 3)
            assert (image[..., 0] == image[..., 2]).all()
            assert (squares(image) == digit[..., 0]).all((2, 3)).any()
            assert image.sum() == digit.sum()


def test_all_25_places_are_about_as_frequent_in_every_class() -> None:
    moved = datasets.read(SOURCE, "train")
    plain = datasets.read(Source(kind="digits"), "train").images
    places = np.zeros((10, 25), int)
    for digit, image, label in zip(each(plain), each(moved.images), moved.labels, strict=True):
        fits = (squares(image) == digit[..., 0]).all((2, 3)).ravel()
        # A digit with an empty column or row fits at two places or more; the share counts.
        places[label] += fits
    assert (places > 0).all()
    shares = places.sum(0) / places.sum()
    assert (abs(shares - 1 / 25) < 0.02).all()
