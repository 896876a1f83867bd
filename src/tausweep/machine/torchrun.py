"""Start a command again as several processes with torchrun."""

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
        module: The module that every process runs, as for ``python -m``.
        arguments: Its arguments.
        processes: The number of processes, 2 or more.
        say_error: Called for each process that was killed and so could not report anything.

    Returns:
        The exit code of the processes.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    def pass_on(number: int, frame: FrameType | None) -> None:
        raise SignalException("to be passed on", signal.Signals(number))

    # torchrun passes on signals that are raised like this, but itself handles only two of these.
    for number in STOP_SIGNALS:
        signal.signal(number, pass_on)
    # The processes report themselves why they end.
    logging.disable(logging.ERROR)
    # torchrun does not read options after `--`; it could take `--run` for one of its own.
    torchrun = ["--standalone", f"--nproc-per-node={processes}", "-m", "--", module]
    try:
        run(parse_args([*torchrun, *arguments]))
    except SignalException as signalled:
        return 128 + signalled.sigval
    except ChildFailedError as error:
        return exit_code(error, say_error)
    return 0


def exit_code(error: ChildFailedError, say_error: Callable[[str], None]) -> int:
    """The exit code of failed processes; reports a killed one, which cannot do so itself."""
    codes = {rank: failure.exitcode for rank, failure in sorted(error.failures.items())}
    for rank, code in codes.items():
        if code < 0 and code != -signal.SIGTERM:  # torchrun ends the remaining ones with it
            say_error(f"process {rank + 1} was killed by {signal.Signals(-code).name}")
    # Processes that merely lost another one also exit with 1.
    return max(1, *codes.values())
