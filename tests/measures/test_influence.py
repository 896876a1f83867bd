"""Influence values: they are the jackknife's, and the intervals from them cover the truth."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from points import clustered, gaussian
from tausweep.measures import estimate, geometry, influence
from tausweep.measures.influence import GROUPS, Values

pytestmark = pytest.mark.numerical


Value = Callable[[Tensor, Tensor], float]
Moves = Callable[[Tensor, Tensor], Values]


def gap(x: Tensor, labels: Tensor) -> float:
    return geometry.tolerance(x, labels) - geometry.interclass_similarity(x, labels)


MEASURES: dict[str, tuple[Value, Moves]] = {
    "uniformity": (lambda x, _: geometry.uniformity(x), lambda x, _: influence.uniformity(x)),
    "tolerance": (geometry.tolerance, influence.tolerance),
    "interclass": (geometry.interclass_similarity, influence.interclass_similarity),
    "gap": (
        gap,
        lambda x, y: influence.tolerance(x, y) - influence.interclass_similarity(x, y),
    ),
    "common_mean": (lambda x, _: geometry.common_mean(x), lambda x, _: influence.common_mean(x)),
    "rankme": (lambda x, _: geometry.rankme(x), lambda x, _: influence.rankme(x)),
}


def sample(n: int, d: int, seed: int) -> tuple[Tensor, Tensor]:
    """Four classes at random around fixed centres, with axes of different lengths."""
    draws = np.random.default_rng(seed)
    centres = np.random.default_rng(7).standard_normal((4, d))
    labels = draws.integers(0, 4, n)
    x = (centres[labels] + draws.standard_normal((n, d))) * np.linspace(1, 0.1, d)
    return torch.from_numpy(x), torch.from_numpy(labels)


@pytest.mark.parametrize("name", ["uniformity", "tolerance", "interclass", "gap", "common_mean"])
def test_influence_values_are_what_leaving_an_instance_out_does(name: str) -> None:
    """(n - 1)(T - T without i), up to the second order, O(1 / n)."""
    value, moves = MEASURES[name]
    n = 400
    x, labels = sample(n, 8, 0)
    whole, expected = value(x, labels), []
    rows = torch.arange(n)
    for i in range(0, n, 16):
        kept = rows[rows != i]
        expected.append((n - 1) * (whole - value(x[kept], labels[kept])))
    found = moves(x, labels)
    assert abs(found.mean()) < 1e-9 * np.abs(found).max()
    difference = found[::16] - np.array(expected)
    assert np.abs(difference).max() < 0.05 * np.abs(found).max()


@pytest.mark.parametrize(("n", "d"), [(60, 8), (200, 24)])
def test_intervals_cover(n: int, d: int) -> None:
    """95% intervals hold the truth in 91 to 99% of 300 samples; 2 sd of that share are 2.5%.

    The truth of measures of pairs is that of a sample of 10,000. RankMe of n instances and the
    common mean, which has 1/n in it, are those of n instances: their mean over the samples.
    """
    repeats = 300
    large = sample(10_000, d, 10**6)
    for name, (value, moves) in MEASURES.items():
        found = []
        for seed in range(repeats):
            x, labels = sample(n, d, seed)
            found.append(estimate.by_influence(value(x, labels), moves(x, labels)))
        truth = value(*large)
        if name in ("rankme", "common_mean"):
            truth = float(np.mean([one.value for one in found]))
        covered = np.mean([(one.low or 0.0) <= truth <= (one.high or 0.0) for one in found])
        assert 0.91 <= covered <= 0.995, (name, covered)


def test_a_bootstrap_of_instances_would_be_wrong_for_uniformity() -> None:
    """It draws instances twice, whose pairs have distance 0 (docs/measure.md).

    So it is off by more than its own deviation, and where points are spread evenly, its deviation
    is more than twice the real one. That of the influence values is too large there by the root of
    2 at most, up to the sampling of this test.
    """
    n, d = 200, 24
    draws = np.random.default_rng(1)

    def resampled(x: Tensor) -> Values:
        rows = [torch.from_numpy(draws.integers(0, n, n)) for _ in range(200)]
        return np.array([geometry.uniformity(x[chosen]) for chosen in rows])

    x, _ = sample(n, d, 0)
    found = resampled(x)
    assert geometry.uniformity(x) - found.mean() > 2 * found.std()
    real = np.std([geometry.uniformity(sample(n, d, seed)[0]) for seed in range(200)])
    assert influence.uniformity(x).std(ddof=1) / np.sqrt(n) == pytest.approx(real, rel=0.2)
    even = np.std([geometry.uniformity(gaussian(n, d, seed)) for seed in range(200)])
    assert resampled(gaussian(n, d)).std() > 2 * even
    own = influence.uniformity(gaussian(n, d)).std(ddof=1) / np.sqrt(n)
    assert 0.9 * even < own < 1.2 * np.sqrt(2) * even


def test_rankme_has_groups_that_depend_on_n_alone() -> None:
    """So two encoders' values are of the same instances, and equal encoders differ by nothing."""
    x = gaussian(100, 8)
    assert len(influence.rankme(x)) == GROUPS
    np.testing.assert_array_equal(influence.rankme(2 * x), influence.rankme(x))


def test_rankme_s_groups_of_wide_and_of_tall_matrices_agree() -> None:
    """Zeros as further dimensions change no singular value, but the product that is taken."""
    x = gaussian(30, 8)
    wide = torch.cat([x, torch.zeros(30, 40)], dim=1)
    np.testing.assert_allclose(influence.rankme(wide), influence.rankme(x), atol=1e-5)


def test_alignment_s_are_the_distances_less_their_mean() -> None:
    x, y = torch.eye(4), torch.eye(4)[[1, 0, 2, 3]]
    np.testing.assert_allclose(influence.alignment(x, y), [1, 1, -1, -1], atol=1e-12)


def test_two_rows_are_too_few() -> None:
    for moves in (influence.uniformity, influence.rankme):
        with pytest.raises(ValueError, match="three or more"):
            moves(gaussian(2, 4))


def test_classes_may_be_any_integers() -> None:
    x, labels = clustered(40, 6, 4, 0.5)
    np.testing.assert_allclose(
        influence.tolerance(x, labels * 7 - 3), influence.tolerance(x, labels)
    )
