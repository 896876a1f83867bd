"""Repeatable computation: the same bytes in every training and evaluation."""

import torch


def set_repeatable() -> None:
    """Make torch compute the same bytes from the same input, wherever it has a choice.

    This applies to the whole process, so to every run that it trains or measures. torch warns if an
    operation has no repeatable form. cuBLAS also needs ``CUBLAS_WORKSPACE_CONFIG``, which is read
    when CUDA starts, so ``devices.set_threads`` sets it.
    """
    # Same as use_deterministic_algorithms, which would take two seconds to import a compiler.
    torch.set_deterministic_debug_mode("warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
