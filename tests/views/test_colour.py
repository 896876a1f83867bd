"""Colour operations: hue over HSV, and the order in which jitter applies them."""

import colorsys
import itertools

import numpy as np
import pytest
import torch

import tolerance
from tausweep.views import colour
from view_problems import TINY, one_by_one, photographs, render, untouched

pytestmark = pytest.mark.numerical


def test_hue_equals_the_way_over_hsv_in_float64() -> None:
    random = np.random.default_rng(0)
    colours = random.integers(0, 6, (400, 3)) / 5  # ties, grays, black and white among them
    shifts = random.uniform(-0.5, 0.5, 400)
    planes = torch.tensor(colours.T[:, :, None], dtype=torch.float32)
    colour.shift_hue(planes, torch.tensor(shifts[:, None], dtype=torch.float32))
    for rgb, shift, ours in zip(colours, shifts, planes[:, :, 0].T, strict=True):
        h, s, v = colorsys.rgb_to_hsv(*rgb)
        # A sixth of the circle takes a channel from one end to the other, so the hue's rounding
        # (at up to 6 sixths, eight times) counts in full.
        allowed = 8 * 6 * tolerance.eps(torch.float32)
        expected = colorsys.hsv_to_rgb((h + shift) % 1, s, v)
        assert ours.tolist() == pytest.approx(expected, rel=0, abs=allowed)


def test_gray_and_black_pixels_survive_any_hue_shift() -> None:
    gray = torch.tensor([0.0, 1e-8, 0.3, 1 / 255, 1.0]).expand(3, 7, 5).clone()
    expected = gray.clone()
    colour.shift_hue(gray, torch.linspace(-0.5, 0.5, 7)[:, None])
    # No channel is apart from another, so there is nothing to shift: one rounding at most.
    tolerance.check(gray, expected, tolerance.eps(torch.float32))


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_drawn_order_is_the_order_of_application(order: tuple[int, ...]) -> None:
    images = photographs(4, 8, 8)
    parameters = untouched(
        4, 8, 8,
        brightness=torch.tensor([1.4, 0.6, 1.3, 1.0]),
        contrast=torch.tensor([0.6, 1.4, 1.2, 1.3]),
        saturation=torch.tensor([1.4, 1.4, 0.7, 0.6]),
        hue=torch.tensor([0.1, -0.4, 0.3, 0.0]),
        jitter_order=torch.tensor(order).expand(4, 4),
        jitter=torch.tensor([True, True, True, True]),
        may_jitter=True,
    )  # fmt: skip
    difference = render(images, parameters, 8) - one_by_one(images, parameters, 8)
    assert difference.abs().max() <= TINY
