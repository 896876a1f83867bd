"""Seeds -> mean, interval, paired difference: known values, identities, and what must not count."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special, stats

from tausweep.results import published
from tausweep.results.intervals import (
    ACCURACY_MARGIN,
    MARGINS,
    PRIOR_CELLS,
    PRIOR_DF,
    Noise,
    PairedSummary,
    Prior,
    Summary,
    fit_prior,
    format_cell,
    noise_margin,
    paired,
    prior_of_cells,
    rank_correlation,
    summary,
    trigamma_inverse,
    widened,
)
from tausweep.study.columns import CLASSIFICATION, GEOMETRY, PENALTY, SEPARATION

pytestmark = pytest.mark.numerical

numbers = st.floats(-100, 100, allow_nan=False).map(lambda x: round(x, 4))


def test_five_known_values_give_mean_sd_and_interval() -> None:
    found = summary([83.1, 83.4, 82.9, 83.6, 83.0])
    # By hand: squared deviations sum to 0.34; t(0.975, 4) = 2.776445 from a printed table.
    assert found.mean == pytest.approx(83.2)
    assert found.sd == pytest.approx(math.sqrt(0.34 / 4))
    assert found.n == 5
    assert found.half_width == pytest.approx(
        2.776445 * math.sqrt(0.34 / 4) / math.sqrt(5), rel=1e-6
    )


def test_one_seed_has_a_mean_and_no_interval() -> None:
    assert summary([83.27]) == Summary(mean=83.27, sd=None, n=1, half_width=None)


def test_missing_seeds_do_not_count() -> None:
    assert summary([1.0, math.nan, 3.0]) == summary([1.0, 3.0])
    empty = summary([math.nan])
    assert empty.n == 0
    assert math.isnan(empty.mean)


@given(st.lists(numbers, min_size=2, max_size=8))
def test_interval_is_that_of_a_one_sample_t_test(values: list[float]) -> None:
    found = summary(values)
    if found.sd == 0 or found.half_width is None:
        return
    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    ends = (found.mean - found.half_width, found.mean + found.half_width)
    assert ends == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_images_and_epochs_cannot_enter_n() -> None:
    with pytest.raises(ValueError, match="one number per seed"):
        summary(np.zeros((3, 10000)))


def test_infinite_number_is_refused() -> None:
    with pytest.raises(ValueError, match="infinite"):
        summary([1.0, math.inf])


def test_pairing_is_by_seed_and_counts_the_unpaired() -> None:
    a = pd.Series({2: 13.0, 0: 10.0, 1: 11.5, 5: 99.0})
    b = pd.Series({0: 9.0, 1: 10.0, 2: 11.0, 7: -99.0, 8: math.nan})
    found = paired(a, b)
    assert found.mean == pytest.approx(1.5)
    assert (found.n, found.unpaired) == (3, 2)
    expected = stats.ttest_rel([10, 11.5, 13], [9, 10, 11]).confidence_interval(0.95)
    assert found.half_width == pytest.approx((expected.high - expected.low) / 2)


def test_pairing_removes_what_seeds_have_in_common() -> None:
    seed_effect = pd.Series([0.0, 5.0, -5.0, 8.0])
    a = 80 + seed_effect + pd.Series([0.1, -0.1, 0.0, 0.05])
    b = 79 + seed_effect
    unpaired = stats.ttest_ind(a, b).confidence_interval(0.95)
    found = paired(a, b)
    assert found.half_width is not None
    assert found.half_width < 0.2 < (unpaired.high - unpaired.low) / 2
    assert found.mean == pytest.approx(1.0125)


@given(st.lists(numbers, min_size=1, max_size=6), st.floats(0, 3))
def test_no_interval_is_narrower_than_the_known_noise(values: list[float], margin: float) -> None:
    gap = paired(pd.Series(values), pd.Series(0.0, index=range(len(values))))
    found = widened(gap, margin)
    if gap.half_width is None:
        assert found == gap
    else:
        assert found.half_width == max(gap.half_width, margin / math.sqrt(len(values)))
    assert widened(found, margin) == found


def test_the_least_interval_is_that_of_the_authors_scatter() -> None:
    # Differences of two runs have the sd sqrt 2 x 0.30, their mean over n that over sqrt n.
    z = stats.norm.interval(0.95, scale=math.sqrt(2) * 0.30 / math.sqrt(4))[1]
    found = widened(paired(pd.Series([1.0] * 4), pd.Series([0.5] * 4)), ACCURACY_MARGIN)
    assert found.half_width == pytest.approx(z, rel=0.03)


@pytest.mark.parametrize(
    ("column", "margin"),
    [
        ("linear_accuracy", 0.85),
        ("knn_accuracy", 0.85),
        ("uniformity", 0.04),
        ("train_tolerance", 0.01),
        ("positive_similarity", 0.01),
        ("negative_similarity_3", 0.01),
        ("rankme", 0.0),
        ("my_accuracy", 0.0),
    ],
)
def test_columns_share_the_margins_of_their_kind(column: str, margin: float) -> None:
    assert noise_margin(column) == margin


UNKNOWN = {
    *("feature_rms", "common_mean", "alignment", "effective_dimension", "rankme"),
    *("wasserstein_uniformity", "hard_set_same_label", *PENALTY),
}
"""Measures whose noise nobody knows: without scatter over seeds they have no interval."""


def test_a_number_without_a_known_margin_is_listed() -> None:
    """A measure that is forgotten in ``intervals`` would silently have none."""
    measures = (*CLASSIFICATION, *GEOMETRY, *SEPARATION, *PENALTY)
    assert {column for column in measures if noise_margin(column) == 0} == UNKNOWN


def test_no_common_seed_gives_n_zero() -> None:
    found = paired(pd.Series({0: 1.0}), pd.Series({1: 1.0}))
    assert (found.n, found.unpaired) == (0, 2)


def test_seed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="seed 3"):
        paired(pd.Series([1.0, 2.0], index=[3, 3]), pd.Series([1.0], index=[3]))


@given(st.dictionaries(st.integers(0, 9), st.tuples(numbers, numbers), min_size=1, max_size=6))
def test_difference_turned_round_changes_only_its_sign(
    both: dict[int, tuple[float, float]],
) -> None:
    a = pd.Series({seed: pair[0] for seed, pair in both.items()})
    b = pd.Series({seed: pair[1] for seed, pair in both.items()})
    there, back = paired(a, b), paired(b, a)
    assert there.mean == -back.mean
    assert (there.sd, there.half_width, there.n) == (back.sd, back.half_width, back.n)


def test_trigamma_inverse_is_a_root_found_otherwise() -> None:
    for x in (1e-8, 1e-3, 0.2, 1.0, 7.5, 300.0, 1e8):
        low, high = 1e-9, 1e9
        root = optimize.brentq(lambda y, x=x: special.zeta(2, y) - x, low, high, xtol=1e-300)
        assert trigamma_inverse(x) == pytest.approx(root, rel=1e-4)
    with pytest.raises(ValueError, match="above 0"):
        trigamma_inverse(0)


def test_prior_is_the_one_that_variances_were_drawn_from() -> None:
    # Smyth 2004: 1 / sigma^2 ~ chi^2_d0 / (d0 s0^2), s^2 ~ sigma^2 chi^2_d / d.
    rng = np.random.default_rng(0)
    sigma2 = 4 * 0.25 / rng.chisquare(4, 20_000)
    found = fit_prior(sigma2 * rng.chisquare(2, 20_000) / 2, np.full(20_000, 2), math.inf)
    assert found is not None
    assert found.df == pytest.approx(4, rel=0.1)
    assert found.variance == pytest.approx(0.25, rel=0.05)
    # And where the likelihood of the scaled F distribution, written apart, is highest.
    draws = sigma2 * rng.chisquare(2, 20_000) / 2

    def unlikelihood(x: list[float]) -> float:
        d0, s0 = np.exp(x)
        return -float(stats.f.logpdf(draws / s0, 2, d0).sum() - len(draws) * np.log(s0))

    best = np.exp(optimize.minimize(unlikelihood, [1.0, 0.0], method="Nelder-Mead").x)
    moments = fit_prior(draws, np.full(20_000, 2), math.inf)
    assert moments is not None
    assert (moments.df, moments.variance) == pytest.approx(tuple(best), rel=0.1)


def test_equal_variances_are_shrunk_as_far_as_the_cap_allows() -> None:
    found = fit_prior(np.full(30, 0.09), np.full(30, 2), 58)
    assert found is not None
    assert found == Prior(PRIOR_DF, found.variance, 58)
    assert found.variance == pytest.approx(0.09)
    assert found is not None
    variance, df = found.moderate(0.0, 2)
    assert variance == pytest.approx(0.09 * PRIOR_DF / (PRIOR_DF + 2))
    assert df == PRIOR_DF + 2


def test_few_cells_give_no_prior() -> None:
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(3, PRIOR_CELLS)))
    assert prior_of_cells(table) is not None
    assert prior_of_cells(table.iloc[:, 1:]) is None
    assert prior_of_cells(table.iloc[:1]) is None


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("uneven", [0.0, 0.5])
def test_moderated_intervals_cover(seeds: int, uneven: float) -> None:
    rng = np.random.default_rng([seeds, int(10 * uneven)])
    held = made = 0
    for _ in range(60):
        sd = np.exp(uneven * rng.normal(size=14))
        table = pd.DataFrame(rng.normal(size=(seeds, 14)) * sd)
        noise = Noise(0.0, prior_of_cells(table))
        for a in range(0, 14, 2):
            gap = paired(table[a], table[a + 1])
            held += abs(gap.mean) <= noise.half_width(gap)
            made += 1
    # 420 intervals: three standard errors are 3.2%. benchmarks/verdicts has it with more.
    assert 0.918 <= held / made <= 0.982


def test_the_splits_noise_is_not_divided_by_the_number_of_seeds() -> None:
    gap = paired(pd.Series([1.0, 1.1, 0.9, 1.0] * 25), pd.Series([0.0] * 100))
    assert Noise(0.0).half_width(gap, split=4.0) == pytest.approx(1.96 * 2, rel=1e-3)


def test_one_run_decides_only_where_its_noise_is_known() -> None:
    gap = PairedSummary(5.0, None, 1, None)
    assert Noise(0.85).half_width(gap) == math.inf
    assert Noise(0.85, one_run=True).half_width(gap) == pytest.approx(0.85)
    assert Noise(0.85, one_run=True).half_width(gap, family=2) == pytest.approx(
        0.85 * stats.norm.ppf(0.9875) / stats.norm.ppf(0.975)
    )


@given(st.lists(numbers, min_size=4, max_size=4))
def test_rank_correlation_is_spearmans(mean: list[float]) -> None:
    grid = [0.07, 0.1, 0.3, 1.0]
    found = rank_correlation(pd.Series(mean, index=grid))
    if np.ptp(mean) == 0:
        assert found == 0
    else:
        assert found == pytest.approx(stats.spearmanr(grid, mean).statistic)


def test_rank_correlation_needs_two_temperatures() -> None:
    with pytest.raises(ValueError, match="two or more"):
        rank_correlation(pd.Series([1.0], index=[0.3]))


@pytest.mark.parametrize(
    ("values", "digits", "shown"),
    [
        ([83.1, 83.4, 82.9, 83.6, 83.0], None, "83.20 ± 0.36 (5)"),
        ([83.1, 83.4, 82.9, 83.6, 83.0], 1, "83.2 ± 0.4 (5)"),
        ([80.0, 90.0, 85.0], None, "85 ± 12 (3)"),
        ([0.1780, 0.1802, 0.1791], None, "0.1791 ± 0.0027 (3)"),
        ([1.0, 1.0], None, "1.00 ± 0.00 (2)"),
        ([83.27], None, "83.27 (1)"),
        ([0.0267], None, "0.0267 (1)"),
        ([0.0267], 3, "0.027 (1)"),
        ([3.6], 2, "3.60 (1)"),
        ([], None, "–"),
        ([-0.0], None, "0 (1)"),
        ([-0.001], 2, "0.00 (1)"),
        ([-0.2, 0.1], 0, "0 ± 2 (2)"),
    ],
)
def test_cell_shows_mean_half_width_and_n(
    values: list[float], digits: int | None, shown: str
) -> None:
    assert format_cell(summary(values), digits) == shown


def test_differences_can_show_their_sign() -> None:
    assert format_cell(summary([0.85]), signed=True) == "+0.85 (1)"
    assert format_cell(summary([-1.0, -2.0, -3.0]), 2, signed=True) == "-2.00 ± 2.48 (3)"
    assert format_cell(summary([-0.001]), 2, signed=True) == "0.00 (1)"
    assert format_cell(summary([0.0]), signed=True) == "0 (1)"


def test_accuracy_margin_is_two_runs_of_the_authors_repeats() -> None:
    exact = 1.96 * math.sqrt(2) * 0.30
    assert exact <= ACCURACY_MARGIN < exact + 0.02


@pytest.mark.parametrize("column", ["uniformity", "tolerance"])
def test_geometry_margins_cover_table_1s_trendless_scatter(column: str) -> None:
    table = published.load(published.TABLE1)
    rows = table[(table["loss"] == "hard_contrastive") & table["dataset"].isin(["cifar10", "svhn"])]
    scatter = math.sqrt(rows.groupby("dataset")[column].var(ddof=1).mean())
    exact = 1.96 * math.sqrt(2) * scatter
    assert exact <= MARGINS[column] < 1.5 * exact
