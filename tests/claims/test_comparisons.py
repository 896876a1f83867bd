"""Comparisons: no evidence speaks for both sides, and parts add up."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claim_records import CONTRADICTED, SUPPORTED, UNDECIDED
from tausweep.claims.comparisons import Finding, clearly, difference, mostly, together
from tausweep.claims.readings import Reading
from tausweep.results.intervals import Noise, PairedSummary, paired


@given(st.integers(2, 9), st.floats(0.01, 2), st.floats(0, 4))
def test_tied_seeds_decide_from_the_margin_over_root_n_on(
    n: int, margin: float, mean: float
) -> None:
    gap = PairedSummary(mean, 0.0, n, 0.0)
    assert (clearly(gap, Noise(margin)) != UNDECIDED) == (mean >= margin / math.sqrt(n) - 1e-9)


small = st.floats(-5, 5, allow_nan=False).map(lambda x: round(x, 3))


@given(st.lists(st.tuples(small, small), min_size=1, max_size=5), st.floats(0, 2), small)
def test_no_evidence_speaks_for_both_sides(
    pairs: list[tuple[float, float]], margin: float, threshold: float
) -> None:
    a, b = pd.Series([p[0] for p in pairs]), pd.Series([p[1] for p in pairs])
    noise = Noise(margin, one_run=True)
    there = clearly(paired(a, b), noise, threshold)
    back = clearly(paired(b, a), noise, -threshold)
    turned = {SUPPORTED: CONTRADICTED, CONTRADICTED: SUPPORTED, UNDECIDED: UNDECIDED}
    assert back == turned[there]


@given(small, st.floats(0.01, 2))
def test_one_seed_is_decided_exactly_from_the_margin_on(mean: float, margin: float) -> None:
    found = clearly(PairedSummary(mean, None, 1, None), Noise(margin, one_run=True))
    assert (found != UNDECIDED) == (abs(mean) >= margin - 1e-9)


def test_no_common_seed_is_undecided() -> None:
    a, b = Reading("a", pd.Series({0: 1.0})), Reading("b", pd.Series({1: 0.0}))
    assert difference(a, b, Noise(0.1)).outcome == UNDECIDED
    assert "no seed in common" in difference(a, b, Noise(0.1)).reason


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ("sss", SUPPORTED),
        ("ssu", SUPPORTED),
        ("suu", UNDECIDED),
        ("su", UNDECIDED),
        ("sssc", UNDECIDED),
        ("sccc", UNDECIDED),
        ("ccu", CONTRADICTED),
        ("cuu", UNDECIDED),
        ("uuu", UNDECIDED),
    ],
)
def test_mostly_needs_more_than_half_and_nothing_against(outcomes: str, expected: str) -> None:
    named = {"s": SUPPORTED, "c": CONTRADICTED, "u": UNDECIDED}
    parts = {float(i): Finding(named[o], "", "", {"n": 1}) for i, o in enumerate(outcomes)}  # type: ignore[arg-type]
    assert mostly(parts, "x").outcome == expected


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [("ss", SUPPORTED), ("su", UNDECIDED), ("sc", CONTRADICTED), ("uc", CONTRADICTED)],
)
def test_together_all_parts_are_needed_and_one_can_refute(outcomes: str, expected: str) -> None:
    named = {"s": SUPPORTED, "c": CONTRADICTED, "u": UNDECIDED}
    parts = {str(i): Finding(named[o], "", "", {"n": 1}) for i, o in enumerate(outcomes)}  # type: ignore[arg-type]
    assert together(parts).outcome == expected
