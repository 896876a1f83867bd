"""Three-valued comparisons: supported, contradicted or undecided, with the numbers that decided.

Every comparison is written so that a positive difference is what the claim says. A difference is
*clearly* beyond a threshold when the end of its interval nearer to the threshold is: with two seeds
or more the 95% t-interval of the difference paired by seed, whose half-width counts as the noise
margin / sqrt n at least (``statistics.widened``), with one seed the difference plus or minus the
noise margin (reaching the margin exactly is enough).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from tausweep.evidence import Cell, Curve
from tausweep.statistics import (
    Estimate,
    PairedSummary,
    best_temperature,
    format_cell,
    paired,
    rank_correlation,
    summary,
    widened,
)

Outcome = Literal["supported", "contradicted", "undecided"]

ROUNDING = 1e-9
"""Decimal differences such as 95.02 - 94.17 fall short of their decimal value by float rounding."""


@dataclass(frozen=True)
class Finding:
    """What a comparison found.

    Attributes:
        outcome: Supported, contradicted or undecided.
        reason: One sentence with the deciding numbers.
        headline: The deciding numbers alone, a few characters for a table.
        numbers: JSON-ready.
        asked: False where the study lacks what the comparison reads; then it is undecided.
    """

    outcome: Outcome
    reason: str
    headline: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)
    asked: bool = True


def clearly(difference: PairedSummary, margin: float, threshold: float = 0.0) -> Outcome:
    """Whether a difference is clearly above a threshold, clearly below it, or neither.

    Args:
        difference: Over seeds; n = 0 is undecided.
        margin: Noise margin of one seed's difference, 0 or more.
        threshold: In the difference's unit.
    """
    if difference.n == 0:
        return "undecided"
    interval = widened(difference, margin).half_width
    half_width = margin if interval is None else interval
    excess = difference.mean - threshold
    if abs(excess) <= ROUNDING or abs(excess) < half_width - ROUNDING:
        return "undecided"
    return "supported" if excess > 0 else "contradicted"


def difference(a: Cell, b: Cell, margin: float, threshold: float = 0.0) -> Finding:
    """The claim that a - b is above a threshold, paired by seed."""
    if (lacking := _lacking(a, b)) is not None:
        return lacking
    gap = widened(paired(a.values, b.values), margin)
    if gap.n == 0:
        return Finding("undecided", f"{a.name} and {b.name} have no seed in common")
    seeds = a.values.index.intersection(b.values.index)
    outcome = clearly(gap, margin, threshold)
    beyond = {"supported": "clearly above", "contradicted": "clearly below"}.get(
        outcome, "not clearly apart from"
    )
    numbers = _numbers(gap) | {
        "a": _round(a.values[seeds].mean()),
        "b": _round(b.values[seeds].mean()),
        "threshold": threshold,
        "margin": margin,
    }
    shown = format_cell(gap, signed=True)
    reason = f"{a.name} minus {b.name} is {shown}, {beyond} {threshold:g}"
    return Finding(outcome, reason, shown, numbers)


def bounded(cell: Cell, bound: float, at_most: bool) -> Finding:
    """The claim that a cell's mean is at most (or at least) a bound, this project's reading of one.

    Missing the bound decides nothing: it is undecided, never contradicted.
    """
    if (lacking := _lacking(cell)) is not None:
        return lacking
    found = summary(cell.values.to_numpy())
    excess = bound - found.mean if at_most else found.mean - bound
    kept = excess >= -ROUNDING
    shown = format_cell(found)
    reason = (
        f"{cell.name} is {shown}, {'' if kept else 'not '}{bound:g} or "
        f"{'less' if at_most else 'more'}"
    )
    numbers = {key: _round(value) for key, value in asdict(found).items()} | {"bound": bound}
    return Finding("supported" if kept else "undecided", reason, "" if kept else shown, numbers)


def together(parts: Mapping[str, Finding]) -> Finding:
    """A claim of several parts: supported if all are, contradicted if any is."""
    outcomes = {part.outcome for part in parts.values()}
    outcome: Outcome = "supported" if outcomes == {"supported"} else "undecided"
    if "contradicted" in outcomes:
        outcome = "contradicted"
    return Finding(
        outcome,
        "; ".join(part.reason for part in parts.values()),
        "; ".join(part.headline for part in parts.values() if part.headline),
        {name: {"outcome": part.outcome, **part.numbers} for name, part in parts.items()},
        outcome == "contradicted"
        or all(part.asked for part in parts.values())
        or any(part.asked and not part.numbers for part in parts.values()),
    )


def mostly(parts: Mapping[float, Finding], what: str) -> Finding:
    """A claim at each of several temperatures.

    Supported if more than half of the temperatures clearly support it and none clearly goes against
    it; contradicted the other way round. A temperature without evidence leaves it undecided.

    Args:
        parts: By temperature.
        what: The difference in words.
    """
    if not parts:
        return Finding("undecided", f"no temperature for {what}", asked=False)
    for part in parts.values():
        if not part.numbers:
            return part
    good, bad = (
        [t for t, part in parts.items() if part.outcome == outcome]
        for outcome in ("supported", "contradicted")
    )
    outcome: Outcome = "undecided"
    if len(good) > len(parts) / 2 and not bad:
        outcome = "supported"
    if len(bad) > len(parts) / 2 and not good:
        outcome = "contradicted"
    each = ", ".join(f"{part.headline} at {t:g}" for t, part in parts.items())
    return Finding(
        outcome,
        f"{what}: {each}; clearly above 0 at {len(good)} of {len(parts)} temperatures, "
        f"clearly below at {len(bad)}",
        f"{len(good)} for, {len(bad)} against of {len(parts)}",
        {f"{t:g}": {"outcome": part.outcome, **part.numbers} for t, part in parts.items()},
    )


def graded(strong: Finding, weak: Finding) -> Finding:
    """A claim of degree ("far less"): supported if the strong form is, contradicted if the weak is.

    In between (less, but not far less) it is undecided, since the degree is this project's reading.
    """
    if not strong.numbers:
        return strong
    outcome: Outcome = "supported" if strong.outcome == "supported" else "undecided"
    if weak.outcome == "contradicted":
        outcome = "contradicted"
    deciding = weak if outcome == "contradicted" else strong
    return Finding(outcome, deciding.reason, deciding.headline, deciding.numbers)


def trend(curve: Curve, margin: float, rising: bool) -> Finding:
    """The claim that a curve rises (or falls) over the temperatures.

    Supported if (a) the change from the lowest to the highest temperature clearly has the claimed
    sign, (b) the mean of no step between neighbouring temperatures goes the other way by the margin
    or more, whether or not the seeds agree on it, and (c) the rank correlation of the seeds' mean
    curve with temperature has the claimed sign, with two seeds or more its 95% bootstrap interval
    too. Contradicted if (a) clearly has the other sign.
    """
    if curve.problem:
        return Finding("undecided", curve.problem, asked=curve.asked)
    sign = 1 if rising else -1
    table = curve.table * sign
    steps = {f"{t:g} to {u:g}": (t, u) for t, u in itertools.pairwise(curve.grid)}
    against = [
        name
        for name, (t, u) in steps.items()
        # A margin of 0 leaves no step of 0 against the trend.
        if paired(table[u], table[t]).mean < min(-margin + ROUNDING, 0)
    ]
    low, high = curve.grid[0], curve.grid[-1]
    change = paired(table[high], table[low])
    rho = rank_correlation(curve.table)
    ordered = all(end is None or sign * end > 0 for end in (rho.value, rho.low, rho.high))
    outcome = clearly(change, margin)
    if outcome == "supported" and (against or not ordered):
        outcome = "undecided"
    natural = widened(paired(curve.table[high], curve.table[low]), margin)
    shown = format_cell(natural, signed=True)
    reason = (
        f"{curve.name} changes by {shown} from {low:g} to {high:g}, rank correlation with tau "
        f"{rho.value:.2f}"
    )
    if against:
        reason += f"; against the trend by the margin or more from {', '.join(against)}"
    numbers = {
        "mean": {f"{t:g}": _round(curve.table[t].mean()) for t in curve.grid},
        "change": _numbers(natural),
        "rank_correlation": _estimate(rho),
        "steps_against": against,
        "margin": margin,
    }
    return Finding(outcome, reason, shown, numbers)


def peak(curve: Curve, among: list[float], margin: float) -> Finding:
    """The claim that a curve is highest at one of some temperatures of its grid.

    Supported if the seeds' mean curve is highest at one of them; contradicted if another
    temperature is clearly higher than each of them, by more than the margin. The temperatures that
    are within noise of the best (not clearly lower) are named: the claim is about the mean curve,
    not about a place that the seeds pin down.
    """
    if curve.problem:
        return Finding("undecided", curve.problem, asked=curve.asked)
    best = best_temperature(curve.table)
    below = {
        t: widened(paired(curve.table[best.value], curve.table[t]), margin)
        for t in curve.grid
        if t != best.value
    }
    level = [t for t, gap in below.items() if clearly(gap, margin) != "supported"]
    outcome: Outcome = "supported" if best.value in among else "undecided"
    if best.value not in among and all(
        t not in level and below[t].mean > margin - ROUNDING for t in among
    ):
        outcome = "contradicted"
    interval = f" [{best.low:g}, {best.high:g}]" if best.low is not None else ""
    reason = f"{curve.name} is best at {best.value:g}"
    if interval:
        reason += f" (bootstrap interval{interval})"
    if outcome != "supported":
        reason += ", by " + ", ".join(
            f"{format_cell(below[t], signed=True)} over {t:g}" for t in among
        )
    if level:
        reason += ", within noise of it: " + ", ".join(
            f"{t:g} ({format_cell(below[t], signed=True)})" for t in level
        )
    tied = f" (within noise: {', '.join(f'{t:g}' for t in level)})" if level else ""
    numbers = {
        "mean": {f"{t:g}": _round(curve.table[t].mean()) for t in curve.grid},
        "best_temperature": _estimate(best),
        "within_noise": level,
        "margin": margin,
    }
    return Finding(outcome, reason, f"best at {best.value:g}{interval}{tied}", numbers)


def identity(runs: Cell, value: float, tolerance: float) -> Finding:
    """The claim that a number has a known value in every run, up to a numerical tolerance.

    An identity is no matter of seeds: one run that breaks it contradicts it.
    """
    if (lacking := _lacking(runs)) is not None:
        return lacking
    error = (runs.values - value).abs()
    at = int(error.to_numpy().argmax())
    temperature, seed = runs.values.index[at]
    worst = float(runs.values.iloc[at])
    outcome: Outcome = "supported" if error.max() <= tolerance else "contradicted"
    reason = (
        f"{runs.name} is {worst:.3g} at worst (tau {temperature:g}, seed {seed}), "
        f"{value:g} within {tolerance:g} is allowed, in {runs.note or f'{len(error)} run(s)'}"
    )
    numbers = {
        "worst": _round(worst),
        "expected": value,
        "tolerance": tolerance,
        "runs": len(error),
    }
    return Finding(outcome, reason, f"{worst:.3g} at worst", numbers)


def _lacking(*cells: Cell) -> Finding | None:
    problems = list(dict.fromkeys(cell.problem for cell in cells if cell.problem))
    if not problems:
        return None
    # A failed cell is the study's own gap, even beside one that it never asked for.
    asked = any(cell.problem and cell.asked for cell in cells)
    return Finding("undecided", "; ".join(problems), asked=asked)


def _numbers(gap: PairedSummary) -> dict[str, Any]:
    return {key: _round(value) for key, value in asdict(gap).items()}


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {key: _round(value) for key, value in asdict(estimate).items()}


def _round(value: float | np.floating[Any] | None) -> float | int | None:
    """JSON-ready to 6 decimals (float noise differs between machines); not finite becomes none."""
    if value is None or not np.isfinite(value):
        return None
    return value if isinstance(value, int) else round(float(value), 6)
