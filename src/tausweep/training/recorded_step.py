"""A training step over fixed tensors, recorded once per learning rate."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tausweep.training.step_graph import StepGraph


class RecordedStep:
    """Calls a step once directly, then records it and replays the recording (see ``StepGraph``).

    Args:
        step: A function of index (B int64), views (B x 3 x S x S) and learning rate that does not
            wait for the host.
        batch: B.
        size: S.
        device: Where the tensors are.
        views: Views per instance: the step takes ``views`` * B x 3 x S x S.
    """

    def __init__(
        self,
        step: Callable[[Tensor, Tensor, float], None],
        batch: int,
        size: int,
        device: torch.device,
        views: int = 1,
    ) -> None:
        self._step, self._device = step, device
        self._index = torch.zeros(batch, dtype=torch.int64, device=device)
        self._views = torch.zeros(views * batch, size, size, 3, device=device).permute(0, 3, 1, 2)
        self._warm = False
        self._recorded: tuple[float, StepGraph] | None = None

    def __call__(self, index: Tensor, views: Tensor, lr: float) -> None:
        """Take the step for a whole batch."""
        if not self._warm:
            self._step(index, views, lr)
            self._warm = True
            return
        self._index.copy_(index)
        self._views.copy_(views)
        if self._recorded is None or self._recorded[0] != lr:
            self.forget()  # free its memory before the next one allocates as much
            step = StepGraph(lambda: self._step(self._index, self._views, lr), self._device)
            self._recorded = lr, step
        self._recorded[1]()

    def forget(self) -> None:
        """Drop the recording, because its tensors have been replaced."""
        self._recorded = None
