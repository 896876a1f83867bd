"""Which temperatures are trained for how long, so that it ends in time. Pure functions.

The first stage is four temperatures over the usual range. Each later one keeps the temperatures
that are not clearly worse, adds one beside the best, and trains all of them longer: those that are
kept go on from where the learning rate of their shorter runs fell. Where there is no time for that,
it keeps the best half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tausweep.results.choice import Choice

FIRST = (0.07, 0.2, 0.5, 1.0)
SEEDS = (0, 1, 2)
FIRST_SHARE = 0.6
"""Of the time, for the first stage."""

LATTICE = (
    0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0,
)  # fmt: skip
"""Temperatures that may be tried: steps of a third to a half, in few digits."""

LONGER = 1.25
"""A later stage trains at least so many times as long; less would hardly change anything."""
LEAST_EPOCHS = 4
MOST_EPOCHS = 200
"""Of the first stage; the paper's number."""
WANTED_EPOCHS = 20
"""With fewer, a smaller encoder or smaller images are taken, if there are any."""
DECAY = 0.8
"""Share of a training after which its learning rate falls."""
RESERVE = 1.15
"""Of the time that a stage is expected to take: other work on the machine, a last run alone."""


@dataclass(frozen=True)
class Speed:
    """How fast this machine is with so many runs at once.

    Attributes:
        epoch: Seconds of an epoch.
        evaluation: Seconds of all measures of a trained run.
        baseline: Seconds of a baseline.
        workers: Runs at once.
    """

    epoch: float
    evaluation: float
    baseline: float
    workers: int


@dataclass(frozen=True)
class Stage:
    """Runs of one study.

    Attributes:
        study: Its name.
        temperatures: Ascending.
        epochs: Of each run.
        half: Share of them after which runs are measured for the first time.
        baselines: Whether baselines are trained too.
    """

    study: str
    temperatures: tuple[float, ...]
    epochs: int
    half: float
    baselines: bool


def first(speed: Speed, seconds: float) -> Stage | None:
    """The first stage; none if not even ``LEAST_EPOCHS`` fit into the time.

    Args:
        speed: Of this machine.
        seconds: For all stages together.
    """
    runs = len(FIRST) * len(SEEDS)
    baselines = (len(SEEDS) + 1) * speed.baseline
    left = (FIRST_SHARE * seconds / RESERVE) - baselines / speed.workers
    epochs = _epochs(left, speed, runs, 0.0)
    if epochs < LEAST_EPOCHS:
        return None
    return Stage("coarse", FIRST, min(epochs, MOST_EPOCHS), 0.5, True)


def next_stage(before: Stage, choice: Choice, speed: Speed, seconds: float) -> Stage | None:
    """The stage after one that is complete; none if the time is too short for one.

    Args:
        before: That one.
        choice: What its runs say.
        speed: As measured in it.
        seconds: That are left.
    """
    kept = tuple(s.temperature for s in choice.standings if not s.clearly_worse)
    ranked = sorted(choice.standings, key=lambda s: s.accuracy, reverse=True)
    half = [s.temperature for s in ranked[: max(2, len(ranked) // 2)] if s.temperature in kept]
    beside = neighbours(before.temperatures, choice)[:1]
    for taus, added in ((kept, beside), (kept, ()), (half, ())):
        stage = _longer(before, taus, added, speed, seconds / RESERVE)
        if stage is not None:
            return stage
    return None


def _longer(
    before: Stage, kept: Sequence[float], added: Sequence[float], speed: Speed, seconds: float
) -> Stage | None:
    taus = tuple(sorted({*kept, *added}))
    if len(taus) < 2:
        return None
    done = flat_epochs(before.epochs)
    share = done * len(kept) / len(taus)
    epochs = _epochs(seconds, speed, len(taus) * len(SEEDS), share)
    if epochs < math.ceil(LONGER * before.epochs):
        return None
    half = max(0.5, math.ceil(100 * (done + 1) / epochs) / 100)
    number = before.study.partition("-")[2]
    name = "refined" if before.study == "coarse" else f"refined-{int(number or 1) + 1}"
    return Stage(name, taus, min(epochs, 4 * before.epochs), half, False)


def flat_epochs(epochs: int) -> int:
    """Epochs of a training until its learning rate falls: what a longer one need not repeat."""
    return round(DECAY * epochs)


def _epochs(seconds: float, speed: Speed, runs: int, done: float) -> int:
    """How many epochs fit, if runs are equal and each has ``done`` epochs already."""
    rounds = max(runs / speed.workers, math.ceil(runs / speed.workers) - 0.25)
    return int(done + (seconds / rounds - speed.evaluation) / speed.epoch)


def neighbours(tried: Sequence[float], choice: Choice) -> list[float]:
    """Untried temperatures beside the best, the more promising first.

    Between the best and each of its neighbours it is the one of the lattice nearest to their
    middle, beyond the end of those tried the next one.
    """
    best = tried.index(choice.best.temperature)
    accuracy = {s.temperature: s.accuracy for s in choice.standings}
    sides = []
    for other in (best - 1, best + 1):
        between = _beside(tried, best, other)
        if between is not None:
            # Beyond the end nothing is known: as good as the best.
            known = accuracy[tried[other]] if 0 <= other < len(tried) else accuracy[tried[best]]
            sides.append((-known, between))
    return [tau for _, tau in sorted(sides)]


def _beside(tried: Sequence[float], best: int, other: int) -> float | None:
    here = tried[best]
    if 0 <= other < len(tried):
        low, high = sorted((here, tried[other]))
        inside = [tau for tau in LATTICE if low < tau < high]
        middle = math.sqrt(low * high)
        return min(inside, key=lambda tau: abs(math.log(tau / middle)), default=None)
    if other < 0:
        return max((tau for tau in LATTICE if tau < here), default=None)
    return min((tau for tau in LATTICE if tau > here), default=None)
