"""Comparisons of cells and curves: an outcome, with the numbers that decided.

Every comparison is arranged so that a positive difference is what the claim says. A difference is
*clearly* beyond a threshold if its whole interval is (``intervals.Noise``). Single runs decide only
if the noise of one run is known.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, cast

import numpy as np

from tausweep.claims.phrases import count_of
from tausweep.claims.readings import Curve, Reading
from tausweep.results.cells import printed
from tausweep.results.intervals import (
    Noise,
    PairedSummary,
    format_cell,
    paired,
    rank_correlation,
    summary,
)

Outcome = Literal["supported", "contradicted", "undecided", "not tested", "not measured"]
OUTCOMES: tuple[Outcome, ...] = (
    "supported",
    "contradicted",
    "undecided",
    "not tested",
    "not measured",
)

RANK = 0.5
"""Smallest rank correlation with tau that counts as a trend."""

ROUNDING = 1e-9
"""Decimal differences such as 95.02 - 94.17 are slightly too small because of float rounding."""


@dataclass(frozen=True)
class Finding:
    """The result of a comparison.

    Attributes:
        outcome: One of ``OUTCOMES``.
        reason: One sentence with the deciding numbers.
        headline: The deciding numbers alone, a few characters for a table.
        numbers: The deciding numbers, ready for JSON.
        comparisons: How many differences were compared with noise.
    """

    outcome: Outcome
    reason: str
    headline: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)
    comparisons: int = 0


def clearly(
    difference: PairedSummary,
    noise: Noise,
    threshold: float = 0.0,
    *,
    weight: float = 2.0,
    split: float = 0.0,
    family: int = 1,
) -> Outcome:
    """Whether a difference is clearly above a threshold, clearly below it, or neither.

    Args:
        difference: The difference over seeds; n = 0 is undecided.
        noise: Noise of the measure.
        threshold: In the unit of the difference.
        weight: See ``Noise.half_width``.
        split: See ``Noise.half_width``.
        family: How many parts of the claim could each contradict it alone. Each gets its share of
            the 5% for contradiction. Support needs all parts, so it does not need this.
    """
    excess = difference.mean - threshold
    if difference.n == 0 or abs(excess) <= ROUNDING:
        return "undecided"
    allowed = noise.half_width(difference, weight, split, 1 if excess > 0 else family)
    if abs(excess) < allowed - ROUNDING:
        return "undecided"
    return "supported" if excess > 0 else "contradicted"


def difference(
    a: Reading,
    b: Reading,
    noise: Noise,
    threshold: float = 0.0,
    *,
    weight: float = 2.0,
    split: float = 0.0,
    family: int = 1,
) -> Finding:
    """The claim that a - b is above a threshold, paired by seed."""
    if (lacking := _lacking(a, b)) is not None:
        return lacking
    plain = paired(a.values, b.values)
    if plain.n == 0:
        return Finding("undecided", f"{a.name} and {b.name} have no seed in common")
    seeds = a.values.index.intersection(b.values.index)
    outcome = clearly(plain, noise, threshold, weight=weight, split=split, family=family)
    gap = noise.shown(plain, weight, split)
    beyond = {"supported": "clearly above", "contradicted": "clearly below"}.get(
        outcome, "not distinguishable from"
    )
    numbers = _numbers(gap) | {
        "a": _round(a.values[seeds].mean()),
        "b": _round(b.values[seeds].mean()),
        "threshold": _round(threshold),
        "margin": _round(noise.margin),
        "split_half_width": _round(1.96 * split**0.5),
        "family": family,
    }
    shown = format_cell(gap, signed=True)
    reason = f"{a.name} minus {b.name} is {shown}, {beyond} {threshold:.3g}"
    return Finding(outcome, reason, shown, numbers, 1)


def bounded(cell: Reading, bound: float, at_most: bool) -> Finding:
    """The claim that a cell's mean is at most (or at least) a bound.

    The bound is this project's reading of the claim, so missing it means undecided, not
    contradicted.
    """
    if (lacking := _lacking(cell)) is not None:
        return lacking
    found = summary(cell.values.to_numpy())
    excess = bound - found.mean if at_most else found.mean - bound
    kept = excess >= -ROUNDING
    shown = format_cell(found)
    limit = f"the limit of {bound:g}"
    relation = "within" if kept else "above" if at_most else "below"
    reason = f"{cell.name} is {shown}, {relation} {limit}"
    numbers = {key: _round(value) for key, value in asdict(found).items()} | {"bound": bound}
    return Finding("supported" if kept else "undecided", reason, "" if kept else shown, numbers)


def together(parts: Mapping[str, Finding]) -> Finding:
    """A claim of several parts: supported if all are, contradicted if any is.

    Otherwise it takes the first of these that any part has: not measured, not tested, undecided.
    """
    outcomes = {part.outcome for part in parts.values()}
    order: tuple[Outcome, ...] = ("contradicted", "not measured", "not tested", "undecided")
    outcome: Outcome = next((kind for kind in order if kind in outcomes), "supported")
    return Finding(
        outcome,
        "; ".join(part.reason for part in parts.values()),
        "; ".join(part.headline for part in parts.values() if part.headline),
        {name: {"outcome": part.outcome, **part.numbers} for name, part in parts.items()},
        sum(part.comparisons for part in parts.values()),
    )


def mostly(parts: Mapping[float, Finding], what: str) -> Finding:
    """A claim at each of several temperatures.

    Supported if more than half of the temperatures clearly support it and none is clearly against
    it; contradicted if the reverse holds. A temperature without evidence leaves it undecided.

    Args:
        parts: Findings by temperature.
        what: The difference in words.
    """
    if not parts:
        return Finding("not measured", f"{what} was not measured at any common temperature")
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
    each = ", ".join(f"{part.headline} at {printed(t)}" for t, part in parts.items())
    return Finding(
        outcome,
        f"{what}: {each}; clearly above 0 at {len(good)} of {len(parts)} temperatures, "
        f"clearly below 0 at {len(bad)}",
        f"{len(good)} of {len(parts)} for, {len(bad)} against",
        {printed(t): {"outcome": part.outcome, **part.numbers} for t, part in parts.items()},
        len(parts),
    )


def graded(strong: Finding, weak: Finding) -> Finding:
    """A claim of degree ("far less"): supported if the strong form is, contradicted if the weak is.

    In between (less, but not far less) it is undecided, because how much is "far" is this project's
    reading.
    """
    if not strong.numbers:
        return strong
    outcome: Outcome = "supported" if strong.outcome == "supported" else "undecided"
    if weak.outcome == "contradicted":
        outcome = "contradicted"
    deciding = weak if outcome == "contradicted" else strong
    return Finding(outcome, deciding.reason, deciding.headline, deciding.numbers, 2)


def trend(curve: Curve, noise: Noise, rising: bool, family: int = 1) -> Finding:
    """The claim that a curve rises (or falls) over the temperatures.

    Supported if (a) the change from the lowest to the highest temperature clearly has the claimed
    sign, (b) between neighbouring temperatures the mean never moves the other way by the margin or
    more, and (c) the rank correlation of the mean curve with temperature has the claimed sign and
    is at least ``RANK``. Contradicted if all three hold in the opposite direction.
    """
    if curve.problem:
        return Finding(curve.state, curve.problem)
    sign = 1 if rising else -1
    means = curve.table.mean()
    low, high = curve.grid[0], curve.grid[-1]
    change = paired(curve.table[high] * sign, curve.table[low] * sign)
    rho = sign * rank_correlation(means)
    outcome = clearly(change, noise, family=family)
    towards = 1 if outcome == "supported" else -1 if outcome == "contradicted" else 0
    against = [
        f"{printed(t)} to {printed(u)}"
        for t, u in itertools.pairwise(curve.grid)
        # With a margin of 0, a step of 0 is not against the trend.
        if (towards or 1) * sign * (means[u] - means[t]) < min(-noise.margin + ROUNDING, 0)
    ]
    if towards and (against or towards * rho < RANK - ROUNDING):
        outcome = "undecided"
    natural = noise.shown(paired(curve.table[high], curve.table[low]))
    shown = format_cell(natural, signed=True)
    reason = (
        f"{curve.name} changes by {shown} from {printed(low)} to {printed(high)}; its rank "
        f"correlation with tau is {sign * rho + 0.0:.2f}"
    )
    if against:
        way = "against the trend" if towards >= 0 else "with the trend"
        reason += f"; it moves {way} by the margin or more from {', '.join(against)}"
    numbers = {
        "mean": {printed(t): _round(means[t]) for t in curve.grid},
        "change": _numbers(natural),
        "rank_correlation": _round(sign * rho + 0.0),
        "steps_against": against,
        "margin": _round(noise.margin),
    }
    return Finding(outcome, reason, shown, numbers, 1)


def highest(curve: Curve, among: list[float]) -> float:
    """The temperature among some where the mean curve is highest (the lower one on a tie)."""
    means = curve.table[among].mean().to_numpy()
    return among[int(means.argmax())]


SplitVariance = Callable[[float, float], float]
"""Sampling variance of a difference of two temperatures; see ``Evidence.split``."""


def peak(curve: Curve, among: list[float], noise: Noise, split: SplitVariance) -> Finding:
    """The claim that a curve is highest at one of some temperatures of its grid.

    Supported if the mean curve is highest at one of them; contradicted if another temperature is
    clearly higher than each of them. The many others share the 5%. Temperatures within noise of
    the best (not clearly lower) are named, because the claim is about the mean curve, and the seeds
    need not determine the place exactly.
    """
    if curve.problem:
        return Finding(curve.state, curve.problem)
    means = curve.table.mean()
    best = highest(curve, curve.grid)
    others = [t for t in curve.grid if t not in among]

    def over(t: float, u: float, family: int = 1) -> Outcome:
        gap = paired(curve.table[t], curve.table[u])
        # Reversed, because the family shares the 5% of contradictions.
        turned = {"supported": "contradicted", "contradicted": "supported"}
        found = clearly(replace(gap, mean=-gap.mean), noise, split=split(t, u), family=family)
        return cast(Outcome, turned.get(found, found))

    level = [t for t in curve.grid if t != best and over(best, t) != "supported"]
    outcome: Outcome = "supported" if best in among else "undecided"
    if any(all(over(t, u, len(others)) == "supported" for u in among) for t in others):
        outcome = "contradicted"
    shown = {
        t: format_cell(
            noise.shown(paired(curve.table[best], curve.table[t]), split=split(best, t)),
            signed=True,
        )
        for t in curve.grid
        if t != best
    }
    reason = f"{curve.name} is best at {printed(best)}"
    if outcome != "supported":
        reason += ", by " + " and ".join(
            f"{shown[t]} over {printed(t)}" for t in among if t != best
        )
    if level:
        reason += "; within noise of it: " + ", ".join(f"{printed(t)} ({shown[t]})" for t in level)
    tied = f" (within noise: {', '.join(map(printed, level))})" if level else ""
    numbers = {
        "mean": {printed(t): _round(means[t]) for t in curve.grid},
        "best_temperature": best,
        "within_noise": level,
        "margin": _round(noise.margin),
    }
    return Finding(
        outcome, reason, f"best at {printed(best)}{tied}", numbers, len(others) * len(among)
    )


def identity(runs: Reading, value: float, tolerance: float) -> Finding:
    """The claim that a number has a known value in every run, up to a numerical tolerance.

    Seeds do not matter for an identity: a single run that breaks it contradicts it.
    """
    if (lacking := _lacking(runs)) is not None:
        return lacking
    error = (runs.values - value).abs()
    at = int(error.to_numpy().argmax())
    temperature, seed = runs.values.index[at]
    worst = float(runs.values.iloc[at])
    outcome: Outcome = "supported" if error.max() <= tolerance else "contradicted"
    where = runs.note or count_of(len(error), "run")
    # A share can only be below 1, an error only above 0.
    extreme = f"at least {worst:.3g}" if value else f"at most {abs(worst):.2g}"
    limit = f"at least {value - tolerance:g} is needed" if value else f"tolerance {tolerance:g}"
    if outcome == "supported":
        reason = f"{runs.name} is {extreme} over {where} ({limit})"
    else:
        place = f"at {printed(temperature)}, seed {seed}"
        reason = f"{runs.name} is {worst:.3g} {place}, over {where} ({limit})"
    numbers = {
        "worst": _round(worst),
        "expected": value,
        "tolerance": tolerance,
        "runs": len(error),
    }
    headline = extreme if outcome == "supported" else f"{worst:.3g} at worst"
    return Finding(outcome, reason, headline, numbers)


def _lacking(*cells: Reading) -> Finding | None:
    problems = list(dict.fromkeys(cell.problem for cell in cells if cell.problem))
    if not problems:
        return None
    states = {cell.state for cell in cells if cell.problem}
    # A failed cell is a gap in the study, even beside one that it never asked for.
    state: Outcome = "not tested" if "not tested" in states else "not measured"
    return Finding("undecided" if "undecided" in states else state, "; ".join(problems))


def _numbers(gap: PairedSummary) -> dict[str, Any]:
    return {key: _round(value) for key, value in asdict(gap).items()}


def _round(value: float | np.floating[Any] | None) -> float | int | None:
    """Round to 6 decimals, as float noise differs between machines; none if not finite."""
    if value is None or not np.isfinite(value):
        return None
    return value if isinstance(value, int) else round(float(value), 6)
