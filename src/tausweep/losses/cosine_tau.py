"""A temperature that swings (Kukleva et al. 2023, arXiv:2303.13664, Eq. 5).

Eq. 1 at a temperature that follows a cosine over the training::

    tau(t) = low + (high - low) (1 + cos(2 pi periods t)) / 2,  t the share of training done

Identities: the training begins at ``high``; after half a period it is at ``low``; with low = high
it is Eq. 1. A period of 400 of 2,000 epochs, as in the paper, is ``periods: 5``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tausweep.losses.batch import Batch
from tausweep.losses.elsewhere import contrastive


class CosineTau(nn.Module):
    """Eq. 1 at a swinging temperature.

    Args:
        low: Smallest temperature.
        high: Largest temperature.
        periods: Swings in the whole training.
    """

    follows_training = True

    def __init__(self, low: float, high: float, periods: float) -> None:
        super().__init__()
        self.low, self.high, self.periods = low, high, periods
        self.latest: Tensor
        self.register_buffer("latest", torch.tensor(high, dtype=torch.float64))

    def temperature(self, progress: float) -> float:
        """Tau after a share of the training."""
        swing = (1 + math.cos(2 * math.pi * self.periods * progress)) / 2
        return self.low + (self.high - self.low) * swing

    def forward(self, batch: Batch) -> Tensor:
        """Mean over the anchors, a scalar."""
        tau = self.temperature(batch.progress)
        self.latest.fill_(tau)
        return contrastive(*batch.similarities(), tau).mean()

    def history(self) -> dict[str, Tensor]:
        """The temperature of the latest step."""
        return {"temperature": self.latest}
