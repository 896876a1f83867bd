"""Parameters of views are distributed as torchvision draws them."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from tausweep.study import ViewSettings
from tausweep.views import rendering
from view_problems import same

pytestmark = pytest.mark.numerical


transforms = pytest.importorskip("torchvision.transforms")


def torchvision_boxes(
    n: int, height: int, width: int, scale: tuple[float, float] | None, ratio: tuple[float, float]
) -> np.ndarray:
    assert scale is not None
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
