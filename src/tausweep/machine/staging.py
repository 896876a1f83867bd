"""Host memory that a GPU copies from while the host goes on."""

import torch
from torch import Tensor


def staged(values: Tensor, device: torch.device) -> Tensor:
    """The same values in pinned memory if they are to go to a GPU, else as they are.

    Args:
        values: On the CPU.
        device: Where ``to`` or ``copy_`` with ``non_blocking=True`` will bring them.
    """
    return values.pin_memory() if device.type == "cuda" else values
