"""Batched views against torchvision: the same operations, the same distributions."""

import colorsys
import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

import tolerance
from examples import examples
from tausweep.study import ViewSettings
from tausweep.views import colour, crop, rendering
from tausweep.views.parameters import HUE
from tausweep.views.rendering import ViewParameters

# A GPU machine has not got it.
reference = pytest.importorskip("torchvision.transforms.functional")
transforms = pytest.importorskip("torchvision.transforms")

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
# A hundredth of a level, which no one can see: the promise of the views, beside which rounding (at
# most tolerance.view(96, 9, 0.4)) is the smaller.
TINY = 0.01 / 255
# (x / 255 - mean) / std, or x times a factor and less a constant: four roundings at up to 1 / std.
NORMALISED = 4 * tolerance.eps(torch.float32) / min(STD)


def photographs(n: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Smooth colours with noise, saturated in places: uint8 n x height x width x 3."""
    random = torch.Generator().manual_seed(seed)
    smooth = torch.nn.functional.interpolate(
        torch.rand(n, 3, 4, 4, generator=random), (height, width), mode="bilinear"
    )
    noisy = 1.4 * smooth - 0.2 + 0.08 * torch.randn(n, 3, height, width, generator=random)
    return (noisy.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous()


def untouched(n: int, height: int, width: int, **changes: object) -> ViewParameters:
    """Parameters that leave images as they are, but for ``changes``."""
    still = ViewSettings(
        crop_scale=None,
        brightness=0,
        contrast=0,
        saturation=0,
        hue=0,
        grayscale=0,
        flip=False,
        blur_probability=0,
    )
    return dataclasses.replace(rendering.draw(still, height, width, n, 0, 0), **changes)


def pixels(rendered: Tensor) -> Tensor:
    """Undo the normalisation: B x 3 x S x S in [0, 1]."""
    return rendered * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]


def render(images: Tensor, parameters: ViewParameters, size: int, **options: bool) -> Tensor:
    return pixels(rendering.render(images, parameters, size, MEAN, STD, **options))


def one_by_one(
    images: Tensor, parameters: ViewParameters, size: int, pil: bool = False, antialias: bool = True
) -> Tensor:
    """The same views by torchvision, an image at a time, on float tensors or PIL images."""
    made = []
    for i, stored in enumerate(images):
        image = stored.permute(2, 0, 1)
        image = reference.to_pil_image(image) if pil else image.float() / 255
        p = parameters.take(slice(i, i + 1))
        box = (int(p.top), int(p.left), int(p.height), int(p.width))
        image = reference.resized_crop(image, *box, [size, size], antialias=antialias)
        if p.jitter:
            for operation in p.jitter_order[0].tolist():
                adjust = (
                    (reference.adjust_brightness, p.brightness),
                    (reference.adjust_contrast, p.contrast),
                    (reference.adjust_saturation, p.saturation),
                    (reference.adjust_hue, p.hue),
                )[operation]
                # ColorJitter leaves out a hue of strength 0; PIL's way over 8-bit HSV would not
                # be neutral.
                if operation != HUE or adjust[1] != 0:
                    image = adjust[0](image, float(adjust[1]))
        if p.grayscale:
            image = reference.rgb_to_grayscale(image, 3)
        if p.blur:
            kernel = crop.blur_kernel_size(size)
            image = reference.gaussian_blur(image, [kernel, kernel], [float(p.sigma)] * 2)
        if p.flip:
            image = reference.hflip(image)
        made.append(reference.to_tensor(image) if pil else image)
    return torch.stack(made)


EVERYTHING = ViewSettings(flip=True, blur_probability=0.5, jitter_probability=0.8)


# Operations equal torchvision's.

OPERATIONS = {
    "crop": {},
    "brightness": {"brightness": 0.4},
    "contrast": {"contrast": 0.4},
    "saturation": {"saturation": 0.4},
    "hue": {"hue": 0.4},
    "grayscale": {"grayscale": 1.0},
    "flip": {"flip": True},
    "blur": {"blur_probability": 1.0},
}


def only(operation: str) -> ViewSettings:
    off = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "grayscale": 0}
    scale = (0.2, 1.0) if operation == "crop" else None
    return ViewSettings(**({"crop_scale": scale, "flip": False} | off | OPERATIONS[operation]))


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


def test_without_antialias_a_shrinking_crop_equals_torchvision_without_it() -> None:
    images = photographs(20, 96, 96)
    parameters = rendering.draw(only("crop"), 96, 96, 20, 0, 0)
    ours = render(images, parameters, 32, antialias=False)
    theirs = one_by_one(images, parameters, 32, antialias=False)
    assert (ours - theirs).abs().max() <= TINY
    assert (ours - render(images, parameters, 32)).abs().max() > 10 / 255


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


# Both ways of computing.


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


# Randomness belongs to (seed, epoch, instance).


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


def test_the_draw_of_an_instance_does_not_depend_on_the_number_of_instances() -> None:
    few = rendering.draw(EVERYTHING, 32, 32, 10, 5, 6)
    assert same(few, rendering.draw(EVERYTHING, 32, 32, 1000, 5, 6).take(slice(10)))


def test_global_generators_are_neither_read_nor_moved() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    states = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first = rendering.draw(EVERYTHING, 32, 32, 50, 1, 1)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    torch.manual_seed(1)
    assert same(first, rendering.draw(EVERYTHING, 32, 32, 50, 1, 1))


def same(a: ViewParameters, b: ViewParameters) -> bool:
    return not differing(a, b)


def differing(a: ViewParameters, b: ViewParameters) -> set[str]:
    ours, theirs = a.tensors(), b.tensors()
    return {name for name in ours if not torch.equal(ours[name], theirs[name])}


def test_epochs_seeds_and_streams_differ() -> None:
    draws = [
        rendering.draw(EVERYTHING, 32, 32, 200, seed, epoch, stream)
        for seed, epoch, stream in [
            (1, 2, "train"), (2, 1, "train"), (1, 3, "train"), (12, 2, "train"), (1, 2, "linear"),
        ]
    ]  # fmt: skip
    for a, b in itertools.combinations(draws, 2):
        assert differing(a, b) == set(a.tensors())
        for name in ("brightness", "hue", "sigma"):
            assert abs(np.corrcoef(a.tensors()[name], b.tensors()[name])[0, 1]) < 0.3


def test_kinds_of_numbers_are_independent() -> None:
    p = rendering.draw(EVERYTHING, 224, 224, 4000, 0, 0).tensors()
    box = ("top", "left", "height", "width")  # among each other they are bound by geometry
    p["first operation"] = p.pop("jitter_order")[:, 0]
    correlation = np.corrcoef(torch.stack([value.double() for value in p.values()]))
    for (i, a), (j, b) in itertools.combinations(enumerate(p), 2):
        if not (a in box and b in box):
            assert abs(correlation[i, j]) < 0.08, (a, b)


FIELDS_OF_SETTING = {
    "crop_scale": ((0.5, 1.0), {"top", "left", "height", "width"}),
    "crop_ratio": ((0.5, 2.0), {"top", "left", "height", "width"}),
    "brightness": (0.8, {"brightness"}),
    "contrast": (0.8, {"contrast"}),
    "saturation": (0.8, {"saturation"}),
    "hue": (0.1, {"hue"}),
    "jitter_probability": (0.3, {"jitter"}),
    "grayscale": (0.7, {"grayscale"}),
    "flip": (False, {"flip"}),
    "blur_probability": (0.9, {"blur"}),
    "blur_sigma": ((0.5, 1.0), {"sigma"}),
}


@pytest.mark.parametrize("setting", ViewSettings.model_fields)
def test_a_setting_changes_the_draws_of_its_own_operation_only(setting: str) -> None:
    value, fields = FIELDS_OF_SETTING[setting]
    changed = EVERYTHING.model_copy(update={setting: value})
    a = rendering.draw(EVERYTHING, 32, 32, 300, 0, 0)
    assert differing(a, rendering.draw(changed, 32, 32, 300, 0, 0)) == fields


def test_64_copies_of_one_image_give_64_different_views() -> None:
    images = photographs(1, 32, 32).expand(64, -1, -1, -1)
    parameters = rendering.draw(ViewSettings(), 32, 32, 64, 0, 0)
    rendered = rendering.render(images, parameters, 32, MEAN, STD)
    assert len({view.numpy().tobytes() for view in rendered}) == 64


def test_flip_off_mirrors_nothing_and_on_mirrors_half() -> None:
    off = rendering.draw(ViewSettings(flip=False), 32, 32, 10_000, 0, 0).flip
    on = rendering.draw(ViewSettings(flip=True), 32, 32, 10_000, 0, 0).flip
    assert not off.any()
    assert stats.binomtest(int(on.sum()), 10_000).pvalue > 0.001


def test_the_streams_are_what_they_were() -> None:
    # Another generator or address here would silently change every number of every study.
    p = rendering.draw(EVERYTHING, 32, 32, 3, 0, 0)
    box = torch.stack([p.top, p.left, p.height, p.width], 1)
    assert rendering.order(8, 0, 0).tolist() == [7, 2, 0, 1, 3, 5, 4, 6]
    assert box.tolist() == [[9, 0, 19, 22], [0, 0, 30, 32], [6, 5, 26, 24]]
    assert p.jitter_order.tolist() == [[2, 3, 0, 1], [3, 1, 0, 2], [3, 2, 0, 1]]
    assert p.hue.tolist() == pytest.approx([0.1594, -0.227, -0.2231], abs=1e-4)
    assert p.sigma.tolist() == pytest.approx([1.6634, 0.4069, 0.5416], abs=1e-4)


# Order of an epoch.


def test_an_order_is_a_permutation_of_its_seed_and_epoch() -> None:
    orders = [rendering.order(500, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    for found in orders:
        assert found.dtype == torch.int64
        assert found.sort().values.tolist() == list(range(500))
    assert torch.equal(orders[0], rendering.order(500, 0, 0))
    for a, b in itertools.combinations(orders, 2):
        assert (a == b).sum() < 10


def test_every_place_of_an_order_is_equally_likely() -> None:
    first = [int(rendering.order(6, 0, epoch)[0]) for epoch in range(1200)]
    assert stats.chisquare(np.bincount(first, minlength=6)).pvalue > 0.001


# Distributions are torchvision's.


def torchvision_boxes(
    n: int, height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> np.ndarray:
    torch.manual_seed(0)
    image = torch.empty(3, height, width)
    get = transforms.RandomResizedCrop.get_params
    return np.array([get(image, list(scale), list(ratio)) for _ in range(n)])


def our_boxes(n: int, height: int, width: int, drawn: ViewSettings) -> np.ndarray:
    p = rendering.draw(drawn, height, width, n, 0, 0)
    return torch.stack([p.top, p.left, p.height, p.width], 1).numpy()


def same_counts(a: np.ndarray, b: np.ndarray) -> float:
    """The p-value of a chi-square test that two samples of integers are of one distribution."""
    table = np.array(
        [np.bincount(sample, minlength=max(a.max(), b.max()) + 1) for sample in (a, b)]
    )
    often = table.sum(0) >= 20
    table = np.column_stack([table[:, often], table[:, ~often].sum(1)])
    table = table[:, table.sum(0) > 0]
    return stats.chi2_contingency(table).pvalue if table.shape[1] > 1 else 1.0


def test_10000_crops_are_distributed_as_torchvision_draws_them() -> None:
    drawn = ViewSettings()
    ours = our_boxes(10_000, 32, 32, drawn)
    theirs = torchvision_boxes(10_000, 32, 32, drawn.crop_scale, drawn.crop_ratio)
    for side in range(4):
        assert same_counts(ours[:, side], theirs[:, side]) > 0.001
    assert stats.ks_2samp(ours[:, 2] * ours[:, 3], theirs[:, 2] * theirs[:, 3]).pvalue > 0.001
    assert stats.ks_2samp(ours[:, 3] / ours[:, 2], theirs[:, 3] / theirs[:, 2]).pvalue > 0.001
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, 0] + ours[:, 2] <= 32).all()
    assert (ours[:, 1] + ours[:, 3] <= 32).all()


def test_areas_and_ratios_of_10000_crops_are_within_their_ranges() -> None:
    # On images so large that rounding to pixels is below the margin.
    boxes = our_boxes(10_000, 2000, 2000, ViewSettings())
    area, ratio = boxes[:, 2] * boxes[:, 3] / 2000**2, boxes[:, 3] / boxes[:, 2]
    assert area.min() > 0.2 - 1e-3
    assert area.max() <= 1
    assert ratio.min() > 3 / 4 - 2e-3
    assert ratio.max() < 4 / 3 + 2e-3


@pytest.mark.parametrize(("height", "width"), [(12, 64), (64, 12), (20, 23)])
def test_where_boxes_seldom_fit_the_attempts_and_the_fallback_are_torchvisions(
    height: int, width: int
) -> None:
    drawn = ViewSettings(crop_scale=(0.22, 1.0), crop_ratio=(0.75, 1.25))
    ours = our_boxes(2500, height, width, drawn)
    theirs = torchvision_boxes(2500, height, width, drawn.crop_scale, drawn.crop_ratio)
    for side in range(4):
        assert same_counts(ours[:, side], theirs[:, side]) > 0.001


@pytest.mark.parametrize(
    ("height", "width", "ratio"),
    [(10, 100, (0.75, 1.33)), (100, 10, (0.75, 1.33)), (31, 8, (0.4, 0.9)), (9, 9, (2.0, 3.0))],
)
def test_the_fallback_is_torchvisions_central_crop(
    height: int, width: int, ratio: tuple[float, float]
) -> None:
    # So large a share of so narrow an image fits no allowed ratio: all ten attempts fail.
    drawn = ViewSettings(crop_scale=(0.99, 1.0), crop_ratio=ratio)
    theirs = torchvision_boxes(1, height, width, drawn.crop_scale, drawn.crop_ratio)
    assert (our_boxes(50, height, width, drawn) == theirs).all()


def test_images_of_different_sizes_get_boxes_of_their_own() -> None:
    heights, widths = torch.tensor([8, 300, 50]), torch.tensor([300, 8, 50])
    drawn = rendering.draw(ViewSettings(), heights, widths, 3, 0, 0)
    for i in range(3):
        alone = rendering.draw(ViewSettings(), int(heights[i]), int(widths[i]), 3, 0, 0)
        assert same(drawn.take(slice(i, i + 1)), alone.take(slice(i, i + 1)))


@pytest.mark.parametrize("strength", [0.4, 1.5])
def test_jitter_is_distributed_as_torchvision_draws_it(strength: float) -> None:
    hue = min(strength, 0.5)
    drawn = ViewSettings(brightness=strength, contrast=strength, saturation=strength, hue=hue)
    p = rendering.draw(drawn, 32, 32, 4000, 0, 0)
    theirs = transforms.ColorJitter(strength, strength, strength, hue)
    torch.manual_seed(0)
    ranges = (theirs.brightness, theirs.contrast, theirs.saturation, theirs.hue)
    sample = [theirs.get_params(*ranges) for _ in range(4000)]
    low, high = max(0, 1 - strength), 1 + strength
    for k, ours in enumerate((p.brightness, p.contrast, p.saturation, p.hue), start=1):
        start, stop = (-hue, hue) if k == 4 else (low, high)
        assert ours.min() >= np.float32(start)
        assert ours.max() <= np.float32(stop)
        assert stats.kstest(ours, stats.uniform(start, stop - start).cdf).pvalue > 0.001
        assert stats.ks_2samp(ours, [parameters[k] for parameters in sample]).pvalue > 0.001
    assert p.jitter.all()


def test_all_24_orders_of_jitter_are_equally_likely() -> None:
    orders = rendering.draw(ViewSettings(), 32, 32, 12_000, 0, 0).jitter_order
    found, counts = orders.unique(dim=0, return_counts=True)
    assert found.tolist() == [list(order) for order in itertools.permutations(range(4))]
    assert stats.chisquare(counts).pvalue > 0.001


def test_probabilities_and_the_blur_are_as_asked() -> None:
    p = rendering.draw(EVERYTHING, 32, 32, 10_000, 0, 0)
    for chosen, probability in ((p.jitter, 0.8), (p.grayscale, 0.2), (p.blur, 0.5)):
        assert stats.binomtest(int(chosen.sum()), 10_000, probability).pvalue > 0.001
    assert stats.kstest(p.sigma, stats.uniform(0.1, 1.9).cdf).pvalue > 0.001


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_probabilities_zero_and_one_are_certain(probability: float) -> None:
    drawn = ViewSettings(
        jitter_probability=probability, grayscale=probability, blur_probability=probability
    )
    p = rendering.draw(drawn, 32, 32, 2000, 0, 0)
    for chosen in (p.jitter, p.grayscale, p.blur):
        assert chosen.all() if probability else not chosen.any()


# The matrices.


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


# Without augmentation.


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


def test_a_central_share_is_the_centre_crop() -> None:
    images = photographs(3, 64, 64)
    expected = reference.center_crop(images.permute(0, 3, 1, 2) / 255, 56)
    found = pixels(rendering.plain(images, 56, MEAN, STD, central=0.875))
    assert (found - expected).abs().max() <= 4 * tolerance.eps(torch.float32)


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


# Wrong arguments.


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
    right = {
        "images": torch.zeros(4, 8, 8, 3, dtype=torch.uint8),
        "parameters": untouched(4, 8, 8),
        "size": 8,
        "mean": MEAN,
        "std": STD,
    }
    with pytest.raises(ValueError, match=named):
        rendering.render(**(right | change))


def test_wrong_arguments_of_a_draw_are_named() -> None:
    for change, named in (
        ({"n": -1}, "n: -1"),
        ({"seed": -1}, "seed: -1"),
        ({"epoch": -2}, "epoch: -2"),
        ({"height": 0}, "height: 0"),
        ({"width": torch.tensor([8, 8])}, "width"),
    ):
        right = {"height": 8, "width": 8, "n": 4, "seed": 0, "epoch": 0}
        with pytest.raises(ValueError, match=named):
            rendering.draw(ViewSettings(), **(right | change))
    with pytest.raises(ValueError, match="n: -1"):
        rendering.order(-1, 0, 0)


@pytest.mark.parametrize("central", [0.0, 1.1, math.nan])
def test_a_central_share_that_is_none_is_refused(central: float) -> None:
    with pytest.raises(ValueError, match="central"):
        rendering.plain(photographs(1, 8, 8), 8, MEAN, STD, central=central)
    with pytest.raises(ValueError, match=r"B x 3"):
        rendering.flip(photographs(1, 8, 8))
