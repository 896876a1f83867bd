"""Seeds -> mean, interval, paired difference: known values, identities, and what must not count."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tausweep import published
from tausweep.statistics import (
    ACCURACY_MARGIN,
    MARGINS,
    Summary,
    best_temperature,
    bootstrap_interval,
    format_cell,
    noise_margin,
    paired,
    rank_correlation,
    split_margin,
    summary,
    widened,
)

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
    with pytest.raises(ValueError, match="one number a seed"):
        summary(np.zeros((3, 10000)))


def test_infinite_number_is_refused() -> None:
    with pytest.raises(ValueError, match="infinite"):
        summary([1.0, math.inf])


def test_pairing_is_by_seed_and_counts_the_unpaired() -> None:
    a = pd.Series({2: 13.0, 0: 10.0, 1: 11.5, 5: 99.0})
    b = pd.Series({0: 9.0, 1: 10.0, 2: 11.0, 7: -99.0, 8: math.nan})
    found = paired(a, b)
    assert (found.mean, found.n, found.unpaired) == (pytest.approx(1.5), 3, 2)
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


def test_margin_of_a_small_split_is_that_of_two_binomial_shares() -> None:
    share = stats.binom(360, 0.9)
    assert split_margin(90, 360) == pytest.approx(
        100 * 1.96 * math.sqrt(2) * share.std() / 360, rel=1e-12
    )
    assert split_margin(100, 10) == 0
    with pytest.raises(ValueError, match="images 0"):
        split_margin(90, 0)


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


def curves(rows: list[list[float]], grid: list[float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=grid)


def test_best_temperature_of_the_mean_curve() -> None:
    table = curves([[1, 5, 3], [1, 2, 7], [0, 6, 3]], [0.07, 0.3, 1.0])
    found = best_temperature(table)
    assert found.value == 0.3  # means 2/3, 13/3, 13/3: the lower temperature at a tie
    assert (found.low, found.high) == (0.3, 1.0)
    assert best_temperature(table[[1.0, 0.07, 0.3]]) == found


def test_best_temperature_of_one_seed_has_no_interval() -> None:
    found = best_temperature(curves([[1, 5, 3]], [0.07, 0.3, 1.0]))
    assert (found.value, found.low, found.high, found.n) == (0.3, None, None, 1)


def test_bootstrap_of_two_seeds_spans_both() -> None:
    # Resamples of two seeds are aa, ab, ba, bb, each a quarter: 2.5% and 97.5% are the extremes.
    found = bootstrap_interval([[0.0, 1.0], [4.0, 2.0]], lambda mean: mean[..., 0] - mean[..., 1])
    assert found == (-1.0, 2.0)


def test_bootstrap_resamples_seeds_as_all_resamples_would() -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(size=(4, 5)) + np.linspace(0, 1, 5)
    every = np.stack(np.meshgrid(*[np.arange(4)] * 4), axis=-1).reshape(-1, 4)
    means = table[every].mean(axis=1)
    exact = np.quantile(means[:, 4] - means[:, 0], [0.025, 0.975])
    found = bootstrap_interval(table, lambda mean: mean[..., 4] - mean[..., 0])
    assert found == pytest.approx(exact, abs=0.05)


def test_rank_correlation_is_spearmans_with_ties() -> None:
    grid = [0.07, 0.3, 0.7, 1.0]
    tolerance = [0.034, 0.0267, 0.030, 0.030]
    found = rank_correlation(curves([tolerance], grid))
    assert found.value == pytest.approx(stats.spearmanr(grid, tolerance).statistic)
    assert (found.low, found.n) == (None, 1)


@given(st.lists(st.lists(numbers, min_size=4, max_size=4), min_size=1, max_size=3))
def test_rank_correlation_is_spearmans_of_the_mean(rows: list[list[float]]) -> None:
    mean = np.mean(rows, axis=0)
    found = rank_correlation(curves(rows, [0.07, 0.1, 0.3, 1.0]))
    if np.ptp(mean) == 0:
        assert found.value == 0
    else:
        expected = stats.spearmanr([0.07, 0.1, 0.3, 1.0], mean).statistic
        assert found.value == pytest.approx(expected)
    if found.low is not None and found.high is not None:
        assert -1 - 1e-12 <= found.low <= found.high <= 1 + 1e-12


def test_rank_correlation_needs_two_temperatures() -> None:
    with pytest.raises(ValueError, match="two or more"):
        rank_correlation(curves([[1.0]], [0.3]))


def test_bootstrap_refuses_holes() -> None:
    with pytest.raises(ValueError, match="finite"):
        bootstrap_interval([[1.0, math.nan], [1.0, 2.0]], lambda mean: mean[..., 0])


def test_global_random_state_is_neither_used_nor_touched() -> None:
    table = curves(np.random.default_rng(0).normal(size=(5, 4)).tolist(), [0.07, 0.3, 0.7, 1.0])
    np.random.seed(1)  # noqa: NPY002
    first = best_temperature(table), rank_correlation(table)
    left = np.random.rand()  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert (best_temperature(table), rank_correlation(table)) == first
    np.random.seed(1)  # noqa: NPY002
    assert np.random.rand() == left  # noqa: NPY002


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
