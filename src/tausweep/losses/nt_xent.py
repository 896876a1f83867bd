"""NT-Xent, the loss of SimCLR (Chen et al. 2020, arXiv:2002.05709, Eq. 1).

The loss of a view i, in a batch of B instances, whose other view is p(i)::

    -log( e^{s_ip / tau} / sum_{k != i} e^{s_ik / tau} ),  k over the 2 B views

Identities: it is the paper's Eq. 1 with the 2 B - 2 views of the batch's other instances as
negatives, so ``contrastive`` with ``negatives_from: batch`` is the same. If all embeddings are
equal it is log(2 B - 1). It does not change if the two views are exchanged.
"""

from __future__ import annotations

from torch import Tensor, nn

from tausweep.losses.batch import Batch
from tausweep.losses.elsewhere import contrastive


class NtXent(nn.Module):
    """NT-Xent.

    Args:
        temperature: tau > 0.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, batch: Batch) -> Tensor:
        """Mean over the 2 B views, a scalar."""
        return contrastive(*batch.similarities(), self.temperature).mean()
