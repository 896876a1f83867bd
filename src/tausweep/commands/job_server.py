"""Whether a workflow keeps a server that forks its jobs (``tausweep.machine.forkserver``)."""

from __future__ import annotations

from collections.abc import Iterable

from tausweep.machine import forkserver
from tausweep.study import Run

WORTH = 4
"""Runs from which on it is worth it: loading takes as long as that of a job and a half."""


def serves(runs: Iterable[Run]) -> bool:
    """Whether a server would run the jobs of these runs, which all have one thread.

    A server has one mode of CPU instructions, and training in bf16 has its own.

    Args:
        runs: Those that are not finished.
    """
    precisions = [run.settings.pretrain.precision for run in runs]
    return len(precisions) >= WORTH and "bf16" not in precisions and forkserver.possible()
