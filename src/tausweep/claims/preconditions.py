"""What must hold before a claim is tested, each read from records.

A precondition holds, fails, or is unknown because the study lacks what it reads. If one fails, the
claim is *not tested*, whatever its rule says. Unknown ones are named in the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tausweep.claims.columns import ACCURACY, Column, common_mean
from tausweep.claims.comparisons import difference
from tausweep.claims.evidence import Evidence
from tausweep.claims.phrases import loss_words
from tausweep.results.cells import printed
from tausweep.study import BASELINES

COMMON_MEAN = 0.1
"""Largest squared length of the mean embedding at which similarities are still about classes. It
adds the same amount to tolerance, which changes over tau by 0.165 or more in Table 1."""

FEW_NEGATIVES = 10.0
"""Most effective negatives at which a temperature has the effect of an extremely small one. The
paper speaks of the nearest one or two; the tail of the others adds some."""


@dataclass(frozen=True)
class State:
    """Whether a precondition holds.

    Attributes:
        held: Whether it holds; none if unknown.
        reason: A clause with the numbers.
    """

    held: bool | None
    reason: str


@dataclass(frozen=True)
class Need:
    """A precondition.

    Attributes:
        name: One word.
        text: What must hold, in words.
        state: Finds out whether it holds; none if ``verdicts`` does so by judging checkpoints.
    """

    name: str
    text: str
    state: Callable[[Evidence], State] | None


SETTLED = Need(
    "settled",
    "training was long enough: the last two checkpoints of the runs, each judged alone, give the "
    "same verdict",
    None,
)


def learnt(loss: str) -> Need:
    """The loss's best cell is clearly more accurate than every baseline."""

    def state(e: Evidence) -> State:
        cells = [e.cell(loss, ACCURACY, t) for t in e.temperatures(loss, ACCURACY)]
        cells = [cell for cell in cells if not cell.problem]
        floors = [floor for name in BASELINES if not (floor := e.cell(name, ACCURACY)).problem]
        if not cells or not floors:
            return State(None, f"no baseline to compare {loss_words(loss)} with")
        best = max(cells, key=lambda cell: float(cell.values.mean()))
        gaps = [
            difference(
                floor,
                best,
                e.noise(ACCURACY),
                split=e.split(floor, best),
                # The best of several exceeds a baseline by chance more easily than one does.
                family=len(cells),
            )
            for floor in floors
        ]
        level = [
            floor for floor, gap in zip(floors, gaps, strict=True) if gap.outcome != "contradicted"
        ]
        if level:
            floor = level[0]
            return State(
                False,
                f"{loss_words(loss)} has not clearly learnt anything: its best accuracy, "
                f"{best.values.mean():.1f}% ({best.name}), is not clearly above the "
                f"{floor.values.mean():.1f}% of {floor.name}",
            )
        if absent := [name for name in BASELINES if e.cell(name, ACCURACY).problem]:
            listed = " and ".join(map(loss_words, absent))
            return State(None, f"the study has no complete run of {listed}")
        return State(True, gaps[0].reason)

    return Need(
        f"learnt by {loss_words(loss)}",
        f"the best cell of {loss_words(loss)} is clearly above both baselines, untrained and "
        "raw_pixels",
        state,
    )


def centred(losses: Sequence[str], above: float) -> Need:
    """The embeddings have no large common mean at the temperatures that are judged."""

    def state(e: Evidence) -> State:
        found = []
        for loss in losses:
            for t in e.temperatures(loss, "uniformity", above):
                cell = e.cell(loss, common_mean, t)
                if not cell.problem:
                    found.append((float(cell.values.mean()), cell.name))
        if not found:
            return State(None, "the common mean of the embeddings was not measured")
        worst, name = max(found)
        relation = "within" if worst <= COMMON_MEAN else "above"
        return State(
            worst <= COMMON_MEAN,
            f"the embeddings share a squared mean of {worst:.3f} ({name}), {relation} the limit of "
            f"{COMMON_MEAN:g}",
        )

    text = (
        f"the squared length of the mean embedding of {' and '.join(map(loss_words, losses))} is "
        f"at most {COMMON_MEAN:g} at every temperature above {above:g}"
    )
    return Need("centred", text, state)


def positive_gap(loss: str, column: Column, above: float) -> Need:
    """A gap is clearly above 0 at the lowest temperature."""

    def state(e: Evidence) -> State:
        grid = e.temperatures(loss, column, above)
        cell = e.cell(loss, column, grid[0]) if grid else None
        if cell is None or cell.problem:
            return State(None, "the gap was not measured")
        zero = replace(cell, name="0", values=cell.values * 0, place=None)
        found = difference(cell, zero, e.noise(column), weight=1)
        held = found.outcome == "supported"
        relation = "clearly above 0" if held else "not clearly above 0"
        return State(held, f"the gap of {cell.name} is {found.headline}, {relation}")

    return Need("gap", "the gap is clearly above 0 at the lowest temperature", state)


def few_negatives(loss: str) -> Need:
    """The smallest temperature looks at few negatives."""

    def state(e: Evidence) -> State:
        column = "effective_negatives"
        grid = e.temperatures(loss, ACCURACY)
        cell = e.cell(loss, column, grid[0]) if grid else None
        if cell is None or cell.problem:
            return State(None, "effective negatives were not measured")
        mean = float(cell.values.mean())
        relation = "within" if mean <= FEW_NEGATIVES else "more than"
        return State(
            mean <= FEW_NEGATIVES,
            f"the loss still looks at {mean:.0f} effective negatives at {printed(grid[0])}, "
            f"{relation} the limit of {FEW_NEGATIVES:g}",
        )

    text = f"at the smallest temperature at most {FEW_NEGATIVES:g} negatives count effectively"
    return Need("few", text, state)
