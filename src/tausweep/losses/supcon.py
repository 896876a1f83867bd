"""Supervised contrastive loss (Khosla et al. 2020, arXiv:2004.11362, Eq. 2, L_out).

NT-Xent with every view of the anchor's class as a positive. The loss of a view i of a batch, with
P(i) the other views of its class, is ::

    -1/|P(i)| sum_{p in P(i)} log( e^{s_ip / tau} / sum_{k != i} e^{s_ik / tau} ),  k over all views

Identities: if no two instances share a label it is NT-Xent. Exchanging instances of one class does
not change it. It sees labels, so its accuracy says nothing about learning without labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tausweep.losses.batch import Batch


class SupCon(nn.Module):
    """Supervised contrastive loss.

    Args:
        temperature: tau > 0.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, batch: Batch) -> Tensor:
        """Mean over the 2 B views, a scalar.

        Raises:
            ValueError: The batch has no labels.
        """
        if batch.labels is None:
            raise ValueError("labels: a supervised loss needs them")
        views = batch.both_views()
        logits = views @ views.T / self.temperature
        itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
        normaliser = logits.masked_fill(itself, -torch.inf).logsumexp(1)
        labels = batch.labels.repeat(2)
        positives = (labels[:, None] == labels) & ~itself
        mean = (logits * positives).sum(1) / positives.sum(1)
        return (normaliser - mean).mean()
