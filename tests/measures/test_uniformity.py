"""Uniformity equals its definition over all distinct pairs; nothing else moves it."""

import itertools
import math
from typing import Any

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


def pairs_uniformity(x: Tensor, t: float, self_pairs: bool = False) -> float:
    z = unit(x)
    pairs = itertools.product(range(len(z)), repeat=2)
    chosen = [(i, j) for i, j in pairs if self_pairs or i != j]
    return -math.log(np.mean([math.exp(-t * np.sum((z[i] - z[j]) ** 2)) for i, j in chosen]))


def approx_uniformity(expected: float, n: int, d: int) -> Any:
    """Of float32 embeddings, where all pairs may be rounded the same way."""
    return pytest.approx(expected, rel=0, abs=tolerance.uniformity(n, d, 2, torch.float32))


def test_uniformity_of_basis_vectors_is_4() -> None:
    assert geometry.uniformity(torch.eye(128)) == approx_uniformity(4.0, 128, 128)


def test_uniformity_of_two_antipodes_is_8() -> None:
    x = gaussian(1, 128)
    assert geometry.uniformity(torch.cat([x, -x])) == approx_uniformity(8.0, 2, 128)


def test_uniformity_of_equal_points_is_0() -> None:
    x = gaussian(1, 128).expand(700, 128)
    assert geometry.uniformity(x) == approx_uniformity(0.0, 700, 128)


@pytest.mark.parametrize("n", [0, 1])
def test_uniformity_of_one_sample_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=f"{n} rows given; allowed is two or more"):
        geometry.uniformity(gaussian(n, 8))


def test_uniformity_does_not_depend_on_scale() -> None:
    x = gaussian(300, 128)
    scales = torch.rand(300, 1) * 10 + 0.1
    expected = geometry.uniformity(x)
    allowed = 2 * tolerance.averaged_uniformity(300, 128)
    for scale in (10, scales, 1e30, 1e-30):
        assert geometry.uniformity(scale * x) == pytest.approx(expected, rel=0, abs=allowed)


@settings(max_examples=examples(20))
@given(
    n=st.integers(2, 40),
    d=st.integers(1, 9),
    t=st.floats(0.1, 60),
    tile=st.integers(1, 45),
    seed=st.integers(0, 99),
)
def test_uniformity_equals_the_mean_over_pairs(
    n: int, d: int, t: float, tile: int, seed: int
) -> None:
    x = gaussian(n, d, seed, torch.float64)
    assert geometry.uniformity(x, t, tile=tile) == pytest.approx(
        pairs_uniformity(x, t), rel=0, abs=2 * tolerance.uniformity(n, d, t)
    )


def test_tiles_of_7_rows_equal_brute_force_to_12_digits() -> None:
    x = gaussian(100, 128, dtype=torch.float64)
    allowed = 2 * tolerance.uniformity(100, 128, 2)
    assert allowed < 1e-12
    assert geometry.uniformity(x, tile=7) == pytest.approx(pairs_uniformity(x, 2), abs=allowed)


@pytest.mark.parametrize("spread", [0.05, 1.0, 30.0])
def test_rounding_of_float32_tiles_averages_out(spread: float) -> None:
    x, _ = clustered(3000, 128, 10, spread)
    exact = geometry.uniformity(x.double())
    allowed = tolerance.averaged_uniformity(3000, 128)
    assert geometry.uniformity(x) == pytest.approx(exact, rel=0, abs=allowed)


def test_self_pairs_stay_out() -> None:
    """With them, n = 100 uniform points would read 0.407 lower."""
    x = gaussian(100, 128, seed=3)
    assert geometry.uniformity(x) - pairs_uniformity(x, 2, self_pairs=True) == pytest.approx(
        0.407, abs=0.02
    )


def test_half_precision_embeddings_are_measured_in_float32() -> None:
    x = gaussian(200, 32).to(torch.bfloat16)
    assert geometry.uniformity(x) == geometry.uniformity(x.float())
    assert geometry.uniformity(x.half()) == pytest.approx(
        pairs_uniformity(x, 2), rel=0, abs=tolerance.averaged_uniformity(200, 32)
    )


def test_uniform_points_have_the_uniformity_of_their_sphere() -> None:
    assert geometry.uniformity(gaussian(4000, 128)) == pytest.approx(3.9375, abs=1e-3)
    assert geometry.uniformity(gaussian(4000, 128), t=3) == pytest.approx(5.860, abs=1e-3)


@pytest.mark.parametrize("t", [0.0, -1.0, math.nan, 301.0])
def test_impossible_t_is_refused(t: float) -> None:
    with pytest.raises(ValueError, match=r"t: .* is not allowed"):
        geometry.uniformity(gaussian(4, 3), t)
