"""MoCo's queue: the latest keys serve as negatives (He et al. 2020, arXiv:1911.05722)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class KeyQueue:
    """Q keys of earlier batches; new keys replace the oldest.

    Attributes:
        entries: Q x d float32, rows of length 1; at first random directions.
        at: int64 scalar, the row of the oldest key; on the device, so that the host need not wait.
    """

    def __init__(self, size: int, dim: int, seed: int, device: torch.device | str = "cpu") -> None:
        """Fill the queue at random.

        Args:
            size: Q >= 1.
            dim: d, the length of a key.
            seed: Seed of the CPU generator that draws the entries.
            device: Where the entries live.
        """
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(size, dim, generator=generator)
        self.entries = F.normalize(drawn, dim=1).to(device)
        self.at = torch.zeros((), dtype=torch.int64, device=device)

    @torch.no_grad()
    def add(self, keys: Tensor) -> None:
        """Replace the B oldest keys by these B <= Q keys (B x d)."""
        size = len(self.entries)
        rows = (self.at + torch.arange(len(keys), device=self.at.device)) % size
        self.entries.index_copy_(0, rows, keys.detach().to(self.entries))
        self.at.add_(len(keys)).remainder_(size)
