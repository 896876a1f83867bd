"""The same bytes at every start, of training and of evaluation."""

import torch


def set_repeatable() -> None:
    """Let torch compute the same bytes from the same input, wherever it can choose.

    It holds for the whole process, and so for every run that is trained or measured in it; where an
    operation has no repeatable form, torch warns. cuBLAS needs ``CUBLAS_WORKSPACE_CONFIG`` too,
    which ``devices.set_threads`` sets, for it is read when CUDA starts.
    """
    # The same switch as use_deterministic_algorithms, which imports a compiler for two seconds.
    torch.set_deterministic_debug_mode("warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
