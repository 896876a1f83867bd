"""The paper's losses with negatives from elsewhere than the bank: a queue, or the batch.

Their formulas (docs/protocol.md) over a few thousand similarities that are all at hand, by plain
autograd. Against the bank they are those of ``family``, which hold no similarities until backward;
a test holds the two to each other.
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
        temperature: tau > 0; a scalar, or A x 1 of the anchors' own.
    """
    # The negatives apart from the positive, so that a small loss keeps its digits.
    odds = ((negatives - positive[:, None]) / temperature).logsumexp(1)
    return torch.logaddexp(odds, torch.zeros_like(odds))


class Elsewhere(nn.Module):
    """``contrastive``, ``simple``, ``hard_contrastive``, ``hard_simple``, ``nearest_negative``.

    Args:
        name: One of them.
        temperature: tau > 0 of the contrastive ones.
        negatives: K of the hard ones; in a batch with fewer negatives, all of them.
        alpha: The hard set as a share of the negatives, instead of K.
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
