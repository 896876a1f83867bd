"""Host memory that a GPU can copy from asynchronously."""

import torch
from torch import Tensor


def staged(values: Tensor, device: torch.device) -> Tensor:
    """The same values in pinned memory if they will go to a GPU, else unchanged.

    Args:
        values: A tensor on the CPU.
        device: The target of a later ``to`` or ``copy_`` with ``non_blocking=True``.
    """
    return values.pin_memory() if device.type == "cuda" else values
