"""The input of a loss: the embeddings of a batch, and where their negatives are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from tausweep.study.loss_kinds import NegativesFrom


class Similarities(NamedTuple):
    """Similarities of A anchors. A is B, or 2 B if both views of a batch are anchors.

    Attributes:
        positive: A, the similarity to the positive.
        negatives: A x M, the similarities to the negatives.
    """

    positive: Tensor
    negatives: Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch as a loss sees it; rows of embeddings have length 1.

    Attributes:
        anchors: B x d, embeddings of one view of each instance, with gradient.
        bank: N x d, the memory bank as it was after the previous step, without gradient.
        index: B int64, the rows of the anchors' instances in the bank.
        keys: B x d, embeddings of a second view; none unless the study asks for two views. With
            gradient, unless they are from a momentum encoder (``negatives_from: queue``).
        queue: Q x d, keys of earlier batches, without gradient; none without a queue.
        labels: B int64; none unless the loss is supervised.
        epoch: Epochs done before this step.
        step: Steps done before this one, in all.
        progress: Share of the training that is done, from 0 to just below 1.
        negatives_from: ``bank``, ``queue`` or ``batch``, as the study sets it.
    """

    anchors: Tensor
    bank: Tensor
    index: Tensor
    keys: Tensor | None = None
    queue: Tensor | None = None
    labels: Tensor | None = None
    epoch: int = 0
    step: int = 0
    progress: float = 0.0
    negatives_from: NegativesFrom = "bank"

    def similarities(self) -> Similarities:
        """Similarities of every anchor to its positive and its negatives, by ``negatives_from``.

        ``bank``: the positive is the instance's entry; the N - 1 negatives are all other entries.
        ``queue``: the positive is the key; the Q negatives are the queue's. ``batch``: both views
        are anchors, and the first B of them are ``anchors``. The positive is the other view; the 2
        B - 2 negatives are both views of the other instances.

        Raises:
            ValueError: There are no keys or no queue, but the negatives need them.
        """
        if self.negatives_from == "bank":
            positive = (self.anchors * self.bank[self.index]).sum(1)
            return Similarities(positive, without(self.anchors @ self.bank.T, self.index))
        if self.keys is None:
            raise ValueError(f"keys: negatives from the {self.negatives_from} need a second view")
        if self.negatives_from == "queue":
            if self.queue is None:
                raise ValueError("queue: negatives from the queue need one")
            return Similarities((self.anchors * self.keys).sum(1), self.anchors @ self.queue.T)
        both, others = self.both_views(), torch.cat([self.keys, self.anchors])
        own = torch.arange(len(both), device=both.device)
        # Columns of an anchor and of its other view, the later column first.
        first = own % len(self.anchors)
        similarities = without(both @ both.T, first + len(self.anchors))
        return Similarities((both * others).sum(1), without(similarities, first))

    def both_views(self) -> Tensor:
        """Anchors, then keys: 2 B x d.

        Raises:
            ValueError: There are no keys.
        """
        if self.keys is None:
            raise ValueError("keys: there is no second view")
        return torch.cat([self.anchors, self.keys])


def without(matrix: Tensor, column: Tensor) -> Tensor:
    """A matrix A x M without one column of each row (A int64): A x (M - 1)."""
    places = torch.arange(matrix.shape[1] - 1, device=matrix.device)
    return torch.where(places < column[:, None], matrix[:, :-1], matrix[:, 1:])
