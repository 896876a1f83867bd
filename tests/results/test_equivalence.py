"""Two one-sided tests against the equations, and what a study that ran twice is found to be."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tausweep.results import published
from tausweep.results.cells import Key
from tausweep.results.equivalence import EQUIVALENCE_MARGINS, equivalence, tost

NUMBERS = st.floats(-5, 5).map(lambda value: round(value, 3))


def by_seed(values: list[float], first: int = 0) -> pd.Series[float]:
    return pd.Series(values, index=range(first, first + len(values)), dtype=float)


def t_tail(x: float, df: float) -> float:
    """P(T > x) in float64: the density's integral from 0 to |x|, by Simpson's rule."""
    log_scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(df * math.pi) / 2
    at = np.linspace(0.0, abs(x), 20_001)
    density = np.exp(log_scale - (df + 1) / 2 * np.log1p(at**2 / df))
    weights = np.ones_like(at)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    inside = float(weights @ density) * abs(x) / 20_000 / 3
    return 0.5 - inside if x >= 0 else 0.5 + inside


def reference(a: list[float], b: list[float], margin: float, paired: bool) -> float:
    """The larger p-value of Schuirmann's two tests, from the sums of the textbook."""
    n, m = len(a), len(b)
    mean_a, mean_b = math.fsum(a) / n, math.fsum(b) / m
    if paired:
        gaps = [x - y for x, y in zip(a, b, strict=True)]
        mean = math.fsum(gaps) / n
        error = math.sqrt(math.fsum((g - mean) ** 2 for g in gaps) / (n - 1) / n)
        df: float = n - 1
    else:
        mean = mean_a - mean_b
        va = math.fsum((x - mean_a) ** 2 for x in a) / (n - 1) / n
        vb = math.fsum((x - mean_b) ** 2 for x in b) / (m - 1) / m
        error = math.sqrt(va + vb)
        df = (va + vb) ** 2 / (va**2 / (n - 1) + vb**2 / (m - 1))
    not_below = t_tail((mean + margin) / error, df)
    not_above = t_tail((margin - mean) / error, df)
    return max(not_below, not_above)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([80.1, 81.3, 79.2], [80.3, 80.9, 79.9]),
        ([3.0, 3.1, 2.9, 3.05, 3.2], [3.02, 3.0, 2.95, 3.1, 3.11]),
        ([1.0, 2.0], [4.0, 4.5]),
    ],
)
def test_p_values_are_those_of_the_equations(a: list[float], b: list[float], paired: bool) -> None:
    other = by_seed(b) if paired else by_seed(b, first=100)
    for margin in (0.05, 0.5, 1.4, 6.0):
        found = tost(by_seed(a), other, margin)
        assert found.method == ("paired" if paired else "Welch")
        # Simpson's rule on 20,000 steps is exact to far below this.
        assert found.p == pytest.approx(reference(a, b, margin, paired), abs=1e-9)


def test_a_published_example() -> None:
    """Student's sleep data (1908), paired: mean 1.58, error 0.38896, t(9) = 1.0798 for 2."""
    drug_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    drug_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = tost(by_seed(drug_2), by_seed(drug_1), margin=2.0)
    assert found.mean == pytest.approx(1.58)
    assert found.error == pytest.approx(0.38896, abs=1e-5)
    assert found.interval == pytest.approx((0.8670, 2.2930), abs=1e-4)
    assert not found.equivalent
    assert tost(by_seed(drug_2), by_seed(drug_1), margin=2.3).equivalent


@given(
    a=st.lists(NUMBERS, min_size=2, max_size=6),
    b=st.lists(NUMBERS, min_size=2, max_size=6),
    margin=st.floats(0.01, 10),
)
def test_equivalent_is_an_interval_within_the_margin(
    a: list[float], b: list[float], margin: float
) -> None:
    found = tost(by_seed(a), by_seed(b), margin)
    assert found.interval is not None
    low, high = found.interval
    if min(abs(low + margin), abs(high - margin)) > 1e-9:
        assert found.equivalent == (-margin < low and high < margin)
    turned = tost(by_seed(b), by_seed(a), margin)
    assert turned.p == pytest.approx(found.p, abs=1e-12)
    assert turned.mean == pytest.approx(-found.mean, abs=1e-12)


def test_a_false_equivalence_is_as_rare_as_the_level() -> None:
    """At a true difference of exactly the margin, 5% are called equivalent."""
    generator = np.random.default_rng(0)
    called = sum(
        tost(by_seed(list(1.0 + 0.1 * generator.standard_normal(5))), by_seed([0.0] * 5), 1.0)
        .equivalent
        for _ in range(2000)
    )  # fmt: skip
    # 100 expected, with a deviation of 9.7.
    assert 60 < called < 140


def test_the_same_numbers_are_equivalent_and_one_seed_shows_nothing() -> None:
    same = tost(by_seed([1.0, 2.0]), by_seed([1.0, 2.0]), 0.1)
    assert (same.equivalent, same.p, same.interval) == (True, 0.0, (0.0, 0.0))
    assert not tost(by_seed([1.0, 2.0]), by_seed([1.5, 2.5]), 0.1).equivalent
    single = tost(by_seed([1.0]), by_seed([1.0]), 0.1)
    assert (single.equivalent, single.p, single.interval) == (False, None, None)
    assert math.isnan(tost(by_seed([]), by_seed([1.0]), 0.1).mean)
    assert tost(by_seed([1.0, math.nan]), by_seed([1.0, 2.0]), 0.1).p is None


def test_what_is_no_number_or_margin_is_refused() -> None:
    for margin in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="margin"):
            tost(by_seed([1.0]), by_seed([1.0]), margin)
    with pytest.raises(ValueError, match="a: a seed is listed twice"):
        tost(pd.Series([1.0, 2.0], index=[0, 0]), by_seed([1.0]), 1.0)
    with pytest.raises(ValueError, match="b: an infinite number"):
        tost(by_seed([1.0]), by_seed([math.inf]), 1.0)


def test_margins_are_less_than_half_of_the_papers_smallest_effect() -> None:
    """Of a temperature of 0.3 instead of 0.07, on every dataset of Table 1."""
    table = published.records()
    rows = table[table["loss"] == "contrastive"].set_index(["dataset", "temperature"])
    column_of = {"knn_accuracy": "linear_accuracy"}
    for column, margin in EQUIVALENCE_MARGINS.items():
        numbers = rows[column_of.get(column, column)]
        effects = (numbers.xs(0.3, level=1) - numbers.xs(0.07, level=1)).abs()
        assert len(effects) == 4
        assert margin < effects.min() / 2


def a_table(shift: float = 0.0, **changes: object) -> pd.DataFrame:
    """Two trained cells and a baseline of three seeds."""
    rows = []
    for seed in range(3):
        for loss, temperature in (("contrastive", 0.1), ("contrastive", 1.0), ("raw_pixels", None)):
            accuracy = 80 + seed + (temperature or 0.0) + shift * (loss == "contrastive")
            rows.append(
                {"study": "s", "dataset": "d", "loss": loss, "temperature": temperature,
                 "seed": seed, "status": "complete", "linear_accuracy": accuracy,
                 "settings_digest": f"{loss}{temperature}{seed}", "data_digest": "d", **changes}
            )  # fmt: skip
    return pd.DataFrame(rows)


def test_a_study_is_compared_by_the_mean_over_its_trained_cells() -> None:
    (found,) = equivalence(a_table(shift=1.0), a_table()).measures
    assert found.column == "linear_accuracy"
    assert found.study.mean == pytest.approx(1.0)
    assert found.study.error == pytest.approx(0.0)
    assert (found.study.margin, found.study.method) == (1.4, "paired")
    assert (found.holds, found.seeds, found.equivalent_cells) == (True, (3, 3), 2)
    assert {key.loss for key in found.cells} == {"contrastive"}
    (far,) = equivalence(a_table(shift=2.0), a_table()).measures
    assert far.holds is False
    assert len(far.beyond) == 2


def test_one_number_that_is_far_off_is_noticed() -> None:
    theirs = a_table()
    theirs.loc[0, "linear_accuracy"] = 100.0
    (found,) = equivalence(theirs, a_table()).measures
    assert found.holds is False


def test_cells_that_cancel_are_noticed_one_by_one() -> None:
    theirs = a_table()
    contrastive = theirs["loss"] == "contrastive"
    theirs.loc[contrastive & (theirs["temperature"] == 0.1), "linear_accuracy"] += 5
    theirs.loc[contrastive & (theirs["temperature"] == 1.0), "linear_accuracy"] -= 5
    (found,) = equivalence(theirs, a_table()).measures
    assert found.study.equivalent
    assert found.holds is False


def test_other_settings_are_left_out_and_other_seeds_are_not() -> None:
    left = equivalence(a_table(settings_digest="other"), a_table())
    assert left.measures == ()
    assert left.left_out == (Key("d", "contrastive", 0.1), Key("d", "contrastive", 1.0))
    other_seeds = a_table()
    other_seeds["seed"] += 10
    (found,) = equivalence(other_seeds, a_table()).measures
    assert found.study.method == "Welch"


def test_a_run_that_diverged_on_one_side_only_is_named() -> None:
    theirs = a_table()
    theirs.loc[0, "status"] = "diverged"
    found = equivalence(theirs, a_table())
    assert found.outcomes == ((Key("d", "contrastive", 0.1), 0),)
    assert equivalence(theirs, theirs).outcomes == ()
