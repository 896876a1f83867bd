"""Model-aware contrastive loss (Huang et al. 2023, arXiv:2207.07874, Eq. 6 and 12, their code).

Eq. 1 with two changes. The temperature rises with the alignment A, the batch's mean positive
similarity. Each anchor's loss is divided by Q, so that its gradient does not fade::

    tau_A = tau (1 + alpha (A - threshold)),  no gradient through A
    -log P_ii(tau_A) / Q,  Q = 1 - P_ii(tau_A), no gradient through Q

Identities: the derivative with respect to the positive similarity is -1/tau_A, as in ``decoupled``.
With alpha = 0 the loss is Eq. 1 divided by the negatives' share of the softmax.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tausweep.losses.batch import Batch


class Macl(nn.Module):
    """Model-aware contrastive loss.

    Args:
        temperature: tau > 0, the temperature if the alignment equals the threshold.
        alpha: How much the temperature rises with the alignment, in [0, 1].
        threshold: The alignment at which the temperature is ``temperature``.
    """

    def __init__(self, temperature: float, alpha: float, threshold: float) -> None:
        super().__init__()
        self.temperature, self.alpha, self.threshold = temperature, alpha, threshold
        self.latest: Tensor
        self.register_buffer("latest", torch.tensor(temperature))

    def forward(self, batch: Batch) -> Tensor:
        """Mean over the anchors, a scalar."""
        positive, negatives = batch.similarities()
        alignment = positive.detach().mean()
        tau = self.temperature * (1 + self.alpha * (alignment - self.threshold))
        # Early in training the alignment may be negative, but the temperature must stay positive.
        tau = tau.clamp(min=_SMALLEST * self.temperature)
        self.latest.copy_(tau)
        odds = ((negatives - positive[:, None]) / tau).logsumexp(1)
        share = nn.functional.logsigmoid(odds).exp().detach()
        return (torch.logaddexp(odds, torch.zeros_like(odds)) / share).mean()

    def history(self) -> dict[str, Tensor]:
        """The temperature of the latest step."""
        return {"temperature": self.latest}


_SMALLEST = 0.1
"""Smallest share of the study's temperature: with alpha = 1 and threshold = 1 the formula alone
could reach -tau."""
