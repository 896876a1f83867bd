"""Which temperature is best, and which are not clearly worse: the decision of `tausweep choose`.

Pure functions of what each run gets right. What a temperature owes to chance is bootstrapped over
the seeds and the test images. The difference of two temperatures is taken image by image, since
all runs are measured on the same images, and scatters as the seeds do around it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

DRAWS = 4000
CHUNK = 2**24
"""Draws of images that are in memory at once, as a number of weights."""

CLEARLY = 0.02
"""A temperature is clearly worse than the best where fewer of the draws than this have it at least
as good. Of four equally good temperatures with three seeds, one that happens to be called clearly
worse is then rarer than 1 in 20 (tests/results/test_choice.py)."""

NAMES = {"untrained": "an untrained encoder", "raw_pixels": "raw pixels"}
"""Baselines in words."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """What the runs of a few temperatures get right.

    Attributes:
        temperatures: T of them, ascending.
        correct: T x S x M bool, by temperature, seed and test image.
        baselines: S' x M bool by name; a baseline may have fewer seeds.
        half: T x S, the accuracy in percent half-way, by a short probe; none if it was not taken.
        end: The same at the end.
    """

    temperatures: tuple[float, ...]
    correct: NDArray[np.bool_]
    baselines: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    half: Floats | None = None
    end: Floats | None = None

    @property
    def seeds(self) -> int:
        """S."""
        return int(self.correct.shape[1])


@dataclass(frozen=True)
class Standing:
    """How a temperature stands.

    Attributes:
        temperature: It.
        accuracy: Mean over seeds, in percent.
        low: Lower end of its 95% interval over seeds and test images.
        high: Upper end.
        behind: By how many points it is behind the best; 0 for the best.
        behind_low: Lower end of the 95% interval of that.
        behind_high: Upper end.
        clearly_worse: Than the best.
    """

    temperature: float
    accuracy: float
    low: float
    high: float
    behind: float
    behind_low: float
    behind_high: float
    clearly_worse: bool


@dataclass(frozen=True)
class Gain:
    """By how many points the best temperature beats a baseline.

    Attributes:
        baseline: Its name.
        accuracy: Of the baseline, in percent.
        points: Mean over seeds.
        low: Lower end of the 95% interval.
        high: Upper end.
        clear: Whether hardly any draw has the baseline ahead: ``CLEARLY``, shared among the
            temperatures.
    """

    baseline: str
    accuracy: float
    points: float
    low: float
    high: float
    clear: bool


@dataclass(frozen=True)
class Choice:
    """What the runs say.

    Attributes:
        temperature: The answer; none if there is none.
        candidate: The temperature that would be the answer.
        within: The temperatures around it that are not clearly worse than the best, ascending.
        standings: Of all temperatures, ascending.
        gains: Over the baselines.
        open: Why there is no answer; empty if there is one.
        settle: What would settle it, one sentence for each of ``open``.
        image_share: Share of the noise of a difference that is due to the number of test images.
    """

    temperature: float | None
    candidate: float
    within: tuple[float, ...]
    standings: tuple[Standing, ...]
    gains: tuple[Gain, ...]
    open: tuple[str, ...]
    settle: tuple[str, ...]
    image_share: float

    @property
    def best(self) -> Standing:
        """The temperature with the highest accuracy."""
        return max(self.standings, key=lambda s: s.accuracy)

    @property
    def at_edge(self) -> str:
        """``low`` or ``high`` where the temperatures within noise reach the end of those tried."""
        tried = [s.temperature for s in self.standings]
        low, high = self.within[0] == tried[0], self.within[-1] == tried[-1]
        return "both" if low and high else "low" if low else "high" if high else ""


def choose(outcome: Outcome, excluded: Sequence[float] = (), draw_seed: int = 0) -> Choice:
    """Decide.

    Args:
        outcome: Of two temperatures or more, each with the same seeds.
        excluded: Temperatures that were found clearly worse before: what is within noise ends at
            them.
        draw_seed: Of the bootstrap.

    Raises:
        ValueError: There are fewer than two temperatures or seeds.
    """
    taus, right = outcome.temperatures, outcome.correct
    if len(taus) < 2 or outcome.seeds < 2:
        raise ValueError(f"{len(taus)} temperatures and {outcome.seeds} seeds; two are needed")
    draws = np.random.default_rng(draw_seed)
    accuracy = 100 * right.mean(axis=(1, 2))
    rows = [right, *(b[None] for b in outcome.baselines.values())]
    images, seeds, common = _drawn(rows, len(taus), draws)
    drawn = images[:, : len(taus)] + seeds  # of a difference, where a seed's common effect cancels
    best = int(accuracy.argmax())
    standings = []
    for t, tau in enumerate(taus):
        behind = drawn[:, best] - drawn[:, t]
        low, high = np.clip(_interval(drawn[:, t] + common), 0, 100).tolist()
        least, most = _interval(behind)
        worse = t != best and bool(np.mean(behind <= 0) < CLEARLY)
        standings.append(
            Standing(
                tau, float(accuracy[t]), low, high, float(accuracy[best] - accuracy[t]), least,
                most, worse,
            )
        )  # fmt: skip
    apart = dict.fromkeys(excluded, False) | {s.temperature: s.clearly_worse for s in standings}
    every = sorted(apart)
    ends = [apart[tau] or tau not in taus for tau in every]
    within = [taus.index(every[place]) for place in around(ends, every.index(taus[best]))]
    middle = middle_of([taus[t] for t in within])
    gains = tuple(
        _gain(name, base, 100 * right[best], images[:, len(taus) + i],
              drawn[:, best] + common, CLEARLY / len(taus))
        for i, (name, base) in enumerate(outcome.baselines.items())
    )  # fmt: skip
    spread = np.var(images[:, best] - images[:, within[0] if within[0] != best else within[-1]])
    of_seeds = 2 * float(np.var(seeds))
    share = float(spread / (spread + of_seeds)) if spread + of_seeds > 0 else 0.0
    reasons = _reasons(outcome, standings, best, gains, share)
    return Choice(
        None if reasons else middle,
        middle,
        tuple(taus[t] for t in within),
        tuple(standings),
        gains,
        tuple(why for why, _ in reasons),
        tuple(what for _, what in reasons),
        share,
    )


def _drawn(
    rows: Sequence[NDArray[np.bool_]], tried: int, draws: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Bootstrapped accuracies in percent.

    Args:
        rows: T x S x M of the temperatures, and 1 x S' x M of each baseline; R in all.
        tried: T, how many of them are of temperatures.
        draws: Of random numbers.

    Returns:
        Accuracies of resampled images, D x R; what resampled seeds add to each temperature, D x T;
        what they add to all temperatures alike, D.
    """
    right = np.asarray(rows[0])
    # R x M, means over seeds, of which a baseline may have one.
    by_image = 100 * np.concatenate([right.mean(axis=1), *(row.mean(axis=1) for row in rows[1:])])
    count = by_image.shape[1]
    images = np.empty((DRAWS, len(by_image)))
    step = max(1, CHUNK // count)
    for start in range(0, DRAWS, step):
        part = images[start : start + step]
        weights = draws.multinomial(count, np.full(count, 1 / count), len(part)) / count
        part[:] = weights @ by_image.T
    each = 100 * right.mean(axis=2)  # T x S
    own = each - each.mean(axis=1, keepdims=True) - each.mean(axis=0) + each.mean()
    seeds = each.shape[1]
    # What is left after the means were taken out is too small, by the degrees of freedom lost.
    scale = math.sqrt(each.size / ((tried - 1) * (seeds - 1)))
    pool = scale * own.ravel()
    per_seed = draws.choice(pool, (DRAWS, tried, seeds)).mean(axis=2)
    shared = math.sqrt(seeds / (seeds - 1)) * (each.mean(axis=0) - each.mean())
    common = draws.choice(shared, (DRAWS, seeds)).mean(axis=1)
    return images, per_seed, common


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _gain(
    name: str,
    base: NDArray[np.bool_],
    right: Floats,
    drawn_base: Floats,
    drawn: Floats,
    level: float,
) -> Gain:
    """The gain of a temperature, S x M in percent, over a baseline.

    ``level`` is lower than ``CLEARLY``: the best of several is ahead by chance more easily.
    """
    ahead = drawn - drawn_base
    low, high = _interval(ahead)
    accuracy = 100 * float(base.mean())
    clear = bool(np.mean(ahead <= 0) < level)
    return Gain(name, accuracy, float(right.mean()) - accuracy, low, high, clear)


def around(clearly_worse: Sequence[bool], best: int) -> list[int]:
    """Places of the neighbours of the best, on both sides, up to one that is clearly worse."""
    low = high = best
    while low > 0 and not clearly_worse[low - 1]:
        low -= 1
    while high < len(clearly_worse) - 1 and not clearly_worse[high + 1]:
        high += 1
    return list(range(low, high + 1))


def middle_of(temperatures: Sequence[float]) -> float:
    """Of ascending temperatures, the one nearest to the middle of their ends, by their ratio."""
    middle = math.sqrt(temperatures[0] * temperatures[-1])
    return min(temperatures, key=lambda tau: (round(abs(math.log(tau / middle)), 9), tau))


def _reasons(
    outcome: Outcome, standings: Sequence[Standing], best: int, gains: Sequence[Gain], share: float
) -> list[tuple[str, str]]:
    """Why there is no answer, each with what would settle it."""
    found = []
    if not gains:
        found.append(("no baseline was measured", "more time: --continue with more --minutes"))
    if unbeaten := [gain for gain in gains if not gain.clear]:
        names = " and ".join(f"{NAMES[g.baseline]} ({g.accuracy:.1f}%)" for g in unbeaten)
        behind = all(gain.points < 0 for gain in unbeaten)
        found.append(
            (
                f"no temperature clearly beats {names}",
                "train longer (--continue with more --minutes), with a larger --encoder or "
                "--image-size"
                + ("" if behind or share < 0.5 else ", or measure on more test images"),
            )
        )
    moved = moving(outcome, standings, best)
    if moved:
        found.append((moved, "train longer: --continue with more --minutes"))
    return found


def moving(outcome: Outcome, standings: Sequence[Standing], best: int) -> str:
    """Why the order of temperatures still moves between half-way and end; empty if it does not.

    It moves if the best half-way is clearly worse at the end, or was so the other way round; or if
    a temperature that is clearly worse gained so much in the second half that as much training
    again would put it ahead. Half-way only accuracies over seeds are known, so differences there
    are taken to be as uncertain as they are at the end.
    """
    if outcome.half is None or outcome.end is None:
        return ""
    taus = outcome.temperatures
    half, end = outcome.half.mean(axis=1), outcome.end.mean(axis=1)
    # Of the short probe: how far each is behind the best.
    then, now = half[best] - half, end[best] - end
    # Half the interval of the difference, from the best downwards.
    width = np.array([s.behind - s.behind_low for s in standings])
    first = int(half.argmax())
    if standings[first].clearly_worse:
        return (
            f"the order still moves: half-way tau = {taus[first]:g} was best, at the end it is "
            f"clearly worse than {taus[best]:g}"
        )
    if first != best and half[first] - half[best] > math.sqrt(2) * width[first]:
        return (
            f"the order still moves: half-way tau = {taus[first]:g} was clearly better than "
            f"{taus[best]:g}, which is best at the end"
        )
    for t, standing in enumerate(standings):
        gained = then[t] - now[t]
        if standing.clearly_worse and gained > math.sqrt(2) * width[t] and gained > now[t]:
            return (
                f"the order still moves: tau = {taus[t]:g} is behind {taus[best]:g} by "
                f"{now[t]:.1f} points, and gained {gained:.1f} in the second half of the training"
            )
    return ""
