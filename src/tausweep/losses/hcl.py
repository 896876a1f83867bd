"""Hard negative contrastive loss (Robinson et al. 2021, arXiv:2010.04592, Eq. 4 and their code).

Eq. 1 with its M negatives re-weighted by e^{beta s / tau}, minus the expected contribution of
negatives that are of the anchor's own class::

    -log( e^{s_ii / tau} / (e^{s_ii / tau} + G) )
    G = (R - tau_plus M e^{s_ii / tau}) / (1 - tau_plus), at least M e^{-1 / tau}
    R = M sum_k e^{(1 + beta) s_ik / tau} / sum_k e^{beta s_ik / tau}

Identities: with beta = 0 and tau_plus = 0 it is Eq. 1. If all negatives are equally similar, beta
changes nothing. The loss rises with beta. (As in their code, beta multiplies s / tau.)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tausweep.losses.batch import Batch


class Hcl(nn.Module):
    """Hard negative contrastive loss.

    Args:
        temperature: tau > 0.
        beta: Concentration on near negatives, 0 or more.
        tau_plus: Probability that a negative is of the anchor's class, in [0, 1).
    """

    def __init__(self, temperature: float, beta: float, tau_plus: float) -> None:
        super().__init__()
        self.temperature, self.beta, self.tau_plus = temperature, beta, tau_plus

    def forward(self, batch: Batch) -> Tensor:
        """Mean over the anchors, a scalar."""
        positive, negatives = batch.similarities()
        positive, negatives = positive / self.temperature, negatives / self.temperature
        count = negatives.shape[1]
        log_r = ((1 + self.beta) * negatives).logsumexp(1) - (self.beta * negatives).logsumexp(1)
        # Sums are relative to the largest term, because e^{1/tau} may exceed float32's range.
        top = torch.maximum(positive, log_r).detach()
        r, own = count * (log_r - top).exp(), count * self.tau_plus * (positive - top).exp()
        least = count * (-1 / self.temperature - top).exp()
        debiased = torch.maximum((r - own) / (1 - self.tau_plus), least)
        odds = debiased.clamp(min=_SMALLEST).log() + top - positive
        return torch.logaddexp(odds, torch.zeros_like(odds)).mean()


_SMALLEST = math.ldexp(1, -120)
"""Keeps the logarithm finite: at temperatures below 0.03 even the bound e^{-1/tau} is 0 in
float32."""
