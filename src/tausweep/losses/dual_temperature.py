"""Dual temperature (Zhang et al. 2022, arXiv:2203.17248, Eq. 8; SimCo).

Eq. 1 with one temperature within an anchor and another between anchors: each anchor's gradient has
the weight that it would have at temperature ``ratio tau``. With Q(tau) = 1 - P_ii, the negatives'
share of the softmax::

    (Q(ratio tau) / Q(tau)) * -log P_ii(tau), no gradient through the quotient

Identities: with ratio = 1 it is Eq. 1. The size of an anchor's gradient is ``ratio`` times that at
``ratio tau``; it is distributed among the negatives as at ``tau``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tausweep.losses.batch import Batch


class DualTemperature(nn.Module):
    """Dual temperature loss.

    Args:
        temperature: tau > 0, within an anchor.
        ratio: The temperature between anchors, divided by ``temperature``.
    """

    def __init__(self, temperature: float, ratio: float) -> None:
        super().__init__()
        self.temperature, self.ratio = temperature, ratio

    def forward(self, batch: Batch) -> Tensor:
        """Mean over the anchors, a scalar."""
        positive, negatives = batch.similarities()
        gaps = negatives - positive[:, None]
        within = (gaps / self.temperature).logsumexp(1)
        between = (gaps / (self.ratio * self.temperature)).logsumexp(1)
        # Q is the sigmoid of the odds. The quotient is taken in logarithms, because both may be
        # tiny.
        sigmoid = nn.functional.logsigmoid
        weights = (sigmoid(between) - sigmoid(within)).exp().detach()
        return (weights * torch.logaddexp(within, torch.zeros_like(within))).mean()
