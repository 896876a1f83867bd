"""Whether a loss is computed by the kernels of ``bank_softmax`` or by plain torch.

Both compute the same formula in float32, in another order of sums. The kernels are taken where
they can be: on an NVIDIA GPU that Triton knows, for float32, where Triton and the C compiler that
it needs are installed. ``TAUSWEEP_LOSS_KERNELS=torch`` takes plain torch everywhere.
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
"""Least compute capability."""
MOST_SIMILARITIES = 2**28
"""Most similarities that are held at once (1 GiB); plain torch walks over the bank instead."""
DIM = 2**13
"""Longest embedding, of which a program holds a whole one."""


def takes(anchors: Tensor, bank: Tensor) -> bool:
    """Whether the kernels compute the losses of these anchors (B x d) over this bank (N x d).

    Raises:
        StudyError: ``TAUSWEEP_LOSS_KERNELS`` has another value than ``auto`` or ``torch``.
    """
    return (
        anchors.dtype == torch.float32
        and bank.dtype != torch.float64
        and len(anchors) * len(bank) <= MOST_SIMILARITIES
        and anchors.shape[1] <= DIM
        and body(anchors.device) == "triton"
    )


def body(device: torch.device) -> str:
    """What computes a contrastive or hard loss of a run's size on this device, for its record.

    Returns:
        ``triton`` or ``torch``.

    Raises:
        StudyError: ``TAUSWEEP_LOSS_KERNELS`` has another value than ``auto`` or ``torch``.
    """
    return "triton" if asked() == AUTO and device.type == "cuda" and _usable(device) else TORCH


def asked() -> str:
    """What ``TAUSWEEP_LOSS_KERNELS`` asks for: ``auto``, which is the default, or ``torch``.

    Raises:
        StudyError: It has another value.
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
