"""Crop, resize and blur as matrices."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tolerance
from examples import examples
from tausweep.views import crop, rendering
from view_problems import TINY, one_by_one, only, photographs, reference, render

pytestmark = pytest.mark.numerical


def test_without_antialias_a_shrinking_crop_equals_torchvision_without_it() -> None:
    images = photographs(20, 96, 96)
    parameters = rendering.draw(only("crop"), 96, 96, 20, 0, 0)
    ours = render(images, parameters, 32, antialias=False)
    theirs = one_by_one(images, parameters, 32, antialias=False)
    assert (ours - theirs).abs().max() <= TINY
    assert (ours - render(images, parameters, 32)).abs().max() > 10 / 255


@settings(max_examples=examples(60))
@given(
    extent=st.integers(1, 60),
    size=st.integers(1, 60),
    box=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    antialias=st.booleans(),
)
def test_weights_share_out_one_within_the_crop(
    extent: int, size: int, box: tuple[float, float], antialias: bool
) -> None:
    length = 1 + int(box[0] * (extent - 1))
    start = int(box[1] * (extent - length))
    found = crop.weights(
        torch.tensor([start]), torch.tensor([length]), extent, size, None, antialias
    )[0]
    assert (found >= 0).all()
    # Enlarged: two weights of distances between numbers up to the extent, each rounded there.
    # Shrunk: what was divided by its own sum, of up to that many terms.
    allowed = (4 * extent + 8) * tolerance.eps(torch.float32)
    assert found.sum(1).tolist() == pytest.approx([1] * size, rel=0, abs=allowed)
    assert found[:, :start].count_nonzero() == found[:, start + length :].count_nonzero() == 0
    if length == size:
        assert torch.equal(found[:, start : start + length], torch.eye(size))


def test_mirrored_weights_are_the_weights_mirrored() -> None:
    start, length = torch.tensor([3, 3]), torch.tensor([20, 20])
    found = crop.weights(start, length, 30, 12, torch.tensor([False, True]))
    # Positions up to 30, rounded on their way from either end.
    tolerance.check(found[0].flip(0), found[1], 4 * 30 * tolerance.eps(torch.float32))


@pytest.mark.parametrize(("size", "kernel"), [(16, 3), (32, 3), (64, 7), (96, 9), (224, 23)])
def test_the_blur_kernel_is_a_tenth_of_the_view_and_odd(size: int, kernel: int) -> None:
    assert crop.blur_kernel_size(size) == kernel


@pytest.mark.parametrize("size", [2, 5, 64])
def test_blur_reflects_at_the_edge_as_torchvision_does(size: int) -> None:
    planes = photographs(6, size, size).permute(3, 0, 1, 2) / 255
    sigma = torch.linspace(0.1, 2, 6)
    kernel = crop.blur_kernel_size(size)
    found = crop.blur(planes, sigma)
    for i in range(6):
        theirs = reference.gaussian_blur(planes[:, i], [kernel, kernel], [float(sigma[i])] * 2)
        # Two products of at most `kernel` pixels, whose weights are a normalised exponential.
        allowed = 2 * (
            2 * tolerance.summed(kernel, torch.float32) + 8 * tolerance.eps(torch.float32)
        )
        assert (found[:, i] - theirs).abs().max() <= allowed
