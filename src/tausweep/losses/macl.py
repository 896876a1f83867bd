"""Model-aware contrastive loss (Huang et al. 2023, arXiv:2207.07874, Eq. 6 and 12, their code).

Eq. 1 at a temperature that rises with the alignment A, the batch's mean positive similarity, and
with each anchor's gradient kept from fading::

    tau_A = tau (1 + alpha (A - threshold)),  no gradient through A
    -log P_ii(tau_A) / Q,  Q = 1 - P_ii(tau_A), no gradient through Q

Identities: the derivative by the positive similarity is -1/tau_A, as in ``decoupled``; with alpha =
0 it is Eq. 1 over its own negatives' share of the softmax.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tausweep.losses.batch import Batch


class Macl(nn.Module):
    """Model-aware contrastive loss.

    Args:
        temperature: tau > 0, where the alignment is at the threshold.
        alpha: How far it rises with the alignment, in [0, 1].
        threshold: The alignment at which it is ``temperature``.
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
        # Before anything is learnt the alignment may be negative, the temperature not.
        tau = tau.clamp(min=_SMALLEST * self.temperature)
        self.latest.copy_(tau)
        odds = ((negatives - positive[:, None]) / tau).logsumexp(1)
        share = nn.functional.logsigmoid(odds).exp().detach()
        return (torch.logaddexp(odds, torch.zeros_like(odds)) / share).mean()

    def history(self) -> dict[str, Tensor]:
        """The temperature of the latest step."""
        return {"temperature": self.latest}


_SMALLEST = 0.1
"""Of the study's temperature: with alpha = 1 and threshold = 1 the formula reaches -tau."""
