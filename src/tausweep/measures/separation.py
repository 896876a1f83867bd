"""Local separation (Fig. 8): how far an anchor's positive is above its nearest negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tausweep.losses import hard_set
from tausweep.losses.streaming import full_precision, rows_at_once

BINS = 100
"""Equal bins of similarity over [-1, 1], each 0.02 wide."""
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Separation:
    """Similarities of M anchors to their positive and to their k nearest negatives.

    Attributes:
        positive: M float32, s_ii.
        negatives: M x k float32, the largest s_ij with j != i, descending.
        hard_set_same_label: Share of an anchor's hard set with the anchor's label, mean over
            anchors; none without labels and a hard set.
        all_same_label: The same share among all negatives, which a random hard set would have.
    """

    positive: Tensor
    negatives: Tensor
    hard_set_same_label: float | None = None
    all_same_label: float | None = None

    def means(self) -> dict[str, float]:
        """``positive_similarity``, ``negative_similarity_1`` ... ``_k``: means over anchors."""
        columns = self.negatives.to(torch.float64).mean(dim=0).tolist()
        return {"positive_similarity": float(self.positive.to(torch.float64).mean())} | {
            f"negative_similarity_{rank}": value for rank, value in enumerate(columns, start=1)
        }

    def to_json(self) -> dict[str, Any]:
        """Means, and every distribution as a histogram and as quantiles.

        ``distributions`` has the keys ``pos``, ``n1`` ... ``nk``, each with ``counts`` (between
        ``bin_edges``; a similarity beyond [-1, 1] is counted in the outermost bin) and
        ``quantiles`` (at ``quantile_levels``).
        """
        similarities = {"pos": self.positive} | {
            f"n{rank}": column for rank, column in enumerate(self.negatives.T, start=1)
        }
        levels = torch.tensor(QUANTILES, dtype=torch.float64)
        edges = torch.linspace(-1, 1, BINS + 1, dtype=torch.float64)
        distributions = {}
        for name, column in similarities.items():
            values = column.to("cpu", torch.float64)
            inside = values.clamp(-1, 1)
            distributions[name] = {
                "counts": [int(c) for c in torch.histogram(inside, edges).hist],
                "quantiles": torch.quantile(values, levels).tolist(),
            }
        return {
            "anchors": len(self.positive),
            **self.means(),
            "hard_set_same_label": self.hard_set_same_label,
            "all_same_label": self.all_same_label,
            "bin_edges": edges.tolist(),
            "quantile_levels": list(QUANTILES),
            "distributions": distributions,
        }


def separation(
    anchors: Tensor,
    bank: Tensor,
    index: Tensor,
    k: int = 10,
    labels: Tensor | None = None,
    hard_set_size: int | None = None,
) -> Separation:
    """Positive and k largest negative similarities of every anchor against the bank.

    The similarities are those of the losses: float32 products of the given rows.

    Args:
        anchors: M x d, embeddings of augmented training images, L2-normalised by the encoder.
        bank: N x d.
        index: M int64, the bank row of each anchor's own instance; never among its negatives.
        k: Nearest negatives kept, 1 to N - 1.
        labels: N integers, the labels of the bank's instances.
        hard_set_size: K of the hard losses, 1 to N - 1 (for ``hard_set_same_label``).

    Raises:
        ValueError: Shapes that do not fit, k or K out of range, an index outside the bank, values
            that are not finite.
    """
    check_anchors(anchors, bank, index)
    others = len(bank) - 1
    for name, value in (("k", k), ("hard_set_size", hard_set_size)):
        if value is not None and not 1 <= value <= others:
            raise ValueError(
                f"{name}: {value} is not allowed; a bank of {len(bank)} has 1 to {others}"
            )
    if labels is not None and (labels.shape != (len(bank),) or labels.is_floating_point()):
        raise ValueError(
            f"labels: {tuple(labels.shape)} {labels.dtype} given; allowed are {len(bank)} integers"
        )
    entries = bank.detach().to(torch.float32)
    index = index.to(entries.device)
    own = None if labels is None else labels.to(entries.device)
    positives, negatives, hard, blind = [], [], [], []
    # Choosing a hard set needs copies and masks of the same size.
    at_once = max(1, rows_at_once(4 * len(entries), entries.device))
    with full_precision(entries.device):
        for part, rows in zip(anchors.detach().split(at_once), index.split(at_once), strict=True):
            similarities = part.to(entries) @ entries.T
            positives.append(similarities.gather(1, rows[:, None])[:, 0].clone())
            same = None if own is None else own[rows][:, None] == own
            if same is not None:
                blind.append((same.sum(dim=1).to(torch.float64) - 1) / others)
                if hard_set_size is not None:
                    chosen = hard_set(similarities, rows, hard_set_size)
                    hard.append((chosen & same).sum(dim=1).to(torch.float64) / hard_set_size)
            similarities.scatter_(1, rows[:, None], -torch.inf)
            negatives.append(similarities.topk(k, dim=1).values)
    return Separation(
        positive=torch.cat(positives).cpu(),
        negatives=torch.cat(negatives).cpu(),
        hard_set_same_label=float(torch.cat(hard).mean()) if hard else None,
        all_same_label=float(torch.cat(blind).mean()) if blind else None,
    )


def check_anchors(anchors: Tensor, bank: Tensor, index: Tensor) -> None:
    """Check that anchors, bank and index belong together.

    Raises:
        ValueError: Anchors are not M x d or bank not N x d with N >= 2, a value is not finite,
            index is not M int64 rows of the bank.
    """
    for name, matrix in (("anchors", anchors), ("bank", bank)):
        if matrix.ndim != 2 or matrix.shape[1] != bank.shape[-1] or not matrix.is_floating_point():
            raise ValueError(
                f"{name}: {tuple(matrix.shape)} {matrix.dtype} given; allowed are floating rows "
                f"of {bank.shape[-1]}"
            )
        if not torch.isfinite(matrix).all():
            raise ValueError(f"{name}: a value is not finite; every similarity must be")
    if len(anchors) < 1 or len(bank) < 2:
        raise ValueError(
            f"anchors, bank: {len(anchors)} and {len(bank)} rows given; allowed are 1 and 2 or more"
        )
    if index.shape != (len(anchors),) or index.dtype != torch.int64:
        raise ValueError(
            f"index: {tuple(index.shape)} {index.dtype} given; allowed are {len(anchors)} int64"
        )
    if not 0 <= int(index.min()) <= int(index.max()) < len(bank):
        raise ValueError(
            f"index: {int(index.min())} to {int(index.max())} given; the bank's rows are 0 to "
            f"{len(bank) - 1}"
        )
