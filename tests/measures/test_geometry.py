"""Geometry measures equal their definitions over all distinct pairs; nothing else moves them."""

import decimal
import itertools
import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.special
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

import tolerance
from examples import examples
from tausweep.measures import geometry

Matrix = NDArray[np.float64]


def gaussian(n: int, d: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def clustered(n: int, d: int, classes: int, spread: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    labels = torch.arange(n) % classes
    return gaussian(classes, d, seed)[labels] + spread * gaussian(n, d, seed + 1), labels


def unit(x: Tensor) -> Matrix:
    rows: Matrix = x.double().numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def pairs_uniformity(x: Tensor, t: float, self_pairs: bool = False) -> float:
    z = unit(x)
    pairs = itertools.product if self_pairs else itertools.permutations
    chosen = pairs(range(len(z)), repeat=2) if self_pairs else pairs(range(len(z)), 2)
    return -math.log(np.mean([math.exp(-t * np.sum((z[i] - z[j]) ** 2)) for i, j in chosen]))


def approx_uniformity(expected: float, n: int, d: int) -> Any:
    """Of float32 embeddings, where all pairs may be rounded the same way."""
    return pytest.approx(expected, rel=0, abs=tolerance.uniformity(n, d, 2, torch.float32))


def log_0f1(b: float, z: float) -> float:
    """log 0F1(; b; z) by its definition, sum_k z^k / (k! (b)_k), in 40 digits.

    SciPy's goes by two logarithms of the gamma function that cancel: ten digits at b = 150.
    """
    with decimal.localcontext(prec=40):
        total = term = decimal.Decimal(1)
        for k in range(1, 100):
            term *= decimal.Decimal(z) / (k * (decimal.Decimal(b) + k - 1))
            total += term
        return float(total.ln())


def dimension_error(d: float, t: float) -> float:
    """Relative error of the d of a uniformity: its rounding over the slope d dU/dd.

    U = 2t - log 0F1(d/2; t^2) is given and found with some ten roundings of numbers up to 4t (and
    of 1 + what is left of 0F1), and changes by d dU/dd for a relative step in d, taken as a
    difference here; the root is sought to 1e-13 in log d.
    """
    below, above = (log_0f1(d * math.exp(step) / 2, t * t) for step in (-0.01, 0.01))
    return 10 * (1 + 4 * t) * tolerance.eps() / ((below - above) / 0.02) + 2e-13


def rankme_error(n: int, d: int) -> float:
    """Relative error of exp H(p), p = singular values / their sum.

    Each p is off by ``e``, twice a singular value's error over the sum, which is at least sqrt n
    for unit rows; -p log p moves by at most -e log e where p is 0, and by e |log p| elsewhere.
    """
    e = 2 * tolerance.singular_value(n, d) / math.sqrt(n)
    return min(n, d) * -e * math.log(e)


# ------------------------------------------------------------------------------------- uniformity


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


MEMORY = """
import sys, psutil, torch
from tausweep.measures import geometry
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


# -------------------------------------------------------------------------------------- tolerance


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


# --------------------------------------------------------------- nearest of other classes, common


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


# -------------------------------------------------------------------------------------- alignment


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


# ---------------------------------------------------------------------------- effective dimension


@pytest.mark.parametrize("t", [0.5, 2.0, 3.0, 25.0])
def test_effective_dimension_inverts_closed_forms(t: float) -> None:
    """S^0: cosh 2t; S^1: I0(2t); S^2: sinh(2t) / 2t; S^3: I1(2t) / t."""
    forms = {
        2: scipy.special.i0(2 * t),
        3: math.sinh(2 * t) / (2 * t),
        4: scipy.special.i1(2 * t) / t,
    }
    for d, mean in forms.items():
        found = geometry.effective_dimension(2 * t - math.log(mean), t)
        assert found == pytest.approx(d, rel=dimension_error(d, t))
    assert geometry.effective_dimension(2 * t - math.log(math.cosh(2 * t)) + 1e-9, t) > 1


@given(d=st.floats(1.01, 1e4), t=st.floats(0.5, 5))
@example(d=103.0, t=1.0)
@example(d=303.0, t=0.5)
def test_effective_dimension_inverts_the_hypergeometric_function(d: float, t: float) -> None:
    uniformity = 2 * t - log_0f1(d / 2, t * t)
    found = geometry.effective_dimension(uniformity, t)
    assert found == pytest.approx(d, rel=dimension_error(d, t))


def test_effective_dimension_of_the_papers_ceiling_is_128() -> None:
    assert geometry.effective_dimension(3.9375) == pytest.approx(128, abs=0.1)
    assert geometry.effective_dimension(5.8595, t=3) == pytest.approx(128, abs=0.1)


def test_effective_dimension_of_a_sample_is_that_of_its_sphere() -> None:
    for d in (2, 3, 20):
        spread = geometry.uniformity(gaussian(4000, d))
        assert geometry.effective_dimension(spread) == pytest.approx(d, rel=0.02)


def test_effective_dimension_at_its_limits() -> None:
    assert geometry.effective_dimension(0.0) == 1.0
    assert geometry.effective_dimension(2 - 0.5 * math.log(math.cosh(4)) - 1) == 1.0
    assert geometry.effective_dimension(4.0) == math.inf
    assert geometry.effective_dimension(8.0) == math.inf
    with pytest.raises(ValueError, match="not allowed"):
        geometry.effective_dimension(math.nan)


# -------------------------------------------------------------------------------------- spectrum


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


# ------------------------------------------------------------------------------------ all of them


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_rows_without_a_direction_are_refused_by_name(value: float) -> None:
    x, labels = clustered(20, 8, 4, 1.0)
    x[13] = 0.0
    x[13, 2] = value
    fault = "zero" if value == 0 else "not finite"
    for call in (
        lambda: geometry.uniformity(x),
        lambda: geometry.tolerance(x, labels),
        lambda: geometry.nearest_interclass_similarity(x, labels),
        lambda: geometry.common_mean(x),
        lambda: geometry.alignment(x, x),
        lambda: geometry.rankme(x),
        lambda: geometry.wasserstein_uniformity(x),
    ):
        with pytest.raises(ValueError, match=f"x: row 13 is {fault}"):
            call()


def test_block_holds_the_single_measures_and_is_json() -> None:
    x, labels = clustered(300, 24, 5, 0.5)
    views = (x + 0.1 * gaussian(300, 24, 8), x + 0.1 * gaussian(300, 24, 9))
    block = geometry.measure(x, labels, t=3.0, views=views)
    assert json.loads(json.dumps(block, allow_nan=False)) == block
    assert block["uniformity"] == geometry.uniformity(x, 3.0)
    assert block["effective_dimension"] == geometry.effective_dimension(block["uniformity"], 3.0)
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
    after = geometry.measure(x[order], labels[order] * 7 - 3)
    assert torch.equal(x, kept)
    # Of the measures only the uniformity is summed in float32.
    allowed = 2 * tolerance.averaged_uniformity(200, 16)
    for name, value in before.items():
        assert after[name] == pytest.approx(value, rel=0, abs=allowed), name


@pytest.mark.parametrize("d", [2, 16, 128, 2048])
def test_points_that_float32_cannot_tell_apart_have_collapsed(d: int) -> None:
    generator = torch.Generator().manual_seed(d)
    centre = torch.randn(d, generator=generator, dtype=torch.float64)
    noise = torch.randn(300, d, generator=generator, dtype=torch.float64)
    noise -= noise @ centre[:, None] / centre.square().sum() * centre
    # A point at a small distance e from the centre, and thus 1 - s = e^2 for a pair.
    noise *= centre.norm() / noise.norm(dim=1, keepdim=True)
    limit = math.sqrt(d * 2.0**-24)
    assert geometry.collapsed((centre + 0.9 * limit * noise).float())
    assert not geometry.collapsed((centre + 1.1 * limit * noise).float())
    same = centre.float().repeat(300, 1)
    assert geometry.collapsed(same)
    assert geometry.uniformity(same) == pytest.approx(0, abs=2 * 2 * (d + 4) * 2.0**-24)
    assert not geometry.collapsed(torch.cat([same, -same[:1]]))
    assert not geometry.collapsed(noise)


def test_uniformity_of_a_collapse_is_at_most_jensens_bound() -> None:
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.nn.functional.normalize(x, dim=1)
    similarity = (x @ x.T)[~torch.eye(64, dtype=torch.bool)]
    assert geometry.uniformity(x) <= 4 * float((1 - similarity).mean())
