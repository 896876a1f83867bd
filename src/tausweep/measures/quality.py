"""The quality of a set of embeddings: estimates, flags, and differences of two sets. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tausweep.measures import estimate
from tausweep.measures.estimate import Estimate, Values

QUALITIES = (
    *("uniformity", "tolerance", "interclass_similarity", "tolerance_gap", "alignment"),
    *("effective_dimension", "rankme", "common_mean", "knn_accuracy", "linear_accuracy"),
)
"""Names and order; accuracies are in percent."""

HALF_WIDTHS = {
    "uniformity": 0.05,
    "tolerance": 0.02,
    "interclass_similarity": 0.02,
    "tolerance_gap": 0.02,
    "knn_accuracy": 2.0,
    "linear_accuracy": 2.0,
}
"""Half-width of a measure's interval above which there are too few instances for it."""
SHARES = {"alignment": 0.1, "effective_dimension": 0.1, "rankme": 0.1}
"""The same for measures without a scale of their own, as shares of the value."""

LARGE_COMMON_MEAN = 0.25
"""Trained encoders that are kept in this project have at most 0.11, untrained ones 0.87 to 0.92."""
LOW_RANK_SHARE = 0.1
"""RankMe below this share of the largest possible rank is low."""
LOW_DIMENSION = 3.0
"""Table 1's simple loss, which the paper calls a failure, has 1.9 to 3.1 (docs/protocol.md)."""
RANK_GROWTH = 0.05
"""Largest relative difference between RankMe of all instances and of half of them."""
COPIES = 0.01
"""Largest share of rows that are exact copies of others."""


@dataclass(frozen=True)
class Flag:
    """Something to know before the numbers are used.

    Attributes:
        name: ``collapsed``, ``low_rank``, ``large_common_mean``, ``copies`` or ``too_few``.
        measure: The measure that it concerns; none if it concerns all.
        value: What was found.
        threshold: Where the flag begins.
        sentence: The same in words.
        enough: For ``too_few``, the number of instances that would be enough.
    """

    name: str
    measure: str | None
    value: float
    threshold: float
    sentence: str
    enough: int | None = None

    def to_json(self) -> dict[str, Any]:
        """All fields; an infinite number is the text ``inf``."""
        return {name: estimate.finite(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Quality:
    """What was measured on n embeddings.

    Attributes:
        name: Name of the embeddings in the output.
        n: Number of instances.
        dim: Length d of an embedding.
        classes: Number of classes; none without labels.
        estimates: Estimates of the measures that could be taken, in the order of ``QUALITIES``.
        missing: For each other measure, why it could not be taken.
        flags: See ``Flag``.
        split: In words, what kNN and the linear classifier were trained on; none without them.
        views: In words, what alignment compares; none without it, or if it is not known.
        what: In words, what the rows are, if it is known.
        t: Uniformity's t.
        influence: Influence values by measure: one per instance, pair of views or group of
            instances.
        correct: Which held-out instances are classified correctly, by measure.
        labels: n integers, or none.
    """

    name: str
    n: int
    dim: int
    classes: int | None
    estimates: dict[str, Estimate]
    missing: dict[str, str]
    flags: list[Flag]
    split: str | None
    views: str | None
    what: str | None
    t: float
    influence: dict[str, Values] = field(repr=False, compare=False)
    correct: dict[str, NDArray[np.bool_]] = field(repr=False, compare=False)
    labels: NDArray[np.int64] | None = field(repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """All fields except those with numbers for single instances."""
        return {
            "name": self.name,
            "instances": self.n,
            "dim": self.dim,
            "classes": self.classes,
            "measures": {name: found.to_json() for name, found in self.estimates.items()},
            "missing": self.missing,
            "flags": [flag.to_json() for flag in self.flags],
            "split": self.split,
            "views": self.views,
            "what": self.what,
            "t": self.t,
        }


def differences(a: Quality, b: Quality) -> dict[str, Estimate]:
    """A - B of every measure that both have, with intervals paired by instance.

    Args:
        a: Measured on n instances.
        b: Measured on the same instances, in the same order.

    Returns:
        Differences by measure; accuracies in points. There is no interval if a value is infinite.

    Raises:
        ValueError: The numbers of instances or the labels differ, so the two cannot be paired.
    """
    if a.n != b.n:
        raise ValueError(
            f"{a.name} and {b.name} have {a.n} and {b.n} instances; a difference is paired by "
            "instance, so both need the same ones in the same order"
        )
    if a.labels is not None and b.labels is not None and not np.array_equal(a.labels, b.labels):
        row = int(np.flatnonzero(a.labels != b.labels)[0])
        raise ValueError(
            f"{a.name} and {b.name} have different labels, the first at row {row}; a difference is "
            "paired by instance, so both need the same ones in the same order"
        )
    found = {}
    for name in QUALITIES:
        if name not in a.estimates or name not in b.estimates:
            continue
        one, other = a.correct.get(name), b.correct.get(name)
        if one is not None and other is not None:
            found[name] = estimate.of_share_difference(one, other)
            continue
        value = a.estimates[name].value - b.estimates[name].value
        paired = name in a.influence and name in b.influence
        if paired and math.isfinite(value):
            gap = a.influence[name] - b.influence[name]
            found[name] = estimate.by_influence(value, gap, instances=a.estimates[name].n)
        else:
            found[name] = Estimate(value, None, None, a.n)
    return {name: gap for name, gap in found.items() if not math.isnan(gap.value)}


def too_few(estimates: Mapping[str, Estimate]) -> list[Flag]:
    """A flag for each measure whose interval is wider than it should be."""
    flags = []
    for name, found in estimates.items():
        wanted = HALF_WIDTHS.get(name)
        if wanted is None and name in SHARES and math.isfinite(found.value):
            wanted = SHARES[name] * abs(found.value)
        if not wanted:
            continue
        if (needed := estimate.enough(found, wanted)) is not None:
            sentence = (
                f"too few instances for {_words(name)}: its interval is ±{found.half_width:.2g}, "
                f"and ±{wanted:.2g} needs about {_rounded_up(needed):,} instances, not {found.n:,}"
            )
            width = found.half_width or 0.0
            flags.append(Flag("too_few", name, width, wanted, sentence, _rounded_up(needed)))
        elif found.half_width is None:
            sentence = f"no interval for {_words(name)}: there is a single pair, or all are alike"
            flags.append(Flag("too_few", name, math.inf, wanted, sentence))
        elif math.isinf(found.half_width):
            sentence = (
                f"too few instances for {_words(name)}: {found.n:,} do not bound its interval"
            )
            flags.append(Flag("too_few", name, math.inf, wanted, sentence))
    return flags


def rank_grows(n: int, all_of_them: float, half: float) -> list[Flag]:
    """A flag if RankMe would change with more instances.

    Its bias falls as 1 / n, so half of the instances have twice the bias of all.

    Args:
        n: Number of instances.
        all_of_them: Their RankMe.
        half: Mean RankMe of two halves.
    """
    growth = (all_of_them - half) / all_of_them
    if growth <= RANK_GROWTH:
        return []
    enough = _rounded_up(math.ceil(n * growth / RANK_GROWTH))
    sentence = (
        f"too few instances for RankMe: half of them have {half:.3g}, all {all_of_them:.3g}, so it "
        f"still grows with their number; about {enough:,} are enough"
    )
    return [Flag("too_few", "rankme", growth, RANK_GROWTH, sentence, enough)]


def rank_of_so_few(n: int, dim: int, rank: float) -> Flag:
    """The flag if there are too few instances to compare halves."""
    enough = _rounded_up(2 * dim)
    sentence = (
        f"too few instances for RankMe: of {n} it is at most {n}; {enough:,} or more, twice the "
        "dimension, begin to say something"
    )
    return Flag("too_few", "rankme", rank, float(n), sentence, enough)


def separable(train: int, total: int, dim: int) -> list[Flag]:
    """A flag if a linear classifier could be right on its training instances by chance.

    Up to 2 (d + 1) points in d dimensions can be separated with probability 1/2 or more, whatever
    their labels are (Cover 1965).

    Args:
        train: Number of instances that the classifier is trained on.
        total: Number of instances in all.
        dim: Their dimension d.
    """
    needed = 2 * (dim + 1)
    if train >= needed:
        return []
    enough = _rounded_up(math.ceil(total * needed / train))
    sentence = (
        f"too few instances for the linear classifier: it is trained on {train:,}, and fewer than "
        f"{needed:,} in {dim} dimensions can be separated whatever their labels are; about "
        f"{enough:,} instances are enough"
    )
    return [Flag("too_few", "linear_accuracy", train, needed, sentence, enough)]


def _words(name: str) -> str:
    named = {
        "rankme": "RankMe",
        "knn_accuracy": "kNN accuracy",
        "tolerance_gap": "the gap",
        "interclass_similarity": "inter-class similarity",
    }
    return named.get(name, name.replace("_", " "))


def _rounded_up(count: int) -> int:
    """Rounded up to two digits, because an estimate has no more."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step
