"""Intervals: of means, of shares, of paired shares; and how many instances are enough."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tausweep.measures import estimate
from tausweep.measures.estimate import Estimate


def test_the_interval_of_a_mean_is_student_s() -> None:
    values = np.random.default_rng(0).normal(5, 2, 30)
    found = estimate.by_influence(values.mean(), values - values.mean())
    low, high = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.n == 30


def test_an_interval_ends_where_the_measure_does() -> None:
    found = estimate.by_influence(0.9, np.array([-1.0, 1.0, 0.0]), least=-1.0, most=1.0)
    assert (found.low, found.high) == (-1.0, 1.0)


def test_an_interval_holds_its_value_beyond_the_range_by_rounding() -> None:
    found = estimate.by_influence(-1e-6, np.array([-1e-6, 1e-6, 0.0]), least=0.0)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("influence", [np.zeros(1), np.zeros(2), np.full(5, 1e-9)])
def test_without_scatter_there_is_no_interval(influence: NDArray[np.float64]) -> None:
    found = estimate.by_influence(1.0, influence)
    assert found == Estimate(1.0, None, None, len(influence))
    assert found.half_width is None


def test_a_share_has_wilson_s_interval() -> None:
    """By his formula, (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)."""
    n, right, z = 40, 31, 1.959963984540054
    found = estimate.of_share(np.arange(n) < right)
    p = right / n
    middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    ends = [100 * (middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1)]
    assert [found.low, found.high] == pytest.approx(ends)
    assert found.value == 77.5


def test_equal_shares_of_the_same_instances_still_have_an_interval() -> None:
    right = np.arange(50) < 30
    found = estimate.of_share_difference(right, right)
    assert found.value == 0
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high


def test_the_interval_of_paired_shares_covers() -> None:
    """2,000 draws of 60 instances: two classifiers of 80 and 70% that agree more than by chance."""
    draws = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        common = draws.random(60)
        a, b = common < 0.8, np.where(draws.random(60) < 0.5, common, draws.random(60)) < 0.7
        found = estimate.of_share_difference(a, b)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 10 <= found.high
    assert 0.94 <= covered / 2000 <= 0.99


def test_four_times_the_instances_halve_an_interval() -> None:
    assert estimate.enough(Estimate(3.0, 2.8, 3.2, 100), 0.1) == pytest.approx(400, abs=1)
    assert estimate.enough(Estimate(3.0, 2.8, 3.2, 100), 0.2000001) is None
    assert estimate.enough(Estimate(3.0, 2.8, math.inf, 100), 0.1) is None


def test_infinity_is_a_text_in_json() -> None:
    assert Estimate(3.0, 2.0, math.inf, 5).to_json()["high"] == "inf"
