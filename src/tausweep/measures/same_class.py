"""How much of the penalty on negatives falls on those of the anchor's own class.

The relative penalty r_i(s_ij) (Eq. 5) is the share of the gradient on anchor i's negatives that
negative j gets. The loss knows no labels, so a negative of the same class is pushed away like any
other. A low temperature puts the penalty on the nearest negatives. It hurts if these are mostly of
the same class, and does not if they are not. ``by_similarity`` measures that, and
``same_class_share`` what comes of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tausweep.losses import penalties
from tausweep.measures.geometry import normalised
from tausweep.measures.separation import check_anchors

TEMPERATURES = (0.05, 0.07, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""The author's grid (docs/protocol.md)."""
BINS = 40
"""Equal bins of similarity over [-1, 1], each 0.05 wide."""
ROWS = 64
"""Anchors at once."""


@dataclass(frozen=True)
class BySimilarity:
    """Negatives and their penalty by similarity, pooled over anchors.

    Attributes:
        edges: B + 1 float64, -1 to 1; a similarity beyond counts in the outermost bin.
        negatives: B int64, negatives in each bin.
        same_class: B int64, those of them that have their anchor's class.
        penalty: B float64, the share of an anchor's penalty in each bin, mean over anchors; its sum
            is 1.
        same_class_penalty: B float64, the part of it that falls on the anchor's class.
    """

    edges: Tensor
    negatives: Tensor
    same_class: Tensor
    penalty: Tensor
    same_class_penalty: Tensor


def same_class_share(
    anchors: Tensor,
    bank: Tensor,
    index: Tensor,
    labels: Tensor,
    temperatures: Sequence[float] = TEMPERATURES,
    negatives: int | None = None,
) -> Tensor:
    """Share of every anchor's penalty that falls on negatives of its own class.

    Args:
        anchors: M x d.
        bank: N x d.
        index: M int64, the bank rows of the anchors' own instances.
        labels: N integers, the classes of the bank's instances.
        temperatures: G, each above 0; they need not be the run's.
        negatives: K of a hard loss, whose penalty is on the K nearest negatives; none takes all.

    Returns:
        M x G float64 in [0, 1]. At tau -> infinity it is the share of negatives (of the hard set)
        that are of the class, at tau -> 0+ it is 1 if the nearest one is, else 0.

    Raises:
        ValueError: Inputs that do not belong together, a bad temperature, K not in 1 to N - 1.
    """
    found = []
    for nearest, same in _sorted(anchors, bank, index, labels, negatives):
        shares = [(penalties(nearest, None, tau) * same).sum(dim=1) for tau in temperatures]
        found.append(torch.stack(shares, dim=1))
    return torch.cat(found).cpu()


def by_similarity(
    anchors: Tensor,
    bank: Tensor,
    index: Tensor,
    labels: Tensor,
    temperature: float,
    negatives: int | None = None,
) -> BySimilarity:
    """Where the negatives, those of the anchor's class, and the penalty are on the similarity axis.

    Args:
        anchors: M x d.
        bank: N x d.
        index: M int64.
        labels: N integers.
        temperature: tau of the penalty.
        negatives: See ``same_class_share``; the counts are of the same negatives.

    Raises:
        ValueError: See ``same_class_share``.
    """
    edges = torch.linspace(-1, 1, BINS + 1, dtype=torch.float64)
    counts = {name: torch.zeros(BINS, dtype=torch.float64) for name in ("all", "same", "r", "own")}
    for nearest, same in _sorted(anchors, bank, index, labels, negatives):
        r = penalties(nearest, None, temperature)
        # The last bin includes 1.
        place = torch.bucketize(nearest.cpu().contiguous(), edges[1:-1], right=True).flatten()
        weights = {"all": torch.ones_like(r), "same": same, "r": r, "own": r * same}
        for name, weight in weights.items():
            counts[name].index_add_(0, place, weight.to("cpu", torch.float64).flatten())
    return BySimilarity(
        edges,
        counts["all"].round().to(torch.int64),
        counts["same"].round().to(torch.int64),
        counts["r"] / len(anchors),
        counts["own"] / len(anchors),
    )


def tolerance_by_class(x: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Tolerance (Eq. 11) within each class: mean similarity of its distinct pairs.

    ``geometry.tolerance`` is their mean weighted by the number of pairs.

    Args:
        x: n x d; normalised inside, float64.
        labels: n integers from 0.
        classes: C, their number.

    Returns:
        C float64 in [-1, 1]; NaN for a class of fewer than two rows.

    Raises:
        ValueError: A bad row, or a label that is not 0 to C - 1.
    """
    rows = normalised(x)
    _check_labels(labels, len(rows))
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"labels: {int(labels.min())} to {int(labels.max())} given; allowed are 0 to "
            f"{classes - 1}"
        )
    own = labels.to(rows.device, torch.int64)
    sums = rows.new_zeros(classes, rows.shape[1]).index_add_(0, own, rows)
    count = torch.bincount(own, minlength=classes).to(rows)
    # A row's product with itself is 1 and no pair.
    within = (sums.square().sum(dim=1) - count) / (count * (count - 1))
    return torch.where(count > 1, within, torch.nan).cpu()


def measure(
    anchors: Tensor,
    bank: Tensor,
    index: Tensor,
    labels: Tensor,
    temperature: float | None,
    negatives: int | None = None,
) -> dict[str, Any]:
    """Shares over the grid of temperatures, and the profile at the run's own, ready for JSON.

    Args:
        anchors: M x d.
        bank: N x d.
        index: M int64.
        labels: N integers.
        temperature: The run's; none for a loss without one, which has no profile.
        negatives: K of the run's loss; none for all. The grid is over all negatives.

    Returns:
        ``temperatures`` and ``shares`` (means over anchors) along the grid; ``by_chance``, the
        share of all negatives that are of the anchor's class; ``share``, at the run's own
        temperature and hard set, or none; and the profile's fields under ``by_similarity``, or
        none.

    Raises:
        ValueError: See ``same_class_share``.
    """
    grid = same_class_share(anchors, bank, index, labels)
    members = labels.to(index.device)[index][:, None] == labels.to(index.device)
    chance = (members.sum(dim=1).to(torch.float64) - 1) / (len(bank) - 1)
    own = profile = None
    if temperature is not None:
        own = same_class_share(anchors, bank, index, labels, (temperature,), negatives)
        found = by_similarity(anchors, bank, index, labels, temperature, negatives)
        profile = {name: value.tolist() for name, value in vars(found).items()}
    return {
        "anchors": len(anchors),
        "temperatures": list(TEMPERATURES),
        "shares": grid.mean(dim=0).tolist(),
        "by_chance": float(chance.mean()),
        "share": None if own is None else float(own.mean()),
        "by_similarity": profile,
    }


def _sorted(
    anchors: Tensor, bank: Tensor, index: Tensor, labels: Tensor, negatives: int | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Similarities of negatives, the nearest first, and 1 where they are of the anchor's class."""
    check_anchors(anchors, bank, index)
    _check_labels(labels, len(bank))
    if negatives is not None and not 1 <= negatives <= len(bank) - 1:
        raise ValueError(f"negatives: {negatives} is not allowed; it is 1 to {len(bank) - 1}")
    entries = bank.detach().to(torch.float64)
    own, index = labels.to(entries.device), index.to(entries.device)
    for part, rows in zip(anchors.detach().split(ROWS), index.split(ROWS), strict=True):
        similarities = (part.to(entries) @ entries.T).scatter_(1, rows[:, None], -torch.inf)
        # The positive comes last. Equal similarities are taken from the lowest row on.
        nearest = similarities.sort(dim=1, descending=True, stable=True)
        same = own[nearest.indices] == own[rows][:, None]
        kept = len(bank) - 1 if negatives is None else negatives
        yield nearest.values[:, :kept], same[:, :kept].to(torch.float64)


def _check_labels(labels: Tensor, count: int) -> None:
    if labels.shape != (count,) or labels.is_floating_point():
        raise ValueError(
            f"labels: {tuple(labels.shape)} {labels.dtype} given; allowed are {count} integers"
        )
