"""Batched views against torchvision: the same pixels, in any batch, by either way."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tolerance
from examples import examples
from tausweep.study import ViewSettings
from tausweep.views import crop, rendering
from view_problems import (
    EVERYTHING,
    MEAN,
    OPERATIONS,
    STD,
    TINY,
    one_by_one,
    only,
    photographs,
    pixels,
    reference,
    render,
    untouched,
)

pytestmark = pytest.mark.numerical


# (x / 255 - mean) / std, or x times a factor and less a constant: four roundings at up to 1 / std.
NORMALISED = 4 * tolerance.eps(torch.float32) / min(STD)


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_equals_torchvision_on_float_tensors(operation: str, masks: bool) -> None:
    images = photographs(50, 32, 32)
    parameters = rendering.draw(only(operation), 32, 32, 50, 1, 2)
    difference = render(images, parameters, 32, by_masks=masks) - one_by_one(images, parameters, 32)
    assert difference.abs().max() <= TINY


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "blur"])
def test_each_operation_is_within_two_levels_of_pil(operation: str) -> None:
    images = photographs(50, 32, 32)
    parameters = rendering.draw(only(operation), 32, 32, 50, 1, 2)
    difference = render(images, parameters, 32) - one_by_one(images, parameters, 32, pil=True)
    levels = difference.abs() * 255
    if operation == "flip":
        assert levels.max() <= 255 * tolerance.eps(torch.float32)
    elif operation == "hue":
        assert levels.mean() <= 2
    else:
        assert levels.max() <= 2


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize(("stored", "size"), [(32, 32), (96, 32), (40, 56), (28, 15)])
def test_whole_views_equal_torchvision_on_float_tensors(
    stored: int, size: int, masks: bool
) -> None:
    images = photographs(100, stored, stored)
    parameters = rendering.draw(EVERYTHING, stored, stored, 100, 3, 4)
    difference = render(images, parameters, size, by_masks=masks) - one_by_one(
        images, parameters, size
    )
    assert difference.abs().max() <= TINY


def test_whole_views_are_near_pil() -> None:
    images = photographs(100, 32, 32)
    parameters = rendering.draw(ViewSettings(flip=True), 32, 32, 100, 3, 4)
    difference = render(images, parameters, 32) - one_by_one(images, parameters, 32, pil=True)
    assert difference.abs().mean() * 255 < 2.5


@settings(max_examples=examples(40))
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    size=st.integers(1, 40),
    seed=st.integers(0, 2**31 - 1),
    low=st.floats(0.01, 1),
    strength=st.floats(0, 1.5),
    hue=st.floats(0, 0.5),
    masks=st.booleans(),
)
def test_any_view_of_any_image_equals_torchvision(
    height: int, width: int, size: int, seed: int, low: float, strength: float, hue: float,
    masks: bool,
) -> None:  # fmt: skip
    drawn = ViewSettings(
        crop_scale=(low, 1.0),
        crop_ratio=(0.5, 2.0),
        brightness=strength,
        contrast=strength,
        saturation=strength,
        hue=hue,
        jitter_probability=0.7,
        grayscale=0.3,
        flip=True,
        blur_probability=0.5 if size > 3 else 0.0,
    )
    images = torch.randint(
        0, 256, (8, height, width, 3), dtype=torch.uint8,
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    parameters = rendering.draw(drawn, height, width, 8, seed, 0)
    ours = render(images, parameters, size, by_masks=masks)
    kernel = crop.blur_kernel_size(size)
    # The last to touch a pixel may be a resize, a blur, or the normalisation that is undone here.
    rounded = tolerance.view(max(height, width), kernel, 0, torch.float32)
    assert ours.min() >= -rounded
    assert ours.max() <= 1 + rounded
    allowed = 2 * tolerance.view(max(height, width), kernel, strength)
    assert (ours - one_by_one(images, parameters, size)).abs().max() <= allowed


def test_ranges_and_masks_give_the_same_numbers() -> None:
    images = photographs(200, 32, 32)
    parameters = rendering.draw(EVERYTHING, 32, 32, 200, 0, 0)
    ranges = rendering.render(images, parameters, 32, MEAN, STD, by_masks=False)
    masks = rendering.render(images, parameters, 32, MEAN, STD, by_masks=True)
    # The same operations on the same pixels, normalised by a deviation of at least min(STD); a
    # division by a constant may be a product in one of them.
    assert (ranges - masks).abs().max() <= 8 * tolerance.eps(torch.float32) / min(STD)


def test_masks_never_wait_for_a_value_of_the_device() -> None:
    # Tensors of the meta device have no values: reading one raises.
    images = torch.empty(7, 40, 40, 3, dtype=torch.uint8, device="meta")
    parameters = rendering.draw(EVERYTHING, 40, 40, 7, 0, 0).to("meta")
    rendered = rendering.render(images, parameters, 32, MEAN, STD)
    assert rendered.shape == (7, 3, 32, 32)
    with pytest.raises((NotImplementedError, RuntimeError)):
        rendering.render(images, parameters, 32, MEAN, STD, by_masks=False)


def test_reduced_precision_of_training_leaves_views_alone() -> None:
    images = photographs(20, 96, 96)
    parameters = rendering.draw(EVERYTHING, 96, 96, 20, 0, 0)
    expected = rendering.render(images, parameters, 32, MEAN, STD)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", torch.bfloat16):
            rendered = rendering.render(images, parameters, 32, MEAN, STD)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert rendered.dtype == torch.float32
    assert torch.equal(rendered, expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_views_of_the_cpu_and_is_never_waited_for() -> None:
    images = photographs(200, 96, 96)
    parameters = rendering.draw(EVERYTHING, 96, 96, 200, 0, 0)
    expected = rendering.render(images, parameters, 32, MEAN, STD)
    images, parameters = images.cuda(), parameters.to("cuda")
    rendering.render(images, parameters, 32, MEAN, STD)
    torch.cuda.synchronize()
    before = torch.backends.cuda.matmul.fp32_precision
    try:
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        torch.cuda.set_sync_debug_mode("error")
        with torch.autocast("cuda", torch.bfloat16):
            rendered = rendering.render(images, parameters, 32, MEAN, STD)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.backends.cuda.matmul.fp32_precision = before
    allowed = 2 * tolerance.view(96, crop.blur_kernel_size(32), 0.4) / min(STD)
    assert (rendered.cpu() - expected).abs().max() <= allowed


@pytest.mark.parametrize("size", [32, 21])
def test_the_view_of_an_instance_does_not_depend_on_its_batch(size: int) -> None:
    images = photographs(300, 32, 32)
    parameters = rendering.draw(EVERYTHING, 32, 32, 300, 5, 6)
    whole = rendering.render(images, parameters, size, MEAN, STD)
    shuffled = rendering.order(300, 5, 6)
    for batch in (1, 7, 64, 128, 300):
        for index in shuffled.split(batch)[:40]:
            part = rendering.render(images[index], parameters.take(index), size, MEAN, STD)
            assert torch.equal(part, whole[index])


def test_views_do_not_depend_on_the_number_of_threads() -> None:
    images = photographs(150, 32, 32)
    parameters = rendering.draw(EVERYTHING, 32, 32, 150, 5, 6)
    before = torch.get_num_threads()
    rendered = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            rendered.append(rendering.render(images, parameters, 32, MEAN, STD))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*rendered)


def test_64_copies_of_one_image_give_64_different_views() -> None:
    images = photographs(1, 32, 32).expand(64, -1, -1, -1)
    parameters = rendering.draw(ViewSettings(), 32, 32, 64, 0, 0)
    rendered = rendering.render(images, parameters, 32, MEAN, STD)
    assert len({view.numpy().tobytes() for view in rendered}) == 64


def test_a_view_that_changes_nothing_is_the_plain_image() -> None:
    images = photographs(10, 24, 24)
    rendered = rendering.render(images, untouched(10, 24, 24), 24, MEAN, STD)
    difference = rendered - rendering.plain(images, 24, MEAN, STD)
    assert difference.abs().max() <= NORMALISED


def test_plain_images_are_normalised_and_nothing_else() -> None:
    images = photographs(300, 24, 24)
    expected = reference.normalize(images.permute(0, 3, 1, 2) / 255, MEAN, STD)
    assert (rendering.plain(images, 24, MEAN, STD) - expected).abs().max() <= NORMALISED


@pytest.mark.parametrize(("height", "width"), [(40, 40), (51, 40), (12, 9)])
def test_plain_images_of_another_size_are_the_central_square_resized(
    height: int, width: int
) -> None:
    images = photographs(5, height, width)
    square = reference.center_crop(images.permute(0, 3, 1, 2) / 255, min(height, width))
    expected = reference.resize(square, [24, 24], antialias=True)
    assert (pixels(rendering.plain(images, 24, MEAN, STD)) - expected).abs().max() <= TINY


def test_flip_mirrors_and_undoes_itself() -> None:
    shown = rendering.plain(photographs(5, 24, 24), 24, MEAN, STD)
    assert torch.equal(rendering.flip(shown), reference.hflip(shown))
    assert torch.equal(rendering.flip(rendering.flip(shown)), shown)


def test_results_are_float32_in_channels_last_memory() -> None:
    images = photographs(5, 24, 24)
    shown = rendering.plain(images, 24, MEAN, STD)
    rendered = rendering.render(images, untouched(5, 24, 24), 24, MEAN, STD)
    for result in (shown, rendered, rendering.flip(shown)):
        assert result.dtype == torch.float32
        assert result.is_contiguous(memory_format=torch.channels_last)


def test_no_images_give_no_views() -> None:
    images = torch.empty(0, 8, 8, 3, dtype=torch.uint8)
    parameters = rendering.draw(EVERYTHING, 8, 8, 0, 0, 0)
    assert rendering.render(images, parameters, 8, MEAN, STD).shape == (0, 3, 8, 8)
    assert rendering.plain(images, 8, MEAN, STD).shape == (0, 3, 8, 8)


def test_stored_images_are_only_read() -> None:
    images = photographs(5, 24, 24)
    before = images.clone()
    rendering.render(images, rendering.draw(EVERYTHING, 24, 24, 5, 0, 0), 24, MEAN, STD)
    rendering.plain(images, 24, MEAN, STD)
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"images": torch.zeros(4, 8, 8, 3)}, "images"),
        ({"images": torch.zeros(4, 3, 8, 8, dtype=torch.uint8)}, "images"),
        ({"images": torch.zeros(5, 8, 8, 3, dtype=torch.uint8)}, "parameters"),
        ({"images": torch.zeros(4, 7, 8, 3, dtype=torch.uint8)}, "crop box"),
        ({"images": torch.zeros(4, 8, 7, 3, dtype=torch.uint8)}, "crop box"),
        ({"size": 0}, "size"),
        ({"mean": (0.5,)}, "mean"),
        ({"std": (0.5, 0.0, 0.5)}, "std"),
    ],
)
def test_wrong_arguments_of_a_view_are_named(change: dict[str, object], named: str) -> None:
    right: dict[str, Any] = {
        "images": torch.zeros(4, 8, 8, 3, dtype=torch.uint8),
        "parameters": untouched(4, 8, 8),
        "size": 8,
        "mean": MEAN,
        "std": STD,
    }
    with pytest.raises(ValueError, match=named):
        rendering.render(**(right | change))


def test_what_is_flipped_has_channels_first() -> None:
    with pytest.raises(ValueError, match=r"B x 3"):
        rendering.flip(photographs(1, 8, 8))
