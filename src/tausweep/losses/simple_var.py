"""The simple loss and the next term of its expansion in 1/tau (Wang & Liu 2021, Eq. 7).

For large temperatures Eq. 1 tends to the paper's simple loss (Eq. 7). The next term is the variance
of the negatives' similarities, which pushes away negatives that are nearer than the mean::

    -s_ii + mean_k s_ik + Var_k(s_ik) / (2 tau),  k over the M negatives

Identities: for tau -> inf it is ``simple``. It differs from tau times ``decoupled`` minus tau log M
by terms of order 1/tau^2. The derivative with respect to a negative similarity is (1 + (s_ik -
mean) / tau) / M.
"""

from __future__ import annotations

from torch import Tensor, nn

from tausweep.losses.batch import Batch


class SimpleVar(nn.Module):
    """The simple loss with the variance of the negatives.

    Args:
        temperature: tau > 0, the weight of the variance.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, batch: Batch) -> Tensor:
        """Mean over the anchors, a scalar."""
        positive, negatives = batch.similarities()
        variance = negatives.var(1, correction=0)
        return (negatives.mean(1) - positive + variance / (2 * self.temperature)).mean()
