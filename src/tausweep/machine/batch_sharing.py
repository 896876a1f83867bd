"""How the processes of one run share a batch: their parts, and the sums over parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tausweep.machine.peers import Processes
from tausweep.study import StudyError


class BatchSharing:
    """Parts of batches and their sums. With one process, part and sum are the whole batch.

    Args:
        processes: The processes that share the run.
        unit: Instances that stay together: a group of ghost batch norm, or 1.
    """

    def __init__(self, processes: Processes, unit: int) -> None:
        self.processes, self.unit = processes, unit

    def check(self, batch: int) -> None:
        """Refuse more processes than a full batch can occupy.

        Raises:
            StudyError: The batch has fewer anchors, or groups of ghost batch norm, than processes.
        """
        parts = math.ceil(batch / self.unit)
        if parts < self.processes.count:
            what = "anchors" if self.unit == 1 else f"groups of {self.unit} (pretrain.bn_group)"
            raise StudyError(
                f"--processes: {self.processes.count} cannot share batches of {batch}, which have "
                f"{parts} {what}; allowed is 1 to {parts}"
            )

    def part(self, batch: Tensor) -> Tensor:
        """This process's rows of a batch; empty if there are fewer units than processes."""
        return batch[self.processes.share(len(batch), self.unit)]

    def loss(
        self,
        loss: Callable[[Tensor, Tensor, Tensor], Tensor],
        anchors: Tensor,
        bank: Tensor,
        index: Tensor,
    ) -> Tensor:
        """This process's share of the batch's mean loss, a scalar; all shares add up to it.

        Args:
            loss: Mean loss of anchors (b x d), bank (N x d) and their rows in it (b).
            anchors: b x d, the embeddings of this process's part.
            bank: N x d.
            index: B int64, the instances of the whole batch.
        """
        own = self.part(index)
        if len(own) == len(index):
            return loss(anchors, bank, own)
        # A process without a part has no loss, but must still contribute zeros to the sums.
        mean = loss(anchors, bank, own) if len(own) > 0 else anchors.sum()
        return mean * (len(own) / len(index))

    def total(
        self,
        loss: Tensor,
        anchors: Tensor,
        gradients: Sequence[Tensor],
        parameters: Sequence[Tensor],
        batch: int,
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Sum the results of all processes to those of the whole batch.

        Args:
            loss: This process's share of the loss.
            anchors: b x d, the embeddings of its part.
            gradients: Gradients of its share, one per parameter.
            parameters: The parameters.
            batch: B, instances in the whole batch.

        Returns:
            Loss, embeddings (B x d) and gradients, without graph; the same bytes on every process.

        Raises:
            ProcessesError: Another process ended.
        """
        loss, anchors = loss.detach(), anchors.detach()
        if self.processes.count == 1:
            return loss, anchors, list(gradients)
        whole = anchors.new_zeros(batch, anchors.shape[1])
        self.part(whole).copy_(anchors)
        loss, whole, *summed = self.processes.total([loss, whole, *gradients])
        # The fused SGD step needs gradients in the memory layout of their parameters.
        aligned = [torch.empty_like(p).copy_(g) for p, g in zip(parameters, summed, strict=True)]
        return loss, whole, aligned
