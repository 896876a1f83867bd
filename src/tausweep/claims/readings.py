"""What a claim reads: one number per seed, for a cell or for each temperature of a loss.

If a number cannot be used, the reading says why in words, so that a verdict can repeat it. A cell
with a diverged run is not used at all, because its other seeds are the survivors. A cell that
the study never asked for differs from one that failed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from tausweep.claims.phrases import loss_words

Unjudged = Literal["not measured", "not tested", "undecided"]
"""The outcome of a claim whose reading has no evidence."""

STAND_IN = 1.5
"""A grid without a temperature that a claim names may use its nearest one within this factor."""

Place = tuple[str, float | None]
"""Loss and temperature."""


@dataclass(frozen=True)
class Reading:
    """One number per seed.

    Attributes:
        name: What it is, in words.
        values: Indexed by seed, without NaN; empty if there is a ``problem``.
        problem: Why it cannot be used; empty if it can.
        state: The outcome of a claim that reads it if there is a ``problem``: not measured if the
            study lacks the loss or the measure, not tested if it lacks the temperature, undecided
            if runs failed.
        note: What the values leave out, in words; empty if nothing.
        place: Loss and temperature, if it is one cell of the study.
    """

    name: str
    values: pd.Series[float]
    problem: str = ""
    state: Unjudged = "undecided"
    note: str = ""
    place: Place | None = None

    def scaled(self, factor: float, offset: float = 0.0) -> Reading:
        """The reading of ``factor * value + offset``, under the same name."""
        return replace(self, values=self.values * factor + offset)


@dataclass(frozen=True)
class Curve:
    """One number per seed and temperature.

    Attributes:
        loss: Its loss.
        column: What was measured, in words.
        table: Seeds x ascending temperatures, without NaN: the seeds that have all of them.
        problem: Why it cannot be used; empty if it can.
        state: As for ``Reading``.
    """

    loss: str
    column: str
    table: pd.DataFrame
    problem: str = ""
    state: Unjudged = "undecided"

    @property
    def name(self) -> str:
        """``uniformity of contrastive``."""
        return f"{self.column} of {loss_words(self.loss)}"

    @property
    def grid(self) -> list[float]:
        """The temperatures, ascending."""
        return [float(t) for t in self.table.columns]

    def spread(self) -> Reading:
        """Largest minus smallest value over the temperatures, by seed."""
        values = self.table.max(axis=1) - self.table.min(axis=1)
        return Reading(f"the spread of {loss_words(self.loss)}", values, self.problem, self.state)


def nearest_temperature(grid: Iterable[float], temperature: float) -> float | None:
    """The temperature in the grid closest in ratio (the lower on a tie), if within ``STAND_IN``."""

    def distance(t: float) -> float:
        return abs(math.log(t / temperature))

    best = min(sorted(grid), key=distance, default=None)
    return best if best is not None and distance(best) <= math.log(STAND_IN) + 1e-9 else None
