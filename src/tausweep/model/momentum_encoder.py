"""MoCo's momentum encoder: it follows another encoder slowly and makes the keys."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from tausweep.model.encoder import Encoder


class MomentumEncoder:
    """An encoder whose weights are a running mean of another's (He et al. 2020, Eq. 2).

    Args:
        encoder: The encoder that it follows; at first it is a copy of it.
        momentum: m of ``k <- m k + (1 - m) q``.
        group: Instances that batch norm normalises together (ghost batch norm); none for all.

    Attributes:
        encoder: The copy, in train mode; its batch norm has its own statistics.
    """

    def __init__(self, encoder: Encoder, momentum: float, group: int | None = None) -> None:
        self.encoder = copy.deepcopy(encoder).requires_grad_(False).train()
        self.momentum, self.group = momentum, group

    @torch.no_grad()
    def follow(self, encoder: Encoder) -> None:
        """Move the weights towards those of an encoder; its running statistics are left alone."""
        for own, other in zip(self.encoder.parameters(), encoder.parameters(), strict=True):
            own.lerp_(other, 1 - self.momentum)

    @torch.no_grad()
    def keys(self, views: Tensor) -> Tensor:
        """Keys (B x d) of views (B x 3 x S x S).

        With ghost batch norm, the views are in other groups than their anchors. Otherwise a group's
        statistics would show which key belongs to which anchor (their sec. 3.3).
        """
        if self.group is None or len(views) <= self.group:
            found: Tensor = self.encoder(views)
            return found
        # Dealt out like cards: each group gets instances of all the anchors' groups.
        groups = -(-len(views) // self.group)
        places = torch.arange(len(views), device=views.device) % groups
        dealt = places.argsort(stable=True)
        keys = self.encoder(views[dealt])
        return torch.empty_like(keys).index_copy_(0, dealt, keys)
