"""Alignment, spectrum and mean, and what all measures of geometry share."""

import json
import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tolerance
from examples import examples
from points import clustered, gaussian, unit
from tausweep.measures import geometry
from tausweep.measures.sphere_dimension import effective_dimension
from tausweep.study.columns import GEOMETRY

pytestmark = pytest.mark.numerical


def rankme_error(n: int, d: int) -> float:
    """Relative error of exp H(p), p = singular values / their sum.

    Each p is off by ``e``, twice a singular value's error over the sum, which is at least sqrt n
    for unit rows; -p log p moves by at most -e log e where p is 0, and by e |log p| elsewhere.
    """
    e = 2 * tolerance.singular_value(n, d) / math.sqrt(n)
    return min(n, d) * -e * math.log(e)


MEMORY = """
import sys, psutil, torch
from tausweep.measures import geometry
from tausweep.measures.sphere_dimension import effective_dimension
torch.set_num_threads(1)
name, n = sys.argv[1], int(sys.argv[2])
more = [] if name == "uniformity" else [torch.arange(n) % 10]
measure = getattr(geometry, name)
x = torch.randn(n, 128)
measure(x[:600], *(m[:600] for m in more))
before = psutil.Process().memory_info().rss
measure(x, *more)
# Not ru_maxrss, which a process inherits from the one that started it.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) * 1024 - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak")
@pytest.mark.parametrize(
    ("name", "n", "megabytes"),
    [
        ("uniformity", 20_000, 120),
        ("nearest_interclass_similarity", 20_000, 120),
        pytest.param("uniformity", 50_000, 300, marks=pytest.mark.slow),
        pytest.param("nearest_interclass_similarity", 50_000, 300, marks=pytest.mark.slow),
    ],
)
def test_memory_stays_far_below_n_by_n(name: str, n: int, megabytes: int) -> None:
    command = [sys.executable, "-c", MEMORY, name, str(n)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(output) < megabytes * 1e6


@settings(max_examples=examples(25))
@given(n=st.integers(1, 40), d=st.integers(1, 9), seed=st.integers(0, 99))
def test_common_mean_is_the_mean_over_all_pairs_with_their_own(n: int, d: int, seed: int) -> None:
    x = gaussian(n, d, seed)
    z = unit(x)
    pairs = [float(z[i] @ z[j]) for i in range(n) for j in range(n)]
    assert geometry.common_mean(4 * x) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_common_mean_at_its_limits() -> None:
    x = gaussian(4000, 128)
    assert geometry.common_mean(x[:1].expand(9, 128)) == pytest.approx(1, abs=1e-12)
    assert geometry.common_mean(torch.cat([x, -x])) == pytest.approx(0, abs=1e-12)
    # n |mean|^2 of uniform points has mean 1 and variance about 2 / d.
    assert 4000 * geometry.common_mean(x) == pytest.approx(1, abs=5 * math.sqrt(2 / 128))
    with pytest.raises(ValueError, match="no rows"):
        geometry.common_mean(x[:0])


def test_alignment_is_the_mean_squared_distance_of_normalised_views() -> None:
    x, y = gaussian(50, 16), gaussian(50, 16, seed=1)
    expected = np.mean(np.sum((unit(x) - unit(y)) ** 2, axis=1))
    # |x - y|^2 is at most 4 and has the errors of two unit rows and of a sum over them.
    allowed = 4 * (2 * tolerance.cosine(16) + tolerance.summed(50))
    assert geometry.alignment(4 * x, y) == pytest.approx(expected, rel=0, abs=allowed)
    # 10 x is rounded to float32, by eps / 2 an entry at most; the square of that is what is left.
    rounded = tolerance.eps(torch.float32) ** 2
    assert geometry.alignment(x, 10 * x) == pytest.approx(0, abs=rounded)
    assert geometry.alignment(x, -x) == pytest.approx(4, rel=0, abs=allowed)
    with pytest.raises(ValueError, match="two equal n x d"):
        geometry.alignment(x, y[:49])


def test_rankme_of_flat_and_collapsed_spectra() -> None:
    assert geometry.rankme(torch.eye(16)) == pytest.approx(16, rel=rankme_error(16, 16))
    collapsed = gaussian(1, 16).expand(9, 16)
    assert geometry.rankme(collapsed) == pytest.approx(1, rel=rankme_error(9, 16))
    # 9 rows on one axis, 1 on another: singular values 3 and 1, entropy of (3/4, 1/4).
    x = torch.eye(2)[torch.tensor([0] * 9 + [1])]
    assert geometry.rankme(x) == pytest.approx(0.75**-0.75 * 0.25**-0.25, rel=rankme_error(10, 2))


def test_singular_values_are_those_of_normalised_rows() -> None:
    x = gaussian(60, 12)
    values = geometry.singular_values(4 * x)
    expected = np.linalg.svd(unit(x), compute_uv=False)
    tolerance.check(values, expected, 2 * tolerance.singular_value(60, 12))
    p = np.array(values) / np.sum(values)
    assert geometry.rankme(x) == pytest.approx(
        math.exp(-np.sum(p * np.log(p))), rel=rankme_error(60, 12)
    )
    with pytest.raises(ValueError, match="no rows"):
        geometry.singular_values(x[:0])


def test_wasserstein_uniformity_is_the_distance_between_the_gaussians() -> None:
    """The general formula of W2 between Gaussians, with a matrix square root."""
    x = gaussian(80, 6) + torch.tensor([0.5, 0, 0, 0, 0, 0])
    z, d = unit(x), 6
    mean, covariance = z.mean(axis=0), np.cov(z.T, bias=True)
    target = np.eye(d) / d
    root = scipy.linalg.sqrtm(target)
    cross = scipy.linalg.sqrtm(root @ covariance @ root)
    squared = mean @ mean + np.trace(covariance + target - 2 * np.real(cross))
    # Traces of 6 x 6 matrices of size 1 whose roots multiply an eigenvalue's error by 1 / (2 root).
    smallest = math.sqrt(np.linalg.eigvalsh(covariance)[0])
    error = d * (tolerance.summed(80) + tolerance.cosine(d) + d * tolerance.eps()) / smallest
    assert geometry.wasserstein_uniformity(8 * x) == pytest.approx(
        -math.sqrt(squared), rel=0, abs=error / math.sqrt(squared)
    )


def test_wasserstein_uniformity_rises_with_uniformity_and_sees_dimensional_collapse() -> None:
    x = gaussian(5000, 64)
    collapsed = x.clone()
    collapsed[:, 32:] = 0
    spread = geometry.wasserstein_uniformity(x)
    # Finite samples stay below 0 by the spread of their eigenvalues.
    assert -0.1 < spread < 0
    # Half of the axes: W2^2 = 2 - 2 sqrt(1/2).
    half = -math.sqrt(2 - math.sqrt(2))
    assert geometry.wasserstein_uniformity(collapsed) == pytest.approx(half, abs=0.01)
    assert geometry.wasserstein_uniformity(x[:1].expand(5, 64)) == pytest.approx(-math.sqrt(2))
    # Means of 5,000 numbers or of twice as many: an eigenvalue, 1 / 64, moves by their rounding.
    error = 64 * (tolerance.summed(10_000) + 64 * tolerance.eps()) / abs(spread)
    assert geometry.wasserstein_uniformity(torch.cat([x, x])) == pytest.approx(spread, abs=error)


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_rows_without_a_direction_are_refused_by_name(value: float) -> None:
    x, labels = clustered(20, 8, 4, 1.0)
    x[13] = 0.0
    x[13, 2] = value
    fault = "zero" if value == 0 else "not finite"
    calls: tuple[Callable[[], float], ...] = (
        lambda: geometry.uniformity(x),
        lambda: geometry.tolerance(x, labels),
        lambda: geometry.nearest_interclass_similarity(x, labels),
        lambda: geometry.common_mean(x),
        lambda: geometry.alignment(x, x),
        lambda: geometry.rankme(x),
        lambda: geometry.wasserstein_uniformity(x),
    )
    for call in calls:
        with pytest.raises(ValueError, match=f"x: row 13 is {fault}"):
            call()


def test_block_holds_the_single_measures_and_is_json() -> None:
    x, labels = clustered(300, 24, 5, 0.5)
    views = (x + 0.1 * gaussian(300, 24, 8), x + 0.1 * gaussian(300, 24, 9))
    block = geometry.measure(x, labels, t=3.0, views=views)
    assert json.loads(json.dumps(block, allow_nan=False)) == block
    assert block["uniformity"] == geometry.uniformity(x, 3.0)
    assert block["effective_dimension"] == effective_dimension(block["uniformity"], 3.0)
    assert block["alignment"] == geometry.alignment(*views)
    for name in ("rankme", "wasserstein_uniformity", "singular_values"):
        assert block[name] == getattr(geometry, name)(x)
    for name in (
        *("tolerance", "tolerance_literal", "interclass_similarity"),
        "nearest_interclass_similarity",
    ):
        assert block[name] == getattr(geometry, name)(x, labels)
    assert block["tolerance_gap"] == block["tolerance"] - block["interclass_similarity"]
    assert block["common_mean"] == geometry.common_mean(x)
    assert "alignment" not in geometry.measure(x, labels)


def test_every_number_of_the_block_is_a_column() -> None:
    """A number that ``columns.GEOMETRY`` lacks would never reach a table."""
    x, labels = clustered(60, 8, 3, 0.5)
    block = geometry.measure(x, labels, views=(x, x))
    assert block.keys() - {"samples", "t", "collapsed", "singular_values"} == {*GEOMETRY}


def test_measures_are_the_same_under_autocast_and_reduced_matmul_precision() -> None:
    x, labels = clustered(600, 64, 5, 0.5)
    x = x.to(torch.bfloat16)
    before = geometry.measure(x, labels, views=(x, x))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert geometry.measure(x, labels, views=(x, x)) == before
    torch.set_float32_matmul_precision("medium")
    try:
        assert geometry.measure(x, labels, views=(x, x)) == before
    finally:
        torch.set_float32_matmul_precision("highest")


def test_measures_neither_change_their_input_nor_depend_on_row_order() -> None:
    x, labels = clustered(200, 16, 4, 0.5)
    kept = x.clone()
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    before = geometry.measure(x, labels)
    after = geometry.measure(x[order], labels[order] * 7 + 3)
    assert torch.equal(x, kept)
    # Of the measures only the uniformity is summed in float32.
    allowed = 2 * tolerance.averaged_uniformity(200, 16)
    for name, value in before.items():
        assert after[name] == pytest.approx(value, rel=0, abs=allowed), name
