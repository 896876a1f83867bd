"""Choose between the kernels of ``bank_softmax`` and plain torch for a loss.

Both compute the same formula in float32, but sum in a different order. The kernels are used for
float32 on an NVIDIA GPU that Triton supports, if Triton and the C compiler that it needs are
installed. ``TAUSWEEP_LOSS_KERNELS=torch`` uses plain torch everywhere.
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from tausweep.study import StudyError

VARIABLE = "TAUSWEEP_LOSS_KERNELS"
AUTO, TORCH = "auto", "torch"
CAPABILITY = (8, 0)
"""Lowest supported compute capability."""
MOST_SIMILARITIES = 2**28
"""Most similarities that the kernels hold at once (1 GiB). If there are more, plain torch goes over
the bank in chunks."""
DIM = 2**13
"""Longest supported embedding, because a kernel program holds a whole one."""


def takes(anchors: Tensor, bank: Tensor) -> bool:
    """Whether the kernels compute the losses of these anchors (B x d) over this bank (N x d).

    Raises:
        StudyError: ``TAUSWEEP_LOSS_KERNELS`` is neither ``auto`` nor ``torch``.
    """
    return (
        anchors.dtype == torch.float32
        and bank.dtype != torch.float64
        and len(anchors) * len(bank) <= MOST_SIMILARITIES
        and anchors.shape[1] <= DIM
        and body(anchors.device) == "triton"
    )


def body(device: torch.device) -> str:
    """Which implementation computes contrastive and hard losses on this device, for the record.

    Returns:
        ``triton`` or ``torch``.

    Raises:
        StudyError: ``TAUSWEEP_LOSS_KERNELS`` is neither ``auto`` nor ``torch``.
    """
    return "triton" if asked() == AUTO and device.type == "cuda" and _usable(device) else TORCH


def asked() -> str:
    """The value of ``TAUSWEEP_LOSS_KERNELS``: ``auto`` (the default) or ``torch``.

    Raises:
        StudyError: It is neither.
    """
    value = os.environ.get(VARIABLE) or AUTO
    if value not in (AUTO, TORCH):
        raise StudyError(f"{VARIABLE}: {value!r} is not allowed; it should be {AUTO} or {TORCH}")
    return value


@cache
def _usable(device: torch.device) -> bool:
    chosen = os.environ.get("CC")
    compilers = (chosen,) if chosen else ("gcc", "clang")
    return (
        torch.cuda.is_available()
        and torch.version.cuda is not None
        and torch.cuda.get_device_capability(device) >= CAPABILITY
        and find_spec("triton") is not None
        and any(shutil.which(compiler) for compiler in compilers)
    )
