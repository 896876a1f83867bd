"""The command `tausweep`, and `python -m tausweep`.

A job of a workflow runs in a process that has loaded torch already, if there is a server for that
(``tausweep.machine.forkserver``).
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from importlib import import_module

from tausweep.machine.served_job import FLAG, served

LOADED = (
    "tausweep.commands.pretrain",
    "tausweep.commands.evaluate",
    "tausweep.training.pretrain",
    "tausweep.training.outputs",
    "tausweep.measures.evaluate",
    "tausweep.measures.along",
)
"""What the server loads: all that training and measuring a run need."""


def main() -> int:
    """Run a command; returns its exit code (see ``tausweep.cli``)."""
    if sys.argv[1:2] == [FLAG]:
        return serve(*map(int, sys.argv[2:]))
    code = _interruptible(lambda: served(sys.argv))
    return _run() if code is None else code


def serve(listener: int, alive: int) -> int:
    """Be the server, and in each process that it forks, run its job.

    Args:
        listener: The socket where commands connect, as the number of an open file.
        alive: See ``forkserver.Server``.
    """
    from tausweep.machine import devices, forkserver, instructions
    from tausweep.storage import provenance

    forkserver.ignore_signals()
    environment, code = {**os.environ}, forkserver.state_of_code()
    instructions.use(instructions.of_float32(), restart=False)
    devices.set_threads(1)
    for name in LOADED:
        import_module(name)
    for stage in provenance.NUMBERS:
        provenance.code_version(stage)  # it is remembered; the server declines jobs after a change
    server = forkserver.Server(socket.socket(fileno=listener), alive, environment, code)
    if server.serve() is None:
        return 0
    return _interruptible(lambda: forkserver.run_forked(_run)) or 0


def _run() -> int:
    from tausweep import cli

    return cli.main()


def _interruptible(work: Callable[[], int | None]) -> int | None:
    """Do what comes before a command; if it is interrupted, say what the command would say."""
    try:
        return work()
    except KeyboardInterrupt:
        from tausweep import cli

        return cli.interrupted()


if __name__ == "__main__":
    sys.exit(main())
