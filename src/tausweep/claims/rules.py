"""The rules behind the paper's claims: each turns one dataset's evidence into a finding.

``tausweep.claims.paper`` says which claim is judged by which rule. A rule is composed of the
comparisons in ``tausweep.claims.comparisons``. The thresholds that are this project's own reading
of the paper are at the top.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import pandas as pd

from tausweep.claims.columns import ACCURACY, Column, tolerance_gap
from tausweep.claims.comparisons import (
    Finding,
    bounded,
    difference,
    graded,
    highest,
    identity,
    mostly,
    peak,
    together,
    trend,
)
from tausweep.claims.evidence import Evidence
from tausweep.claims.phrases import in_words, loss_words
from tausweep.claims.readings import Reading, nearest_temperature
from tausweep.results.cells import printed

Rule: TypeAlias = Callable[[Evidence], Finding]

FAR = 0.10
"""Share of (best minus untrained) that counts as "far", "heavily" and "useful". Over the paper's
range of 50 points it is 5 points. The paper calls 8.44 points or more far, and has 6.64 or more at
0.05."""

COMPETITIVE = 0.04
"""Share of the same range below which a loss still competes: 2 points of 50. The paper calls up to
0.79 points competitive."""

IDENTITY_ERROR = 1e-4
"""Allowed error of an identity. The measures are float64, but at small tau the difference 1 - P_ii
costs the positive's gradient some digits."""

LIMIT = 0.01
"""Relative error at which a limit in tau counts as reached."""

SHARE = 0.99
"""Share of a run's anchors for which a statement about every anchor must hold."""

STABLE = 0.1
"""Spread of uniformity over tau up to which it counts as stable: the paper's hard contrastive rows
spread by 0.03 at most, its contrastive ones by 0.83 or more."""

SMALLEST = 0.05
"""Temperatures up to this are "extremely small". The paper leaves them out of its trends (sec.
3.2), and so do our claims about geometry. Tables and figures show them."""


def trend_of(loss: str, column: Column, rising: bool) -> Rule:
    """The rule that a measure of a loss rises (or falls) over the temperatures."""
    return lambda e: _trend(e, loss, column, rising)


def hard_against_contrastive(column: str, lower: bool = False) -> Rule:
    """The rule that hard contrastive is above (or below) contrastive at most temperatures."""
    return lambda e: _hard_minus_contrastive(e, column, lower)


def identity_of(column: str, value: float, tolerance: float) -> Rule:
    """The rule that a number has a known value in every contrastive run."""
    return lambda e: identity(e.runs("contrastive", column), value, tolerance)


def tolerance_rises(e: Evidence) -> Finding:
    """Tolerance rises; so should its distance from the similarity of different classes."""
    found = _trend(e, "contrastive", "tolerance", rising=True)
    beside = _trend(e, "contrastive", tolerance_gap, rising=True)
    if not beside.numbers or not found.numbers:
        return found
    opposed = {found.outcome, beside.outcome} == {"supported", "contradicted"}
    return replace(
        found,
        outcome="undecided" if opposed else found.outcome,
        reason=f"{found.reason}; beside it: {beside.reason}",
        numbers={**found.numbers, "gap": beside.numbers},
    )


def reverse_u(e: Evidence) -> Finding:
    """Best in the middle, clearly worse at the ends.

    This is weaker than strict unimodality, because the author's own row varies by 0.5 points.
    """
    loss = "contrastive"
    noise = e.noise(ACCURACY)
    curve = e.curve(loss, ACCURACY)
    low, high = nearest_temperature(curve.grid, 0.07), nearest_temperature(curve.grid, 1.0)
    middle = [t for t in curve.grid if 0.2 - 1e-9 <= t <= 0.3 + 1e-9]
    stand_ins = {nearest_temperature(curve.grid, 0.2), nearest_temperature(curve.grid, 0.3)}
    middle = middle or sorted(t for t in stand_ins - {None, low, high} if t is not None)
    if curve.problem:
        return Finding(curve.state, curve.problem)
    if low is None or high is None or not middle:
        grid = ", ".join(map(printed, curve.grid))
        reason = (
            "the grid needs 0.07, 0.2 or 0.3, and 1.0, or temperatures near them; it has " + grid
        )
        return Finding("not tested", reason)
    best = e.cell(loss, ACCURACY, highest(curve, middle))
    cells = {t: e.cell(loss, ACCURACY, t) for t in curve.grid}
    ends = {
        name: _accuracy_gap(e, best, e.cell(loss, ACCURACY, t, named))
        for name, t, named in (("above_low", low, 0.07), ("above_high", high, 1.0))
    }
    place = peak(curve, middle, noise, lambda t, u: e.split(cells[t], cells[u]))
    # An end above the middle contradicts only the part of the claim about where the peak is.
    ends = {
        name: replace(end, outcome="undecided") if end.outcome == "contradicted" else end
        for name, end in ends.items()
    }
    found = together({"location": place, **ends})
    lacking = [t for t in (0.2, 0.3) if not any(math.isclose(t, u) for u in curve.grid)]
    if found.outcome == "contradicted" and lacking:
        absent = " and ".join(map(printed, lacking))
        reason = f"the grid lacks {absent}, which the claim names; {found.reason}"
        return replace(found, outcome="not tested", reason=reason)
    return found


def hard_is_uniform(e: Evidence) -> Finding:
    """Hard contrastive is more uniform, and its uniformity spreads far less."""
    return together(
        {
            "more_uniform": _hard_minus_contrastive(e, "uniformity", family=2),
            "varies_less": _stable_uniformity(e, family=2),
        }
    )


def hard_gains_at_large_tau(e: Evidence) -> Finding:
    """Hard contrastive gains at large tau and beats contrastive there."""
    loss = "hard_contrastive"
    small = e.near(loss, ACCURACY, 0.07)
    large = {
        t: _accuracy_gap(e, e.cell(loss, ACCURACY, t), small, family=3)
        for t in e.temperatures(loss, ACCURACY)
        if 0.3 - 1e-9 <= t <= 1.0 + 1e-9
    }
    return together(
        {
            "large_tau": mostly(
                large, f"accuracy of hard contrastive from 0.3 to 1.0 minus {small.name}"
            ),
            "beats_at_0.7": _hard_minus_contrastive_near(e, 0.7, family=3),
            "beats_at_1": _hard_minus_contrastive_near(e, 1.0, family=3),
        }
    )


def simple_is_far_worse(e: Evidence) -> Finding:
    """Simple is below contrastive at 0.3 by more than a share of ``FAR``."""
    return _far_below(e, e.cell("simple", ACCURACY), e.near("contrastive", ACCURACY, 0.3))


def hard_simple_competes(e: Evidence) -> Finding:
    """Hard simple is above contrastive at 0.3 minus a share of ``COMPETITIVE``."""
    ours = e.cell("hard_simple", ACCURACY)
    theirs = e.near("contrastive", ACCURACY, 0.3)
    return _accuracy_gap(e, ours, theirs, -COMPETITIVE * e.scale[0])


def gradients_balance(e: Evidence) -> Finding:
    """Negative gradients sum to the positive one; the entropy rises."""
    return together(
        {
            "balance": identity(e.runs("contrastive", "gradient_balance"), 0, IDENTITY_ERROR),
            "entropy": identity(e.runs("contrastive", "entropy_rises"), 1, 1 - SHARE),
        }
    )


def limits_in_tau(e: Evidence) -> Finding:
    """The loss reaches both of its limits in tau."""
    return together(
        {
            "low": identity(e.runs("contrastive", "limit_low_error"), 0, LIMIT),
            "high": identity(e.runs("contrastive", "limit_high_error"), 0, LIMIT),
        }
    )


def nearest_negative_is_useless(e: Evidence) -> Finding:
    """Nearest negative is far below contrastive and little above the baselines."""
    worst = e.cell("nearest_negative", ACCURACY)
    curve = e.curve("contrastive", ACCURACY, minimum=1)
    floors = [e.cell(name, ACCURACY) for name in ("untrained", "raw_pixels")]
    lacking = next((f for f in floors if f.problem), None)
    floor = lacking or max(floors, key=lambda f: float(f.values.mean()))
    if curve.problem:
        best = Reading(curve.name, pd.Series(dtype=float), curve.problem, curve.state)
    else:
        best = e.cell("contrastive", ACCURACY, highest(curve, curve.grid))
    return together(
        {
            "far_below": _far_below(e, worst, best, family=2),
            "nothing": _accuracy_gap(e, floor, worst, -FAR * e.scale[0], family=2),
        }
    )


def small_tau_degrades(e: Evidence) -> Finding:
    """The best temperature is above the smallest one by more than a share of ``FAR``."""
    loss = "contrastive"
    curve = e.curve(loss, ACCURACY, minimum=2)
    if curve.problem:
        return Finding(curve.state, curve.problem)
    smallest, others = curve.grid[0], curve.grid[1:]
    if smallest > SMALLEST + 1e-9:
        reason = (
            f"the smallest temperature is {printed(smallest)}; the claim needs one of at most "
            f"{SMALLEST:g}"
        )
        return Finding("not tested", reason)
    best = highest(curve, others)
    return _far_below(e, e.cell(loss, ACCURACY, smallest), e.cell(loss, ACCURACY, best))


def hard_lowers_interclass(e: Evidence) -> Finding:
    """Hard contrastive is below contrastive in similarity to other classes' nearest images."""
    found = _hard_minus_contrastive(e, "nearest_interclass_similarity", lower=True)
    plain = _hard_minus_contrastive(e, "interclass_similarity", lower=True)
    if not found.numbers or not plain.numbers:
        return found
    return replace(found, reason=f"{found.reason}; shown but not judged: {plain.reason}")


def tolerant_at_stable_uniformity(e: Evidence) -> Finding:
    """Hard contrastive gains tolerance over tau while its uniformity hardly changes."""
    return together(
        {
            "tolerance_rises": _trend(e, "hard_contrastive", "tolerance", True, family=2),
            "stable": _stable_uniformity(e, family=2),
            "spread": bounded(_spread(e, "hard_contrastive"), STABLE, at_most=True),
        }
    )


def _trend(e: Evidence, loss: str, column: Column, rising: bool, family: int = 1) -> Finding:
    curve = e.curve(loss, column, e.temperatures(loss, column, SMALLEST))
    return trend(curve, e.noise(column), rising, family)


def _accuracy_gap(
    e: Evidence, a: Reading, b: Reading, threshold: float = 0.0, family: int = 1
) -> Finding:
    split = 0.0 if a.problem or b.problem else e.split(a, b)
    found = difference(a, b, e.noise(ACCURACY), threshold, split=split, family=family)
    return replace(found, reason=f"in accuracy, {found.reason}") if found.numbers else found


def _hard_minus_contrastive(
    e: Evidence, column: str, lower: bool = False, family: int = 1
) -> Finding:
    """Hard contrastive above (or below) contrastive at most of the temperatures that both have."""
    ours, theirs = "hard_contrastive", "contrastive"
    if lower:
        ours, theirs = theirs, ours
    grid = _common(e, column, SMALLEST)
    if len(grid) == 1:
        reason = (
            f"{in_words(column)} of both losses is measured at one temperature above "
            f"{SMALLEST:g}; two are needed"
        )
        return Finding("not tested", reason)
    noise = e.noise(column)
    parts = {
        t: difference(e.cell(ours, column, t), e.cell(theirs, column, t), noise, family=family)
        for t in grid
    }
    what = f"{in_words(column)} of {loss_words(ours)} minus {loss_words(theirs)}"
    return mostly(parts, what)


def _hard_minus_contrastive_near(e: Evidence, temperature: float, family: int) -> Finding:
    t = nearest_temperature(_common(e, ACCURACY), temperature)
    hard, plain = (
        e.cell(loss, ACCURACY, temperature if t is None else t, stands_for=temperature)
        for loss in ("hard_contrastive", "contrastive")
    )
    return _accuracy_gap(e, hard, plain, family=family)


def _stable_uniformity(e: Evidence, family: int) -> Finding:
    hard, plain = (_spread(e, loss) for loss in ("hard_contrastive", "contrastive"))
    half = replace(plain.scaled(0.5), name=f"half of {plain.name}")
    noise = e.noise("uniformity")
    # A spread is a difference of two runs (weight 2); minus half of another it has 2 + 0.5.
    return graded(
        difference(half, hard, noise, weight=2.5),
        difference(plain, hard, noise, weight=4, family=family),
    )


def _spread(e: Evidence, loss: str) -> Reading:
    return e.curve(loss, "uniformity", _common(e, "uniformity", SMALLEST), minimum=2).spread()


def _far_below(e: Evidence, low: Reading, high: Reading, family: int = 1) -> Finding:
    return graded(
        _accuracy_gap(e, high, low, FAR * e.scale[0]), _accuracy_gap(e, high, low, family=family)
    )


def _common(e: Evidence, column: str, above: float = 0.0) -> list[float]:
    hard = set(e.temperatures("hard_contrastive", column, above))
    return [t for t in e.temperatures("contrastive", column, above) if t in hard]
