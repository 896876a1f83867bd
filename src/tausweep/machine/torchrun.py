"""Starts a command again as several processes, by torchrun."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from tausweep.machine.stop_signals import STOP_SIGNALS

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError


def launch(
    module: str, arguments: Sequence[str], processes: int, say_error: Callable[[str], None]
) -> int:
    """Run a module as several processes on this machine and wait for all of them.

    Args:
        module: What every process runs, as ``python -m`` takes it.
        arguments: Its arguments.
        processes: How many, 2 or more.
        say_error: Takes a sentence about each process that was killed and cannot speak for itself.

    Returns:
        The exit code that they end with.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    def pass_on(number: int, frame: FrameType | None) -> None:
        raise SignalException("to be passed on", signal.Signals(number))

    # Torchrun passes on what is raised so, but of these it takes care of two only.
    for number in STOP_SIGNALS:
        signal.signal(number, pass_on)
    # The processes say for themselves why they end.
    logging.disable(logging.ERROR)
    # What follows `--` is not taken for torchrun's own options, of which `--run` might be one.
    torchrun = ["--standalone", f"--nproc-per-node={processes}", "-m", "--", module]
    try:
        run(parse_args([*torchrun, *arguments]))
    except SignalException as signalled:
        return 128 + signalled.sigval
    except ChildFailedError as error:
        return exit_code(error, say_error)
    return 0


def exit_code(error: ChildFailedError, say_error: Callable[[str], None]) -> int:
    """The exit code of processes that failed; says what a killed one cannot say itself."""
    codes = {rank: failure.exitcode for rank, failure in sorted(error.failures.items())}
    for rank, code in codes.items():
        if code < 0 and code != -signal.SIGTERM:  # which is how torchrun ends those that are left
            say_error(f"process {rank + 1} was ended by {signal.Signals(-code).name}")
    # 1 is also what those end with that only found another one gone.
    return max(1, *codes.values())
