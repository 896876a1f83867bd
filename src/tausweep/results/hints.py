"""What can be said of temperatures without labels: a hint, and how far such hints were off.

Alignment, uniformity and RankMe each rank the temperatures; together they point to the one with the
best mean rank. On our own kept records, where labels are known, ``cost`` says how many points of
linear accuracy such a pick loses against the best temperature there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

DIRECTION = {"alignment": 1, "uniformity": -1, "rankme": -1}
"""Of each measure: 1 where less is better."""
TOGETHER = "together"
JUDGED = "linear_accuracy"
KEPT = ("demo", "cifar10-small", "cifar10-longer")
"""Studies in ``benchmarks/measured/`` with several temperatures."""


@dataclass(frozen=True)
class Cost:
    """How many points of accuracy picks lost on sets of records.

    Attributes:
        least: On the set where the pick was best.
        most: On the set where it was worst.
        mean: Over the sets.
        blind: Mean cost of a temperature taken at random.
        sets: How many sets there are.
    """

    least: float
    most: float
    mean: float
    blind: float
    sets: int


MEASURED = Cost(0.0, 4.54, 2.15, 2.24, 5)
"""Of the three together, on the kept records, rounded; ``benchmarks/verdicts/hints.py`` prints it
and tests/results/test_hints.py holds it."""


def picks(means: pd.DataFrame) -> dict[str, float]:
    """The temperature that each measure points to, and the three together.

    Args:
        means: By temperature, with the columns of ``DIRECTION``; two or more rows. Of equally good
            ones the lowest is taken.
    """
    ranks = pd.DataFrame(
        {name: (sign * means[name]).rank() for name, sign in DIRECTION.items()}
    ).sort_index()
    every = {str(name): ranks[name] for name in ranks} | {TOGETHER: ranks.mean(axis=1)}
    taus = ranks.index.to_numpy(dtype=float)
    return {name: float(taus[int(rank.to_numpy().argmin())]) for name, rank in every.items()}


def sets(records: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Means over seeds by temperature, of every dataset and loss with two temperatures or more."""
    columns = [*DIRECTION, JUDGED]
    done = records[records["status"] == "complete"].dropna(subset=["temperature", *columns])
    for _, rows in done.groupby(["study", "dataset", "loss"]):
        means = rows.groupby("temperature")[columns].mean()
        if len(means) > 1:
            yield means


def costs(tables: list[pd.DataFrame]) -> dict[str, Cost]:
    """What each measure's picks cost on tables of records."""
    found: dict[str, list[float]] = {}
    blind = []
    for records in tables:
        for means in sets(records):
            behind = means[JUDGED].max() - means[JUDGED]
            blind.append(float(behind.mean()))
            for name, tau in picks(means).items():
                found.setdefault(name, []).append(float(behind[tau]))
    return {
        name: Cost(min(c), max(c), sum(c) / len(c), sum(blind) / len(blind), len(c))
        for name, c in found.items()
    }


def reliability() -> str:
    """How far the hint can be trusted, in one sentence."""
    return (
        f"On {MEASURED.sets} sets of our own records with labels, such a hint lost "
        f"{MEASURED.least:.0f} to {MEASURED.most:.1f} points of linear accuracy against the best "
        f"temperature, {MEASURED.mean:.1f} on average, hardly less than a temperature taken at "
        f"random ({MEASURED.blind:.1f})."
    )
