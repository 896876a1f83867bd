"""What must hold before a claim is tested, each read from records.

A precondition holds, fails, or is not known, because the study lacks what it reads. One that fails
makes the claim *not tested*, whatever its rule says; one that is not known is said with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tausweep.comparisons import difference
from tausweep.evidence import ACCURACY, BASELINES, Column, Evidence, common_mean

COMMON_MEAN = 0.1
"""Squared length of the mean embedding up to which similarities are about classes. What all
embeddings share adds as much to tolerance; over tau that changes by 0.165 or more in Table 1."""

FEW_NEGATIVES = 10.0
"""Effective negatives up to which a temperature is extremely small in what it does: the paper
speaks of the nearest one or two, and the tail of the others counts as some more."""


@dataclass(frozen=True)
class State:
    """How a precondition stands.

    Attributes:
        held: Whether it holds; none if it is not known.
        reason: With the numbers, in a few words.
    """

    held: bool | None
    reason: str


@dataclass(frozen=True)
class Need:
    """A precondition.

    Attributes:
        name: One word.
        text: What must hold, in words.
        state: How it stands; none if ``verdicts`` finds out by judging checkpoints.
    """

    name: str
    text: str
    state: Callable[[Evidence], State] | None


SETTLED = Need(
    "settled",
    "training was long enough, so that the measures of the last two checkpoints of the runs, "
    "judged alone, give one outcome",
    None,
)


def learnt(loss: str) -> Need:
    """The loss's best cell is clearly more accurate than every baseline."""

    def state(e: Evidence) -> State:
        cells = [e.cell(loss, ACCURACY, t) for t in e.temperatures(loss, ACCURACY)]
        cells = [cell for cell in cells if not cell.problem]
        floors = [floor for name in BASELINES if not (floor := e.cell(name, ACCURACY)).problem]
        if not cells or not floors:
            return State(None, f"no baseline beside {loss}")
        best = max(cells, key=lambda cell: float(cell.values.mean()))
        gaps = [
            difference(
                floor,
                best,
                e.noise(ACCURACY),
                split=e.split(floor, best),
                # The best of several is above a baseline by chance more easily than one is.
                family=len(cells),
            )
            for floor in floors
        ]
        failed = [gap.reason for gap in gaps if gap.outcome != "contradicted"]
        if failed:
            return State(False, f"nothing clearly learnt: {failed[0]}")
        lacking = len(BASELINES) - len(floors)
        held = None if lacking else True
        return State(held, f"{lacking} baseline(s) lacking" if lacking else gaps[0].reason)

    return Need(
        f"learnt by {loss}",
        f"the best cell of {loss} is clearly above untrained and raw_pixels",
        state,
    )


def centred(losses: str, above: float) -> Need:
    """The embeddings have no large common mean at the temperatures that are judged."""

    def state(e: Evidence) -> State:
        found = []
        for loss in losses.split(", "):
            for t in e.temperatures(loss, "uniformity", above):
                cell = e.cell(loss, common_mean, t)
                if not cell.problem:
                    found.append((float(cell.values.mean()), cell.name))
        if not found:
            return State(None, "the common mean of the embeddings is not measured")
        worst, name = max(found)
        return State(worst <= COMMON_MEAN, f"common mean {worst:.3f} at most, {name}")

    text = f"the squared mean embedding of {losses} is {COMMON_MEAN:g} or less at every temperature"
    return Need("centred", f"{text} above {above:g}", state)


def positive_gap(loss: str, column: Column, above: float) -> Need:
    """A gap is clearly above 0 at the lowest temperature."""

    def state(e: Evidence) -> State:
        grid = e.temperatures(loss, column, above)
        cell = e.cell(loss, column, grid[0]) if grid else None
        if cell is None or cell.problem:
            return State(None, "the gap is not known")
        zero = type(cell)("0", cell.values * 0)
        found = difference(cell, zero, e.noise(column), weight=1)
        return State(found.outcome == "supported", f"the gap: {found.reason}")

    return Need("gap", "the gap is clearly above 0 at the lowest temperature", state)


def few_negatives(loss: str) -> Need:
    """The smallest temperature looks at few negatives."""

    def state(e: Evidence) -> State:
        column = "effective_negatives"
        grid = e.temperatures(loss, ACCURACY)
        cell = e.cell(loss, column, grid[0]) if grid else None
        if cell is None or cell.problem:
            return State(None, "effective negatives are not known")
        mean = float(cell.values.mean())
        return State(mean <= FEW_NEGATIVES, f"{mean:.0f} effective negatives at {grid[0]:g}")

    text = f"at the smallest temperature {FEW_NEGATIVES:g} negatives or fewer count effectively"
    return Need("few", text, state)
