"""Tolerance and the similarity between classes equal the means over their pairs."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import tolerance
from examples import examples
from points import clustered, gaussian, unit
from tausweep.measures import geometry

pytestmark = pytest.mark.numerical


@settings(max_examples=examples(25))
@given(
    n=st.integers(4, 40), d=st.integers(1, 9), classes=st.integers(2, 5), seed=st.integers(0, 99)
)
def test_class_sums_equal_the_means_over_pairs(n: int, d: int, classes: int, seed: int) -> None:
    x = gaussian(n, d, seed)
    labels = torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed))
    labels[:3] = torch.tensor([0, 0, 1])
    z, kinds = unit(x), labels.tolist()
    same: list[float] = []
    different: list[float] = []
    for i, j in itertools.permutations(range(n), 2):
        (same if kinds[i] == kinds[j] else different).append(float(z[i] @ z[j]))
    every = n * (n - 1)
    for found, expected, pairs in (
        (geometry.tolerance(x, labels), np.mean(same), len(same)),
        (geometry.tolerance_literal(x, labels), np.sum(same) / every, every),
        (geometry.interclass_similarity(x, labels), np.mean(different), len(different)),
    ):
        assert found == pytest.approx(expected, rel=0, abs=2 * tolerance.pair_mean(n, d, pairs))


def test_two_collapsed_classes_of_50() -> None:
    labels = torch.arange(100) // 50
    x = torch.eye(128)[labels]
    allowed = tolerance.pair_mean(100, 128, 4900)
    assert geometry.tolerance(x, labels) == pytest.approx(1.0, rel=0, abs=allowed)
    assert geometry.tolerance_literal(x, labels) == pytest.approx(0.4949, abs=5e-5)
    assert geometry.interclass_similarity(x, labels) == pytest.approx(0.0, abs=allowed)


def test_random_labels_have_no_tolerance() -> None:
    x = gaussian(500, 128)
    labels = torch.randint(10, (500,), generator=torch.Generator().manual_seed(1))
    for name in ("tolerance", "tolerance_literal", "interclass_similarity"):
        assert abs(getattr(geometry, name)(x, labels)) < 0.02


def test_tolerance_needs_a_pair_and_interclass_similarity_two_classes() -> None:
    x = gaussian(3, 4)
    with pytest.raises(ValueError, match="no class has two members"):
        geometry.tolerance(x, torch.tensor([4, 5, 6]))
    with pytest.raises(ValueError, match="a single class"):
        geometry.interclass_similarity(x, torch.tensor([4, 4, 4]))
    with pytest.raises(ValueError, match="allowed are 3 integers"):
        geometry.tolerance(x, torch.tensor([4, 4]))
    with pytest.raises(ValueError, match="allowed are 3 integers"):
        geometry.tolerance(x, torch.tensor([0.0, 1.0, 1.0]))


def nearest_of_others(x: Tensor, labels: Tensor, k: int) -> float:
    z, kinds = unit(x), labels.numpy()
    means = []
    for point, kind in zip(z, kinds, strict=True):
        others = np.sort([float(point @ other) for other in z[kinds != kind]])[::-1]
        means.append(np.mean(others[:k]))
    return float(np.mean(means))


@settings(max_examples=examples(25))
@given(
    n=st.integers(3, 40),
    d=st.integers(1, 9),
    k=st.integers(1, 50),
    classes=st.integers(2, 5),
    seed=st.integers(0, 99),
)
def test_nearest_of_other_classes_equal_the_sorted_similarities(
    n: int, d: int, k: int, classes: int, seed: int
) -> None:
    """Also where a point has fewer than k of other classes, and where similarities tie (d = 1)."""
    x = gaussian(n, d, seed, torch.float64)
    labels = torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed))
    labels[:2] = torch.tensor([0, 1])
    expected = nearest_of_others(x, labels, k)
    found = geometry.nearest_interclass_similarity(3 * x, 7 * labels - 2, k)
    assert found == pytest.approx(expected, abs=1e-12)
    # A float32 similarity of unit rows is off by d roundings at most.
    found = geometry.nearest_interclass_similarity(x.float(), labels, k)
    assert found == pytest.approx(expected, abs=(d + 4) * 2**-23)
    with_all = geometry.nearest_interclass_similarity(x, labels, n)
    if len(set(torch.bincount(labels).tolist())) == 1:
        assert with_all == pytest.approx(geometry.interclass_similarity(x, labels), abs=1e-12)


def test_blocks_of_anchors_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = clustered(300, 16, 3, 1.0)
    x = x.double()
    expected = nearest_of_others(x, labels, 10)
    for rows in (1, 7, 100, 256):
        monkeypatch.setattr(geometry, "rows_at_once", lambda n, device, rows=rows: rows)
        found = geometry.nearest_interclass_similarity(x, labels)
        assert found == pytest.approx(expected, abs=1e-13)


def test_nearest_of_other_classes_fall_where_their_mean_must_rise() -> None:
    """Issue of C15: around a mean of 0, tighter classes have the *lower* inter-class mean.

    Two antipodal classes: the mean is -tolerance, whatever the spread. Moved apart on a sphere of
    many dimensions, ten classes keep their mean at -tolerance / 9, and their neighbours tell.
    """
    centres = torch.eye(10) - 0.1
    labels = torch.arange(400) % 10
    noise = gaussian(400, 10, seed=5)
    noise -= torch.stack([noise[labels == c].mean(dim=0) for c in range(10)])[labels]
    mean, nearest, within = [], [], []
    for spread in (0.35, 0.2, 0.1):
        x = centres[labels] + spread * noise
        mean.append(geometry.interclass_similarity(x, labels))
        nearest.append(geometry.nearest_interclass_similarity(x, labels))
        within.append(geometry.tolerance(x, labels))
    assert within == sorted(within)
    np.testing.assert_allclose(mean, np.array(within) / -9, atol=0.005)
    assert nearest == sorted(nearest, reverse=True)
    assert nearest[0] - nearest[-1] > 0.2


def test_nearest_of_other_classes_has_its_limits_and_refuses() -> None:
    x, labels = gaussian(6, 4), torch.tensor([0, 0, 0, 1, 1, 1])
    same = x[:1].expand(6, 4)
    assert geometry.nearest_interclass_similarity(same, labels) == pytest.approx(1, abs=1e-6)
    poles = torch.cat([x[:1].expand(3, 4), -x[:1].expand(3, 4)])
    assert geometry.nearest_interclass_similarity(poles, labels) == pytest.approx(-1, abs=1e-6)
    with pytest.raises(ValueError, match="a single class"):
        geometry.nearest_interclass_similarity(x, torch.full((6,), 3))
    with pytest.raises(ValueError, match="k: 0 is not allowed"):
        geometry.nearest_interclass_similarity(x, labels, 0)
    with pytest.raises(ValueError, match="allowed are 6 integers"):
        geometry.nearest_interclass_similarity(x, labels[:5])
