"""A loss whose gradients are computed together with its value, so that backward needs no graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def with_gradients(value: Tensor, inputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """A scalar with known gradients with respect to some tensors.

    Args:
        value: The scalar, without a graph.
        inputs: The tensors that it depends on.
        gradients: One for each input, of the same shape.
    """
    found: Tensor = _Known.apply(value, *inputs, *gradients)
    return found


class _Known(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, *both: Tensor) -> Tensor:
        ctx.save_for_backward(*both[len(both) // 2 :])
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.saved_tensors
        return None, *(gradient * outer[0] for gradient in gradients), *(None for _ in gradients)
