"""The paper's claims C1..C17 (docs/protocol.md), each a small function of one dataset's records.

To add a claim, write one function with the decorator ``claim``: it takes an ``Evidence`` and
returns a ``Finding``, best composed of the comparisons in ``tausweep.comparisons``. A verdict of
all datasets follows from theirs by ``OVERALL``. Numbers of others (``tausweep.published``) are
judged by the same code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pandas as pd

from tausweep import published
from tausweep.comparisons import (
    Finding,
    bounded,
    difference,
    graded,
    identity,
    mostly,
    peak,
    together,
    trend,
)
from tausweep.evidence import Cell, Evidence, check, nearest
from tausweep.statistics import ACCURACY_MARGIN, MARGINS, best_temperature, split_margin
from tausweep.verdicts import CLEARLY, Claim, Verdict, judge_each, to_json, to_markdown

__all__ = [
    "CLAIMS",
    "Claim",
    "Verdict",
    "claim",
    "judge",
    "published_verdicts",
    "to_json",
    "to_markdown",
]

FAR = 5.0
"""Points of accuracy that make "far worse": the least the paper calls so is 8.4."""

COMPETITIVE = 2.0
"""Points of accuracy below which a loss still competes: the most the paper calls so is 0.8, and one
run's noise is 0.85."""

IDENTITY = 1e-4
"""Error allowed to an identity. The measures are float64, but at small tau the positive's gradient
loses digits to the difference 1 - P_ii."""

LIMIT = 0.01
"""Relative error at which a limit in tau counts as reached."""

SHARE = 0.99
"""Share of a run's anchors for which a statement about each anchor has to hold."""

NEAR_ONE = 0.9
"""Positive similarity from which on it counts as close to 1."""

STABLE = 0.1
"""Spread of uniformity over tau up to which it counts as stable: the paper's hard contrastive rows
spread by 0.03 at most, its contrastive ones by 0.83 or more."""

RUNS = (
    "A complete run without the number, or fewer than half of the runs complete, leaves it "
    "undecided; of fewer runs than all the reason says how many were judged."
)

SMALLEST = 0.05
"""Temperatures up to this are "extremely small" (the author's smallest)."""

NEAREST_NEGATIVES = [f"negative_similarity_{k}" for k in range(1, 11)]

TREND = (
    "Supported: (a) {what} is clearly {higher} at the highest temperature than at the lowest, (b) "
    "no step of the mean between neighbouring temperatures goes the other way by the noise margin "
    "or more, whether or not the seeds agree on it, and (c) Spearman's rank correlation with tau "
    "has the claimed sign, with two seeds or more over its whole 95% bootstrap interval; three "
    "temperatures are needed. Contradicted: (a) is clearly the other way round."
)

MOSTLY = (
    "Supported: the difference clearly has the claimed sign at more than half of the temperatures "
    "that both sides have, and clearly the other sign at none. Contradicted: the other way round."
)


CLAIMS: dict[str, Claim] = {}
"""By id, in the order of the paper's list."""


def claim(id: str, text: str, rule: str) -> Callable[[Callable[[Evidence], Finding]], Claim]:
    """Enter a function from a dataset's evidence to a finding as the judge of a claim.

    Args:
        id: A new one.
        text: What is claimed.
        rule: What the function does, in words; "clearly" is explained once, by ``CLEARLY``.

    Raises:
        ValueError: There is a claim of this id.
    """
    if id in CLAIMS:
        raise ValueError(f"claim {id} stands in the registry twice")

    def enter(judge: Callable[[Evidence], Finding]) -> Claim:
        CLAIMS[id] = Claim(id, text, f"{rule} {CLEARLY}" if "clearly" in rule else rule, judge)
        return CLAIMS[id]

    return enter


@claim(
    "C1",
    "contrastive: uniformity falls as tau rises",
    TREND.format(what="uniformity", higher="lower"),
)
def uniformity_falls(e: Evidence) -> Finding:
    """Fig. 4."""
    curve = e.curve("contrastive", "uniformity")
    return trend(curve, e.margins["uniformity"], rising=False)


@claim(
    "C2", "contrastive: tolerance rises with tau", TREND.format(what="tolerance", higher="higher")
)
def tolerance_rises(e: Evidence) -> Finding:
    """Fig. 5."""
    return trend(e.curve("contrastive", "tolerance"), e.margins["tolerance"], rising=True)


@claim(
    "C3",
    "contrastive: accuracy against tau is a reverse U, best at 0.2 or 0.3, worse at 0.07 and 1.0",
    "Both parts are needed. Location: the seeds' mean accuracy is highest at a temperature from "
    "0.2 to 0.3 (or, if the grid has none, at those nearest to 0.2 and 0.3), so that no other is "
    "clearly better; others may be within noise of the best, and the reason names them and, with "
    "two seeds or more, the bootstrap interval of the best one. Ends: the better of these is "
    "clearly above both 0.07 and 1.0, which no plateau over the grid meets. Contradicted: "
    "another temperature is clearly better than each of them, by more than the noise margin, or "
    "0.07 or 1.0 is clearly better than the better of them.",
)
def reverse_u(e: Evidence) -> Finding:
    """Fig. 9; not strict unimodality, for the author's own row wavers by 0.5 points."""
    loss, column = "contrastive", "linear_accuracy"
    margin = e.margins[column]
    curve = e.curve(loss, column)
    low, high = nearest(curve.grid, 0.07), nearest(curve.grid, 1.0)
    middle = [t for t in curve.grid if 0.2 - 1e-9 <= t <= 0.3 + 1e-9]
    stand_ins = {nearest(curve.grid, 0.2), nearest(curve.grid, 0.3)}
    middle = middle or sorted(t for t in stand_ins - {None, low, high} if t is not None)
    if curve.problem:
        return Finding("undecided", curve.problem, asked=curve.asked)
    if low is None or high is None or not middle:
        grid = ", ".join(f"{t:g}" for t in curve.grid)
        reason = (
            f"0.07, 0.2 or 0.3, and 1.0 are needed, or temperatures near them; there are {grid}"
        )
        return Finding("undecided", reason, asked=False)
    top = best_temperature(curve.table[middle]).value
    best = e.cell(loss, column, top)
    return together(
        {
            "location": peak(curve, middle, margin),
            "above_low": difference(best, e.cell(loss, column, low, 0.07), margin),
            "above_high": difference(best, e.cell(loss, column, high, 1.0), margin),
        }
    )


@claim(
    "C4",
    "hard contrastive is more uniform than contrastive at the same tau, and its uniformity varies "
    "far less over tau",
    f"Both parts are needed. More uniform: {MOSTLY} Far less: over the temperatures that both "
    "have, the spread (largest minus smallest uniformity, a seed) of hard contrastive is clearly "
    "below half of contrastive's; contradicted if it is clearly above contrastive's.",
)
def hard_is_uniform(e: Evidence) -> Finding:
    """Fig. 6 against Fig. 4."""
    return together(
        {
            "more_uniform": _hard_minus_contrastive(e, "uniformity"),
            "varies_less": _stable_uniformity(e),
        }
    )


@claim(
    "C5",
    "hard contrastive is less tolerant than contrastive at the same tau",
    MOSTLY,
)
def hard_is_less_tolerant(e: Evidence) -> Finding:
    """Fig. 7 against Fig. 5."""
    return _hard_minus_contrastive(e, "tolerance", lower=True)


@claim(
    "C6",
    "hard contrastive does better at large tau (0.3 to 1.0) than at 0.07, and beats contrastive at "
    "0.7 and 1.0",
    "Both parts are needed. Large tau: its accuracy is clearly above that at 0.07 at more than "
    "half of its temperatures from 0.3 to 1.0 and clearly below at none (contradicted: the other "
    "way round). Beats: it is clearly above contrastive's accuracy at 0.7 and at 1.0 "
    "(contradicted: clearly below at either).",
)
def hard_gains_at_large_tau(e: Evidence) -> Finding:
    """Table 1, Fig. 9."""
    margin = e.margins["linear_accuracy"]
    grid = e.temperatures("hard_contrastive", "linear_accuracy")
    small = e.near("hard_contrastive", "linear_accuracy", 0.07)
    large = {
        t: difference(e.cell("hard_contrastive", "linear_accuracy", t), small, margin)
        for t in grid
        if 0.3 - 1e-9 <= t <= 1.0 + 1e-9
    }
    return together(
        {
            "large_tau": mostly(large, f"hard_contrastive from 0.3 to 1.0 minus {small.name}"),
            "beats_at_0.7": _hard_minus_contrastive_near(e, 0.7),
            "beats_at_1": _hard_minus_contrastive_near(e, 1.0),
        }
    )


@claim(
    "C7",
    "simple is far worse than contrastive at 0.3",
    f"Supported: contrastive's accuracy at 0.3 is clearly more than {FAR:g} points above simple's. "
    "Contradicted: it is clearly not above it by more than the noise margin.",
)
def simple_is_far_worse(e: Evidence) -> Finding:
    """Table 1: 8.4 to 27.0 points."""
    return _far_below(
        e, e.cell("simple", "linear_accuracy"), e.near("contrastive", "linear_accuracy", 0.3)
    )


@claim(
    "C8",
    "hard simple is competitive with contrastive at 0.3",
    f"Supported: hard simple's accuracy is clearly above contrastive's at 0.3 less "
    f"{COMPETITIVE:g} points. Contradicted: it is clearly below that.",
)
def hard_simple_competes(e: Evidence) -> Finding:
    """Table 1: +1.6 to -0.8 points."""
    return difference(
        e.cell("hard_simple", "linear_accuracy"),
        e.near("contrastive", "linear_accuracy", 0.3),
        e.margins["linear_accuracy"],
        threshold=-COMPETITIVE,
    )


@claim(
    "C9",
    "the gap between the positive similarity and the nearest negatives widens as tau falls",
    "The gap is the positive similarity minus the mean of the ten largest negative similarities, "
    "contrastive. " + TREND.format(what="the gap", higher="lower"),
)
def gap_widens(e: Evidence) -> Finding:
    """Fig. 8."""
    curve = e.curve("contrastive", gap_to_nearest_negatives)
    return trend(curve, e.margins["similarity"], rising=False)


@claim(
    "C10",
    "the positive similarity tends to 1 as tau rises",
    "Contrastive. All parts are needed. Rises: "
    + TREND.format(what="the similarity", higher="higher")
    + " To 1: its distance from 1 at the highest temperature is clearly below half of that at the "
    "lowest; contradicted if it is clearly above that at the lowest. Close: the mean at the "
    f"highest temperature is {NEAR_ONE:g} or more; below that it rises and is undecided.",
)
def positive_tends_to_one(e: Evidence) -> Finding:
    """Fig. 8."""
    loss, column = "contrastive", "positive_similarity"
    curve = e.curve(loss, column)
    if curve.problem:
        return Finding("undecided", curve.problem, asked=curve.asked)
    margin = e.margins["similarity"]
    ends = [e.cell(loss, column, t) for t in (curve.grid[0], curve.grid[-1])]
    first, last = (
        _renamed(cell.scaled(-1, 1), f"1 minus the positive similarity of {cell.name}")
        for cell in ends
    )
    highest = _renamed(ends[1], f"the positive similarity of {ends[1].name}")
    half = _renamed(first.scaled(0.5), f"half of {first.name}")
    return together(
        {
            "rises": trend(curve, margin, rising=True),
            "to_one": graded(difference(half, last, margin), difference(first, last, margin)),
            "close": bounded(highest, NEAR_ONE, at_most=False),
        }
    )


@claim(
    "C11",
    "the negative gradients sum to the positive one; the entropy of the relative penalty rises "
    "with tau",
    "Supported: in every contrastive run, on its own embeddings and bank, the absolute negative "
    f"gradients sum to the positive one within a relative {IDENTITY:g}, and the entropy rises over "
    f"the temperatures for {SHARE:.0%} of the anchors or more. Contradicted: one run breaks it. "
    f"{RUNS}",
)
def gradients_balance(e: Evidence) -> Finding:
    """Eq. 2, 4 and 5."""
    return together(
        {
            "balance": identity(e.runs("contrastive", "gradient_balance"), 0, IDENTITY),
            "entropy": identity(e.runs("contrastive", "entropy_rises"), 1, 1 - SHARE),
        }
    )


@claim(
    "C12",
    "tau -> 0+ is nearest_negative, which learns nothing useful; tau -> inf is simple",
    "All parts are needed. Limits: in every contrastive run both limits of the loss are reached "
    f"within a relative error of {LIMIT:g} (contradicted: one run misses one). {RUNS} Nothing "
    f"useful: contrastive's best temperature is clearly more than {FAR:g} points of accuracy above "
    "nearest_negative (contradicted: clearly not above it by more than the noise margin), and "
    f"nearest_negative is clearly less than {FAR:g} points above the records' loss named untrained "
    "(contradicted: clearly more); without untrained this is undecided as not measured, since to "
    "be far below contrastive is not to have learnt nothing.",
)
def limits_in_tau(e: Evidence) -> Finding:
    """Eq. 6 and 7."""
    column = "linear_accuracy"
    worst, untrained = e.cell("nearest_negative", column), e.cell("untrained", column)
    curve = e.curve("contrastive", column, minimum=1)
    if curve.problem:
        best = Cell(curve.name, pd.Series(dtype=float), curve.problem, curve.asked)
    else:
        best = e.cell("contrastive", column, best_temperature(curve.table).value)
    return together(
        {
            "low": identity(e.runs("contrastive", "limit_low_error"), 0, LIMIT),
            "high": identity(e.runs("contrastive", "limit_high_error"), 0, LIMIT),
            "useless": _far_below(e, worst, best),
            "untrained": difference(untrained, worst, e.margins[column], threshold=-FAR),
        }
    )


@claim(
    "C13",
    "exchanging instances leaves the loss unchanged (Fig. 1)",
    "Supported: in every contrastive run, on its own embeddings and bank, exchanging instances "
    f"together with their augmentations changes the mean loss by {IDENTITY:g} at most. "
    f"Contradicted: one run breaks it. {RUNS}",
)
def exchange_changes_nothing(e: Evidence) -> Finding:
    """Fig. 1."""
    return identity(e.runs("contrastive", "exchange_difference"), 0, IDENTITY)


@claim(
    "C14",
    "extremely small temperatures degrade accuracy heavily",
    f"Contrastive at its smallest temperature, which must be {SMALLEST:g} or less. Supported: the "
    f"best of the other temperatures is clearly more than {FAR:g} points of accuracy above it. "
    "Contradicted: it is clearly not above it by more than the noise margin.",
)
def small_tau_degrades(e: Evidence) -> Finding:
    """The author's sweep: 76.10 at 0.05 against 83.78 at 0.2 on CIFAR10."""
    loss, column = "contrastive", "linear_accuracy"
    curve = e.curve(loss, column, minimum=2)
    if curve.problem:
        return Finding("undecided", curve.problem, asked=curve.asked)
    smallest, others = curve.grid[0], curve.grid[1:]
    if smallest > SMALLEST + 1e-9:
        reason = f"the smallest temperature is {smallest:g}, {SMALLEST:g} or less is needed"
        return Finding("undecided", reason, asked=False)
    best = best_temperature(curve.table[others]).value
    return _far_below(e, e.cell(loss, column, smallest), e.cell(loss, column, best))


@claim(
    "C15",
    "hard contrastive lowers similarities between different classes too, not only within a class",
    "The mean similarity of different classes, hard contrastive's below contrastive's at the same "
    f"tau. {MOSTLY}",
)
def hard_lowers_interclass(e: Evidence) -> Finding:
    """Sec. 5.4."""
    return _hard_minus_contrastive(e, "interclass_similarity", lower=True)


@claim(
    "C16",
    "hard contrastive: a larger tau is more tolerant at stable uniformity",
    "All parts are needed. Tolerant: "
    + TREND.format(what="hard contrastive's tolerance", higher="higher")
    + " Stable: the spread of its uniformity over the temperatures that both losses have is "
    f"clearly below half of contrastive's and its mean {STABLE:g} or less; contradicted if it is "
    "clearly above contrastive's.",
)
def tolerant_at_stable_uniformity(e: Evidence) -> Finding:
    """Fig. 6 and 7."""
    curve = e.curve("hard_contrastive", "tolerance")
    return together(
        {
            "tolerance_rises": trend(curve, e.margins["tolerance"], rising=True),
            "stable": _stable_uniformity(e),
            "spread": bounded(_spread(e, "hard_contrastive"), STABLE, at_most=True),
        }
    )


@claim(
    "C17",
    "the interval of similarities that gets penalised effectively narrows as tau falls",
    "Supported: in every contrastive run, on its own embeddings and bank, the interval that bears "
    f"90% of the penalty narrows as tau falls for {SHARE:.0%} of the anchors or more. "
    f"Contradicted: one run breaks it. {RUNS}",
)
def interval_narrows(e: Evidence) -> Finding:
    """Fig. 3."""
    return identity(e.runs("contrastive", "interval_narrows"), 1, 1 - SHARE)


def gap_to_nearest_negatives(records: pd.DataFrame) -> pd.Series[float]:
    """Positive minus mean of the ten largest negative similarities; NaN if one is missing."""
    columns = ["positive_similarity", *NEAREST_NEGATIVES]
    known = records.reindex(columns=columns).astype(float)
    return known["positive_similarity"] - known[NEAREST_NEGATIVES].mean(axis=1, skipna=False)


def judge(
    records: pd.DataFrame,
    margin: float = ACCURACY_MARGIN,
    test_images: Mapping[str, int] | None = None,
) -> list[Verdict]:
    """Verdicts of all claims, in their order: each dataset's (by name), then the overall one.

    Args:
        records: One study's records (columns of ``records.csv``; what is missing counts as empty).
        margin: Noise margin of a one-seed difference of accuracy, in points, 0 or more.
        test_images: Images of the test split, by dataset. On a small split accuracies are coarser
            than the margin knows; a dataset that is named here gets ``split_margin`` at its mean
            accuracy where that is wider. By default the margin is that of every dataset.

    Raises:
        ValueError: The margin is not allowed, or the records cannot be judged: a required column is
            missing, a seed is empty, there are several studies, or a run stands in it twice.
    """
    if not (math.isfinite(margin) and margin >= 0):
        raise ValueError(f"margin: {margin} is not allowed; points of accuracy, 0 or more, are")
    check(records)
    datasets = {}
    for name, rows in records.groupby("dataset", sort=True):
        least, images = margin, (test_images or {}).get(str(name))
        if images is not None and not math.isnan(mean := _mean_accuracy(rows)):
            least = max(margin, split_margin(mean, images))
        datasets[str(name)] = Evidence(rows, MARGINS | {"linear_accuracy": least})
    return judge_each(CLAIMS.values(), datasets)


def published_verdicts() -> str:
    """Markdown of the verdicts that the published Table 1 and the author's sweep bear out."""
    return to_markdown(judge(published.records()))


def _hard_minus_contrastive(e: Evidence, column: str, lower: bool = False) -> Finding:
    """Hard contrastive above (or below) contrastive at most of the temperatures that both have."""
    ours, theirs = "hard_contrastive", "contrastive"
    if lower:
        ours, theirs = theirs, ours
    parts = {
        t: difference(e.cell(ours, column, t), e.cell(theirs, column, t), e.margins[column])
        for t in _common(e, column)
    }
    return mostly(parts, f"{column} of {ours} minus {theirs}")


def _hard_minus_contrastive_near(e: Evidence, temperature: float) -> Finding:
    column = "linear_accuracy"
    t = nearest(_common(e, column), temperature)
    hard, plain = (
        e.cell(loss, column, temperature if t is None else t, stands_for=temperature)
        for loss in ("hard_contrastive", "contrastive")
    )
    return difference(hard, plain, e.margins[column])


def _stable_uniformity(e: Evidence) -> Finding:
    hard, plain = (_spread(e, loss) for loss in ("hard_contrastive", "contrastive"))
    half = _renamed(plain.scaled(0.5), f"half of the {plain.name}")
    margin = e.margins["uniformity"]
    return graded(difference(half, hard, margin), difference(plain, hard, margin))


def _spread(e: Evidence, loss: str) -> Cell:
    return e.curve(loss, "uniformity", _common(e, "uniformity"), minimum=2).spread()


def _far_below(e: Evidence, low: Cell, high: Cell) -> Finding:
    margin = e.margins["linear_accuracy"]
    return graded(difference(high, low, margin, FAR), difference(high, low, margin, margin))


def _mean_accuracy(records: pd.DataFrame) -> float:
    return float(records.reindex(columns=["linear_accuracy"])["linear_accuracy"].mean())


def _common(e: Evidence, column: str) -> list[float]:
    hard = set(e.temperatures("hard_contrastive", column))
    return [t for t in e.temperatures("contrastive", column) if t in hard]


def _renamed(cell: Cell, name: str) -> Cell:
    return Cell(name, cell.values, cell.problem, cell.asked)
