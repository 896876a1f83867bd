"""A learnt temperature (Radford et al. 2021, CLIP, arXiv:2103.00020, sec. 2.4).

Eq. 1 at a temperature that is a parameter, learnt as the logarithm of its inverse and kept within
bounds after every step: CLIP scales its logits by at most 100::

    tau = e^{-w}, log(1 / largest) <= w <= log(1 / smallest)

Identities: with a learning rate of 0 it is Eq. 1. The derivative with respect to w is sum_k P_ik
(s_ik - s_ii) / tau, so tau falls as long as the negatives that matter are farther away than the
positive.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tausweep.losses.batch import Batch
from tausweep.losses.elsewhere import contrastive


class LearnableTau(nn.Module):
    """Eq. 1 at a learnt temperature.

    Args:
        temperature: Where the temperature starts.
        smallest: Lower bound of the temperature.
        largest: Upper bound.

    Attributes:
        clamp: Bounds of the parameter, which training enforces.
    """

    def __init__(self, temperature: float, smallest: float, largest: float) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        self.clamp = {"log_scale": (-math.log(largest), -math.log(smallest))}

    def forward(self, batch: Batch) -> Tensor:
        """Mean over the anchors, a scalar."""
        return contrastive(*batch.similarities(), (-self.log_scale).exp()).mean()

    def history(self) -> dict[str, Tensor]:
        """The temperature."""
        return {"temperature": (-self.log_scale).exp()}
