"""The paper's claims C1..C17 (docs/protocol.md), each a small function of one dataset's records.

Claims are of two kinds. A *finding* could have come out otherwise. An *identity* holds by algebra:
random vectors pass it, and it checks the implementation. They are counted apart.

To add a claim, write one function with the decorator ``claim``: it takes an ``Evidence`` and
returns a ``Finding``, best composed of the comparisons in ``tausweep.comparisons``; what must
hold before it says anything is named by ``needs`` (``tausweep.preconditions``). A verdict of all
datasets follows from theirs by ``OVERALL``. Numbers of others (``tausweep.published``) are judged
by the same code. The rules are registered in docs/claims.md; ``rules_digest`` holds them to it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tausweep import preconditions, published
from tausweep.comparisons import (
    RANK,
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
from tausweep.evidence import (
    ACCURACY,
    PAPER_RANGE,
    STAND_IN,
    Cell,
    Column,
    Evidence,
    check,
    gap_to_nearest_negatives,
    nearest,
    tolerance_gap,
)
from tausweep.preconditions import Need
from tausweep.statistics import (
    ACCURACY_MARGIN,
    MARGINS,
    PRIOR_CELLS,
    PRIOR_DF,
)
from tausweep.verdicts import (
    CLEARLY,
    OVERALL,
    Claim,
    Verdict,
    judge_each,
    to_csv,
    to_json,
    to_markdown,
)

__all__ = [
    "CLAIMS",
    "Claim",
    "Verdict",
    "claim",
    "judge",
    "published_verdicts",
    "rules_digest",
    "to_csv",
    "to_json",
    "to_markdown",
]

FAR = 0.10
"""Share of (best minus untrained) that makes "far", "heavily" and "useful". Over the paper's range
of 50 points it is 5; the least that the paper calls far is 8.44, the least at 0.05 is 6.64."""

COMPETITIVE = 0.04
"""The same below which a loss still competes: 2 points of 50; the most that the paper calls so is
0.79."""

IDENTITY = 1e-4
"""Error allowed to an identity. The measures are float64, but at small tau the positive's gradient
loses digits to the difference 1 - P_ii."""

LIMIT = 0.01
"""Relative error at which a limit in tau counts as reached."""

SHARE = 0.99
"""Share of a run's anchors for which a statement about each anchor has to hold."""

STABLE = 0.1
"""Spread of uniformity over tau up to which it counts as stable: the paper's hard contrastive rows
spread by 0.03 at most, its contrastive ones by 0.83 or more."""

RUNS = (
    "A complete run without the number, or fewer than half of the runs complete, leaves it "
    "undecided; of fewer runs than all the reason says how many were judged."
)

SMALLEST = 0.05
"""Temperatures up to this are "extremely small": the paper leaves them out of its trends (sec.
3.2), and so do all claims about geometry here. What they measure is shown in tables and figures."""

TREND = (
    f"Temperatures above {SMALLEST:g}. Supported: (a) {{what}} is clearly {{higher}} at the "
    "highest temperature than at the lowest, (b) no step of the mean between neighbouring "
    "temperatures goes the other way by the noise margin or more, and (c) Spearman's rank "
    f"correlation of the mean curve with tau has the claimed sign and is {RANK:g} at least; "
    "three temperatures are needed. "
    "Contradicted: (a), (b) and (c) all the other way round."
)

MOSTLY = (
    "Supported: the difference clearly has the claimed sign at more than half of the temperatures "
    f"above {SMALLEST:g} that both sides have, and clearly the other sign at none; two "
    "temperatures are needed. Contradicted: the other way round."
)

SHARES = (
    "Shares are of the accuracy from the untrained encoder to the best cell, "
    f"{PAPER_RANGE:g} points if the study has no untrained encoder."
)


CLAIMS: dict[str, Claim] = {}
"""By id, in the order of the paper's list."""


def claim(
    id: str,
    text: str,
    rule: str,
    needs: Sequence[Need] = (),
    kind: Literal["finding", "identity"] = "finding",
) -> Callable[[Callable[[Evidence], Finding]], Claim]:
    """Enter a function from a dataset's evidence to a finding as the judge of a claim.

    Args:
        id: A new one.
        text: What is claimed.
        rule: What the function does, in words; "clearly" is explained once, by ``CLEARLY``.
        needs: What must hold before the claim is tested.
        kind: Whether it could come out otherwise.

    Raises:
        ValueError: There is a claim of this id.
    """
    if id in CLAIMS:
        raise ValueError(f"claim {id} stands in the registry twice")
    said = " ".join([rule, *(f"Needs: {need.text}." for need in needs)])

    def enter(judge: Callable[[Evidence], Finding]) -> Claim:
        whole = f"{said} {CLEARLY}" if "clearly" in said else said
        CLAIMS[id] = Claim(id, text, whole, judge, tuple(needs), kind)
        return CLAIMS[id]

    return enter


LEARNT = preconditions.learnt("contrastive")
HARD_LEARNT = preconditions.learnt("hard_contrastive")
CENTRED = preconditions.centred("contrastive", SMALLEST)
BOTH_CENTRED = preconditions.centred("contrastive, hard_contrastive", SMALLEST)
SETTLED = preconditions.SETTLED
GEOMETRY = (LEARNT, CENTRED, SETTLED)
HARD_GEOMETRY = (LEARNT, HARD_LEARNT, BOTH_CENTRED, SETTLED)


@claim(
    "C1",
    "contrastive: uniformity falls as tau rises",
    TREND.format(what="uniformity", higher="lower"),
    GEOMETRY,
)
def uniformity_falls(e: Evidence) -> Finding:
    """Fig. 4."""
    return _trend(e, "contrastive", "uniformity", rising=False)


@claim(
    "C2",
    "contrastive: tolerance rises with tau",
    TREND.format(what="tolerance", higher="higher")
    + " Tolerance minus the mean similarity of different classes stands beside it; where that is "
    "measured and is clearly a trend the other way, the claim is undecided.",
    GEOMETRY,
)
def tolerance_rises(e: Evidence) -> Finding:
    """Fig. 5."""
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


@claim(
    "C3",
    "contrastive: accuracy against tau is a reverse U, best at 0.2 or 0.3, worse at 0.07 and 1.0",
    "Both parts are needed. Location: the seeds' mean accuracy is highest at 0.2 or 0.3 (or, if "
    "the grid has neither, at those nearest to them); others may be within noise of the best, and "
    "the reason names them. Ends: the better of these is clearly above both 0.07 and 1.0, which no "
    "plateau over the grid meets. Contradicted: another temperature is clearly better than each of "
    "them. A grid without 0.2 or without 0.3 cannot contradict it: it is then not tested.",
    (LEARNT, SETTLED),
)
def reverse_u(e: Evidence) -> Finding:
    """Fig. 9; not strict unimodality, for the author's own row wavers by 0.5 points."""
    loss = "contrastive"
    noise = e.noise(ACCURACY)
    curve = e.curve(loss, ACCURACY)
    low, high = nearest(curve.grid, 0.07), nearest(curve.grid, 1.0)
    middle = [t for t in curve.grid if 0.2 - 1e-9 <= t <= 0.3 + 1e-9]
    stand_ins = {nearest(curve.grid, 0.2), nearest(curve.grid, 0.3)}
    middle = middle or sorted(t for t in stand_ins - {None, low, high} if t is not None)
    if curve.problem:
        return Finding(curve.state, curve.problem)
    if low is None or high is None or not middle:
        grid = ", ".join(f"{t:g}" for t in curve.grid)
        reason = (
            f"0.07, 0.2 or 0.3, and 1.0 are needed, or temperatures near them; there are {grid}"
        )
        return Finding("not tested", reason)
    best = e.cell(loss, ACCURACY, highest(curve, middle))
    cells = {t: e.cell(loss, ACCURACY, t) for t in curve.grid}
    ends = {
        name: _accuracy_gap(e, best, e.cell(loss, ACCURACY, t, named))
        for name, t, named in (("above_low", low, 0.07), ("above_high", high, 1.0))
    }
    place = peak(curve, middle, noise, lambda t, u: e.split(cells[t], cells[u]))
    # An end above the best of the middle contradicts by being the place of the peak, or not at all.
    ends = {
        name: replace(end, outcome="undecided") if end.outcome == "contradicted" else end
        for name, end in ends.items()
    }
    found = together({"location": place, **ends})
    lacking = [t for t in (0.2, 0.3) if not any(math.isclose(t, u) for u in curve.grid)]
    if found.outcome == "contradicted" and lacking:
        absent = " and ".join(f"{t:g}" for t in lacking)
        reason = f"the grid lacks {absent}, which the claim names; {found.reason}"
        return replace(found, outcome="not tested", reason=reason)
    return found


@claim(
    "C4",
    "hard contrastive is more uniform than contrastive at the same tau, and its uniformity varies "
    "far less over tau",
    f"Both parts are needed. More uniform: {MOSTLY} Far less: over the same temperatures, the "
    "spread (largest minus smallest uniformity, a seed) of hard contrastive is clearly below half "
    "of contrastive's; contradicted if it is clearly above contrastive's.",
    HARD_GEOMETRY,
)
def hard_is_uniform(e: Evidence) -> Finding:
    """Fig. 6 against Fig. 4."""
    return together(
        {
            "more_uniform": _hard_minus_contrastive(e, "uniformity", family=2),
            "varies_less": _stable_uniformity(e, family=2),
        }
    )


@claim(
    "C5",
    "hard contrastive is less tolerant than contrastive at the same tau",
    MOSTLY,
    HARD_GEOMETRY,
)
def hard_is_less_tolerant(e: Evidence) -> Finding:
    """Fig. 7 against Fig. 5."""
    return _hard_minus_contrastive(e, "tolerance", lower=True)


@claim(
    "C6",
    "hard contrastive does better at large tau (0.3 to 1.0) than at 0.07, and beats contrastive at "
    "0.7 and 1.0",
    "All parts are needed. Large tau: its accuracy is clearly above that at 0.07 at more than "
    "half of its temperatures from 0.3 to 1.0 and clearly below at none (contradicted: the other "
    "way round). Beats: it is clearly above contrastive's accuracy at 0.7 and at 1.0 "
    "(contradicted: clearly below at either).",
    (LEARNT, HARD_LEARNT, SETTLED),
)
def hard_gains_at_large_tau(e: Evidence) -> Finding:
    """Table 1, Fig. 9."""
    loss = "hard_contrastive"
    small = e.near(loss, ACCURACY, 0.07)
    large = {
        t: _accuracy_gap(e, e.cell(loss, ACCURACY, t), small, family=3)
        for t in e.temperatures(loss, ACCURACY)
        if 0.3 - 1e-9 <= t <= 1.0 + 1e-9
    }
    return together(
        {
            "large_tau": mostly(large, f"hard_contrastive from 0.3 to 1.0 minus {small.name}"),
            "beats_at_0.7": _hard_minus_contrastive_near(e, 0.7, family=3),
            "beats_at_1": _hard_minus_contrastive_near(e, 1.0, family=3),
        }
    )


@claim(
    "C7",
    "simple is far worse than contrastive at 0.3",
    f"Supported: contrastive's accuracy at 0.3 is clearly more than a share of {FAR:g} above "
    f"simple's. Contradicted: it is clearly below simple's. {SHARES}",
    (LEARNT, SETTLED),
)
def simple_is_far_worse(e: Evidence) -> Finding:
    """Table 1: 8.4 to 27.0 points."""
    return _far_below(e, e.cell("simple", ACCURACY), e.near("contrastive", ACCURACY, 0.3))


@claim(
    "C8",
    "hard simple is competitive with contrastive at 0.3",
    "Supported: hard simple's accuracy is clearly above contrastive's at 0.3 less a share of "
    f"{COMPETITIVE:g}. Contradicted: it is clearly below that. {SHARES}",
    (LEARNT, SETTLED),
)
def hard_simple_competes(e: Evidence) -> Finding:
    """Table 1: +1.6 to -0.8 points."""
    ours = e.cell("hard_simple", ACCURACY)
    theirs = e.near("contrastive", ACCURACY, 0.3)
    return _accuracy_gap(e, ours, theirs, -COMPETITIVE * e.scale[0])


@claim(
    "C9",
    "the gap between the positive similarity and the nearest negatives widens as tau falls",
    "The gap is the positive similarity minus the mean of the ten largest negative similarities, "
    "contrastive. " + TREND.format(what="the gap", higher="lower"),
    (
        LEARNT,
        CENTRED,
        preconditions.positive_gap("contrastive", gap_to_nearest_negatives, SMALLEST),
        SETTLED,
    ),
)
def gap_widens(e: Evidence) -> Finding:
    """Fig. 8."""
    return _trend(e, "contrastive", gap_to_nearest_negatives, rising=False)


@claim(
    "C10",
    "the positive similarity comes closer to 1 as tau rises",
    "Contrastive. "
    + TREND.format(what="the similarity", higher="higher")
    + " How close it comes is shown.",
    GEOMETRY,
)
def positive_tends_to_one(e: Evidence) -> Finding:
    """Fig. 8."""
    return _trend(e, "contrastive", "positive_similarity", rising=True)


@claim(
    "C11",
    "the negative gradients sum to the positive one; the entropy of the relative penalty rises "
    "with tau",
    "Supported: in every contrastive run, on its own embeddings and bank, the absolute negative "
    f"gradients sum to the positive one within a relative {IDENTITY:g}, and the entropy rises over "
    f"the temperatures for {SHARE:.0%} of the anchors or more. Contradicted: one run breaks it. "
    f"{RUNS}",
    kind="identity",
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
    "C12a",
    "tau -> 0+ is nearest_negative; tau -> inf is simple",
    "Supported: in every contrastive run both limits of the loss are reached within a relative "
    f"error of {LIMIT:g}. Contradicted: one run misses one. {RUNS}",
    kind="identity",
)
def limits_in_tau(e: Evidence) -> Finding:
    """Eq. 6 and 7."""
    return together(
        {
            "low": identity(e.runs("contrastive", "limit_low_error"), 0, LIMIT),
            "high": identity(e.runs("contrastive", "limit_high_error"), 0, LIMIT),
        }
    )


@claim(
    "C12b",
    "nearest_negative (tau -> 0+) learns nothing useful",
    "Both parts are needed. Far below: contrastive's best temperature is clearly more than a share "
    f"of {FAR:g} above nearest_negative (contradicted: clearly below it). Nothing: "
    f"nearest_negative is clearly less than a share of {FAR:g} above the better of the "
    f"baselines untrained and raw_pixels, both of which are needed (contradicted: clearly "
    f"more). {SHARES}",
    (LEARNT, SETTLED),
)
def nearest_negative_is_useless(e: Evidence) -> Finding:
    """Sec. 3.1."""
    worst = e.cell("nearest_negative", ACCURACY)
    curve = e.curve("contrastive", ACCURACY, minimum=1)
    floors = [e.cell(name, ACCURACY) for name in ("untrained", "raw_pixels")]
    lacking = next((f for f in floors if f.problem), None)
    floor = lacking or max(floors, key=lambda f: float(f.values.mean()))
    if curve.problem:
        best = Cell(curve.name, pd.Series(dtype=float), curve.problem, curve.state)
    else:
        best = e.cell("contrastive", ACCURACY, highest(curve, curve.grid))
    return together(
        {
            "far_below": _far_below(e, worst, best, family=2),
            "nothing": _accuracy_gap(e, floor, worst, -FAR * e.scale[0], family=2),
        }
    )


@claim(
    "C13",
    "exchanging instances leaves the loss unchanged (Fig. 1)",
    "Supported: in every contrastive run, on its own embeddings and bank, exchanging instances "
    f"together with their augmentations changes the mean loss by {IDENTITY:g} at most. "
    f"Contradicted: one run breaks it. {RUNS}",
    kind="identity",
)
def exchange_changes_nothing(e: Evidence) -> Finding:
    """Fig. 1."""
    return identity(e.runs("contrastive", "exchange_difference"), 0, IDENTITY)


@claim(
    "C14",
    "extremely small temperatures degrade accuracy heavily",
    f"Contrastive at its smallest temperature, which must be {SMALLEST:g} or less. Supported: the "
    f"best of the other temperatures is clearly more than a share of {FAR:g} above it. "
    f"Contradicted: it is clearly below it. {SHARES}",
    (LEARNT, preconditions.few_negatives("contrastive"), SETTLED),
)
def small_tau_degrades(e: Evidence) -> Finding:
    """The author's sweep: 76.10 at 0.05 against 83.78 at 0.2 on CIFAR10."""
    loss = "contrastive"
    curve = e.curve(loss, ACCURACY, minimum=2)
    if curve.problem:
        return Finding(curve.state, curve.problem)
    smallest, others = curve.grid[0], curve.grid[1:]
    if smallest > SMALLEST + 1e-9:
        reason = f"the smallest temperature is {smallest:g}, {SMALLEST:g} or less is needed"
        return Finding("not tested", reason)
    best = highest(curve, others)
    return _far_below(e, e.cell(loss, ACCURACY, smallest), e.cell(loss, ACCURACY, best))


@claim(
    "C15",
    "hard contrastive lowers similarities between different classes too, not only within a class",
    "The similarity of a test image to the ten most similar ones of other classes, hard "
    f"contrastive's below contrastive's at the same tau. {MOSTLY} The plain mean over different "
    "classes is not judged: with a mean embedding near 0 it is about -tolerance / (classes - 1), "
    "higher for the less tolerant loss by arithmetic.",
    HARD_GEOMETRY,
)
def hard_lowers_interclass(e: Evidence) -> Finding:
    """Sec. 5.4."""
    found = _hard_minus_contrastive(e, "nearest_interclass_similarity", lower=True)
    plain = _hard_minus_contrastive(e, "interclass_similarity", lower=True)
    if not found.numbers or not plain.numbers:
        return found
    return replace(found, reason=f"{found.reason}; beside it, not judged: {plain.reason}")


@claim(
    "C16",
    "hard contrastive: a larger tau is more tolerant at stable uniformity",
    "All parts are needed. Tolerant: "
    + TREND.format(what="hard contrastive's tolerance", higher="higher")
    + " Stable: the spread of its uniformity over the temperatures that both losses have is "
    f"clearly below half of contrastive's and its mean {STABLE:g} or less; contradicted if it is "
    "clearly above contrastive's.",
    HARD_GEOMETRY,
)
def tolerant_at_stable_uniformity(e: Evidence) -> Finding:
    """Fig. 6 and 7."""
    return together(
        {
            "tolerance_rises": _trend(e, "hard_contrastive", "tolerance", True, family=2),
            "stable": _stable_uniformity(e, family=2),
            "spread": bounded(_spread(e, "hard_contrastive"), STABLE, at_most=True),
        }
    )


@claim(
    "C17",
    "the interval of similarities that gets penalised effectively narrows as tau falls",
    "Supported: in every contrastive run, on its own embeddings and bank, the interval that bears "
    f"90% of the penalty narrows as tau falls for {SHARE:.0%} of the anchors or more. "
    f"Contradicted: one run breaks it. {RUNS}",
    kind="identity",
)
def interval_narrows(e: Evidence) -> Finding:
    """Fig. 3."""
    return identity(e.runs("contrastive", "interval_narrows"), 1, 1 - SHARE)


def judge(
    records: pd.DataFrame,
    *,
    along: pd.DataFrame | None = None,
    correct: Mapping[tuple[str, str, float | None, int], NDArray[np.bool_]] | None = None,
    run_noise: bool = False,
    margin: float = ACCURACY_MARGIN,
    test_images: Mapping[str, int] | None = None,
) -> list[Verdict]:
    """Verdicts of all claims, in their order: each dataset's (by name), then the overall one.

    Args:
        records: One study's records (columns of ``records.csv``; what is missing counts as empty).
        along: The same study's measures at checkpoints (``along.csv``); without it nobody knows
            whether longer training would change a verdict, and each verdict says so.
        correct: Which test images a run's probe gets right, by dataset, loss, temperature (none
            for a loss without one) and seed. Without it the sampling noise of the test split is
            that of independent shares of ``test_images``, if these are known.
        run_noise: Whether the noise of one run is known to be what the margins say, so that
            single runs can be compared; it is for the published numbers.
        margin: Noise margin of a one-seed difference of accuracy, in points, 0 or more.
        test_images: Images of the test split, by dataset; by default the records' own column.

    Raises:
        ValueError: The margin is not allowed, or the records cannot be judged: a required column is
            missing, a seed is empty, there are several studies, or a run stands in it twice.
    """
    if not (math.isfinite(margin) and margin >= 0):
        raise ValueError(f"margin: {margin} is not allowed; points of accuracy, 0 or more, are")
    check(records)
    by_dataset: dict[str, dict[tuple[str, float | None, int], NDArray[np.bool_]]] = {}
    for (dataset, loss, temperature, seed), kept in (correct or {}).items():
        by_dataset.setdefault(dataset, {})[loss, temperature, seed] = kept
    datasets = {}
    for name, rows in records.groupby("dataset", sort=True):
        checkpoints = None if along is None else along[along["dataset"] == name]
        datasets[str(name)] = Evidence(
            rows,
            MARGINS | {ACCURACY: margin},
            one_run=run_noise,
            test_images=(test_images or {}).get(str(name)),
            correct=by_dataset.get(str(name)),
            along=checkpoints,
        )
    return judge_each(CLAIMS.values(), datasets)


def published_verdicts() -> str:
    """Markdown of the verdicts that the published Table 1 and the author's sweep bear out."""
    return to_markdown(judge(published.records(), run_noise=True))


def rules_digest() -> str:
    """SHA-256 of every rule in words with its settings, as docs/claims.md registers them."""
    rules = {
        "claims": [[c.id, c.kind, c.text, c.rule] for c in CLAIMS.values()],
        "overall": OVERALL,
        "margins": MARGINS,
        "settings": {
            "far": FAR,
            "competitive": COMPETITIVE,
            "smallest": SMALLEST,
            "stable": STABLE,
            "rank": RANK,
            "range": PAPER_RANGE,
            "stand_in": STAND_IN,
            "common_mean": preconditions.COMMON_MEAN,
            "few_negatives": preconditions.FEW_NEGATIVES,
            "prior": [PRIOR_DF, PRIOR_CELLS],
        },
    }
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()


def _trend(e: Evidence, loss: str, column: Column, rising: bool, family: int = 1) -> Finding:
    curve = e.curve(loss, column, e.temperatures(loss, column, SMALLEST))
    return trend(curve, e.noise(column), rising, family)


def _accuracy_gap(
    e: Evidence, a: Cell, b: Cell, threshold: float = 0.0, family: int = 1
) -> Finding:
    split = 0.0 if a.problem or b.problem else e.split(a, b)
    return difference(a, b, e.noise(ACCURACY), threshold, split=split, family=family)


def _hard_minus_contrastive(
    e: Evidence, column: str, lower: bool = False, family: int = 1
) -> Finding:
    """Hard contrastive above (or below) contrastive at most of the temperatures that both have."""
    ours, theirs = "hard_contrastive", "contrastive"
    if lower:
        ours, theirs = theirs, ours
    grid = _common(e, column, SMALLEST)
    if len(grid) == 1:
        reason = f"{column} of both is known at one temperature above {SMALLEST:g}, not two"
        return Finding("not tested", reason)
    noise = e.noise(column)
    parts = {
        t: difference(e.cell(ours, column, t), e.cell(theirs, column, t), noise, family=family)
        for t in grid
    }
    return mostly(parts, f"{column} of {ours} minus {theirs}")


def _hard_minus_contrastive_near(e: Evidence, temperature: float, family: int) -> Finding:
    t = nearest(_common(e, ACCURACY), temperature)
    hard, plain = (
        e.cell(loss, ACCURACY, temperature if t is None else t, stands_for=temperature)
        for loss in ("hard_contrastive", "contrastive")
    )
    return _accuracy_gap(e, hard, plain, family=family)


def _stable_uniformity(e: Evidence, family: int) -> Finding:
    hard, plain = (_spread(e, loss) for loss in ("hard_contrastive", "contrastive"))
    half = replace(plain.scaled(0.5), name=f"half of the {plain.name}")
    noise = e.noise("uniformity")
    # A spread is a difference of two runs; a spread less half of another has 2 + 0.5 of them.
    return graded(
        difference(half, hard, noise, weight=2.5),
        difference(plain, hard, noise, weight=4, family=family),
    )


def _spread(e: Evidence, loss: str) -> Cell:
    return e.curve(loss, "uniformity", _common(e, "uniformity", SMALLEST), minimum=2).spread()


def _far_below(e: Evidence, low: Cell, high: Cell, family: int = 1) -> Finding:
    return graded(
        _accuracy_gap(e, high, low, FAR * e.scale[0]), _accuracy_gap(e, high, low, family=family)
    )


def _common(e: Evidence, column: str, above: float = 0.0) -> list[float]:
    hard = set(e.temperatures("hard_contrastive", column, above))
    return [t for t in e.temperatures("contrastive", column, above) if t in hard]
