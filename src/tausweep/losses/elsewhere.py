"""The paper's losses with negatives from a queue or the batch instead of the bank.

These are the formulas of docs/protocol.md with plain autograd, because there are only a few
thousand similarities. For the bank, ``family`` has the same losses without keeping similarities
until backward. A test compares the two.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tausweep.losses.batch import Batch


def contrastive(positive: Tensor, negatives: Tensor, temperature: float | Tensor) -> Tensor:
    """Eq. 1 of every anchor.

    Args:
        positive: A, similarities to the positive.
        negatives: A x M, similarities to the negatives.
        temperature: tau > 0; a scalar, or A x 1 with one for each anchor.
    """
    # Negatives are summed apart from the positive, so that a small loss keeps its digits.
    odds = ((negatives - positive[:, None]) / temperature).logsumexp(1)
    return torch.logaddexp(odds, torch.zeros_like(odds))


class Elsewhere(nn.Module):
    """``contrastive``, ``simple``, ``hard_contrastive``, ``hard_simple``, ``nearest_negative``.

    Args:
        name: One of them.
        temperature: tau > 0 of the contrastive losses.
        negatives: K of the hard losses; all negatives if a batch has fewer.
        alpha: Size of the hard set as a share of the negatives, instead of K.
    """

    def __init__(
        self,
        name: str,
        temperature: float | None = None,
        negatives: int | None = None,
        alpha: float | None = None,
    ) -> None:
        super().__init__()
        self.name, self.temperature = name, temperature
        self.negatives, self.alpha = negatives, alpha

    def forward(self, batch: Batch) -> Tensor:
        """Mean loss over the anchors, a scalar."""
        positive, negatives = batch.similarities()
        if self.name.startswith("hard"):
            negatives = negatives.topk(self._hard_set_size(negatives.shape[1]), sorted=False).values
        if self.temperature is not None:
            return contrastive(positive, negatives, self.temperature).mean()
        if self.name == "nearest_negative":
            return (negatives.amax(1) - positive).clamp(min=0).mean()
        return (negatives.mean(1) - positive).mean()

    def _hard_set_size(self, there: int) -> int:
        if self.alpha is not None:
            return max(1, round(self.alpha * there))
        assert self.negatives is not None
        return min(self.negatives, there)
