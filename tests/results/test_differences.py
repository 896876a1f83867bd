"""Differences of two sides: every interval against SciPy or NumPy."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tausweep.results.differences import difference

NUMBERS = st.floats(-100, 100).map(lambda x: round(x, 3))


def seeds(values: list[float], first: int = 0) -> pd.Series[float]:
    return pd.Series(values, index=range(first, first + len(values)), dtype=float)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=6))
def test_equal_seeds_are_paired_as_in_the_one_sample_t_interval(
    values: list[tuple[float, float]],
) -> None:
    a, b = (seeds(list(side)) for side in zip(*values, strict=True))
    found = difference(a, b)
    gaps = np.array([x - y for x, y in values])
    sd = math.sqrt(((gaps - gaps.mean()) ** 2).sum() / (len(gaps) - 1))
    half = stats.t.ppf(0.975, len(gaps) - 1) * sd / math.sqrt(len(gaps))
    if not half:
        assert (found.low, found.high, found.method) == (None, None, "")
        return
    assert found.method == "paired"
    assert found.low == pytest.approx(gaps.mean() - half, abs=1e-9)
    assert found.high == pytest.approx(gaps.mean() + half, abs=1e-9)


@given(
    st.lists(NUMBERS, min_size=2, max_size=6, unique=True),
    st.lists(NUMBERS, min_size=2, max_size=6, unique=True),
)
def test_other_seeds_give_the_interval_of_welch(x: list[float], y: list[float]) -> None:
    found = difference(seeds(x), seeds(y, first=10))
    va, vb = np.var(x, ddof=1) / len(x), np.var(y, ddof=1) / len(y)
    degrees = (va + vb) ** 2 / (va**2 / (len(x) - 1) + vb**2 / (len(y) - 1))
    half = stats.t.ppf(0.975, degrees) * math.sqrt(va + vb)
    assert found.method == "Welch"
    assert found.mean == pytest.approx(np.mean(x) - np.mean(y), abs=1e-9)
    assert found.low == pytest.approx(found.mean - half, rel=1e-6, abs=1e-9)
    assert found.high == pytest.approx(found.mean + half, rel=1e-6, abs=1e-9)


def test_seeds_that_only_overlap_are_not_paired() -> None:
    assert difference(seeds([1.0, 2.0, 4.0]), seeds([1.0, 2.0])).method == "Welch"


@pytest.mark.parametrize(("a", "b"), [([1.0], [2.0]), ([1.0], [2.0, 3.0]), ([1.0, 2.0], [3.0])])
def test_single_seeds_give_a_difference_without_interval(a: list[float], b: list[float]) -> None:
    found = difference(seeds(a), seeds(b))
    assert found.mean == np.mean(a) - np.mean(b)
    assert (found.low, found.high, found.method) == (None, None, "")
    assert not found.excludes_zero


def test_a_side_without_values_has_no_difference() -> None:
    found = difference(seeds([]), seeds([1.0, 2.0]))
    assert math.isnan(found.mean)
    assert found.low is None


@pytest.mark.parametrize("first", [0, 10])
def test_constant_sides_have_no_interval_where_no_noise_is_known(first: int) -> None:
    found = difference(seeds([1.0, 1.0]), seeds([3.0, 3.0], first))
    assert (found.mean, found.low, found.high, found.method) == (-2.0, None, None, "")
    assert not found.excludes_zero


@pytest.mark.parametrize(("first", "method"), [(0, "paired"), (10, "Welch")])
def test_constant_sides_are_apart_only_beyond_the_known_noise(first: int, method: str) -> None:
    found = difference(seeds([80.5, 80.5]), seeds([80.0, 80.0], first), 0.85)
    least = 0.85 / math.sqrt(2)
    assert (found.low, found.high) == pytest.approx((0.5 - least, 0.5 + least))
    assert found.method == method
    assert not found.excludes_zero
    assert difference(seeds([81.0, 81.0]), seeds([80.0, 80.0], first), 0.85).excludes_zero


@given(
    st.lists(NUMBERS, min_size=2, max_size=5),
    st.lists(NUMBERS, min_size=2, max_size=5),
    st.floats(0.01, 3),
)
def test_no_interval_of_welch_is_narrower_than_the_known_noise(
    x: list[float], y: list[float], margin: float
) -> None:
    a, b = seeds(x), seeds(y, first=10)
    found, exact = difference(a, b, margin), difference(a, b)
    # The sd of a single run is margin / (1.96 sqrt 2).
    least = margin / math.sqrt(2) * math.sqrt(1 / len(x) + 1 / len(y))
    half = 0.0 if exact.high is None else exact.high - exact.mean
    assert found.high == pytest.approx(found.mean + max(half, least), abs=1e-9)
    assert found.low == pytest.approx(found.mean - max(half, least), abs=1e-9)


@given(st.lists(NUMBERS, min_size=2, max_size=4), st.lists(NUMBERS, min_size=2, max_size=4))
def test_exchanging_the_sides_turns_the_sign(x: list[float], y: list[float]) -> None:
    there, back = difference(seeds(x), seeds(y)), difference(seeds(y), seeds(x))
    assert there.mean == pytest.approx(-back.mean, abs=1e-9)
    if there.low is not None and back.high is not None:
        assert there.low == pytest.approx(-back.high, abs=1e-9)
    assert (there.low is None) == (back.high is None)
    assert there.excludes_zero == back.excludes_zero
