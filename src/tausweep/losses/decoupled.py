"""Decoupled contrastive loss (Yeh et al. 2022, arXiv:2110.06848, Eq. 6).

Eq. 1 without the positive in the denominator::

    -s_ii / tau + log sum_{k != i} e^{s_ik / tau}

Identities: the derivative with respect to the positive similarity is always -1/tau, whereas that of
Eq. 1 fades as the positive comes near. If this loss is x, Eq. 1 is log(1 + e^x). So Eq. 1 is always
larger, and both agree if the negatives outweigh the positive.
"""

from __future__ import annotations

from torch import Tensor, nn

from tausweep.losses.batch import Batch


class Decoupled(nn.Module):
    """Decoupled contrastive loss.

    Args:
        temperature: tau > 0.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, batch: Batch) -> Tensor:
        """Mean over the anchors, a scalar."""
        positive, negatives = batch.similarities()
        return ((negatives - positive[:, None]) / self.temperature).logsumexp(1).mean()
