"""A job that a fork server runs: what its command sends, and how it stands for the job's process.

This imports the standard library alone, because every command loads it first. The server is
``forkserver``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

VARIABLE = "TAUSWEEP_FORKSERVER"
"""Environment variable with the address of the server; empty where there must not be one."""

FLAG = "--forkserver"
"""``python -m tausweep --forkserver LISTENER ALIVE`` is the server; the numbers are open files."""

OWN = {"PATH", "PWD", "OLDPWD", "SHLVL", "_", "TMPDIR", "TMP", "TEMPDIR", "TEMP", VARIABLE}
"""Variables that may differ between a job and the server: no library reads them as it is loaded."""

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Signals that a command passes on to the process that runs its job."""

ANSWER_SECONDS = 60.0
"""A server that needs longer to take a job is not waited for."""

STATUS = ("Umask", "Cpus_allowed_list")
"""Lines of /proc/self/status that a job inherits from its command."""

NUMBER = struct.Struct("!i")
"""How numbers are sent: the size of a job; its process, or 0 if it is declined; how it ended."""


@dataclass(frozen=True)
class Job:
    """A command to run.

    Attributes:
        arguments: ``sys.argv``.
        folder: Its working folder.
        environment: Its environment variables.
        ignored: Signals that it ignores, of ``PASSED_ON``.
        place: Where it runs (see ``place``).
    """

    arguments: list[str]
    folder: str
    environment: dict[str, str]
    ignored: list[int]
    place: list[str]


def place() -> list[str]:
    """What a process has beside its environment: Python, container, limits, cores, priority."""
    found = [sys.prefix, str(Path(__file__).parent), f"nice {os.nice(0)}"]
    for name in ("ns/mnt", "ns/pid", "ns/net"):
        with contextlib.suppress(OSError):
            found.append(str(Path(f"/proc/self/{name}").readlink()))
    found += [*_lines("cgroup"), *_lines("limits")]
    return found + [line for line in _lines("status") if line.startswith(STATUS)]


def _lines(name: str) -> list[str]:
    try:
        return Path(f"/proc/self/{name}").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def differences(job: Job, environment: Mapping[str, str], here: Sequence[str]) -> list[str]:
    """What a job of one thread would find otherwise by itself; nothing if a server can run it.

    Args:
        job: It.
        environment: What the server was started with.
        here: The server's ``place``.

    Returns:
        Names of environment variables, and lines of ``place``.
    """
    names = ({*job.environment} | {*environment}) - OWN
    found = sorted(n for n in names if job.environment.get(n) != environment.get(n))
    return found + sorted({*job.place} ^ {*here})


def served(arguments: Sequence[str]) -> int | None:
    """Let the server run this process's job; its exit code.

    If the job dies by a signal, this process does too.

    Args:
        arguments: ``sys.argv``.

    Returns:
        None if there is no server, or if it declines; nothing was done then.
    """
    address = os.environ.get(VARIABLE)
    if not address:
        return None
    ignored = [int(n) for n in PASSED_ON if signal.getsignal(n) == signal.SIG_IGN]
    job = Job([*arguments], str(Path.cwd()), {**os.environ}, ignored, place())
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        if server.fileno() <= 2:
            return None  # this process has no standard input or output to pass on
        server.settimeout(ANSWER_SECONDS)
        try:
            server.connect(address)
            _send(server, job)
            process = _number(server)
        except OSError:
            return None
        if not process:
            return None
        # A signal before this ends this process, and the job with it, which has done nothing yet.
        server.settimeout(None)
        return _stand_for(process, server, ignored)


def _stand_for(process: int, server: socket.socket, ignored: Sequence[int]) -> int:
    def pass_on(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)

    for number in {*PASSED_ON} - {*ignored}:
        signal.signal(number, pass_on)
    status = _number(server)
    if status is None:
        # The server was killed, and nobody knows how the job ends.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        print("tausweep: error: the server of this job's process was killed", file=sys.stderr)
        return 1
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no other action
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _send(server: socket.socket, job: Job) -> None:
    text = json.dumps(vars(job)).encode("utf-8", "surrogateescape")
    socket.send_fds(server, [NUMBER.pack(len(text))], [0, 1, 2])
    server.sendall(text)


def receive(command: socket.socket) -> tuple[list[int], Job | None]:
    """The three files of a command, and its job; none if it has ended or says something else.

    Raises:
        OSError: It does not send it in time.
    """
    data, files, _, _ = socket.recv_fds(command, NUMBER.size, 3)
    if len(data) < NUMBER.size or len(files) < 3:
        return files, None
    text = _read(command, max(0, NUMBER.unpack(data)[0]))
    try:
        return files, Job(**json.loads((text or b"").decode("utf-8", "surrogateescape")))
    except (TypeError, ValueError):
        return files, None


def _number(connection: socket.socket) -> int | None:
    """The next number that the other side sends; none if it has closed."""
    data = _read(connection, NUMBER.size)
    return None if data is None else int(NUMBER.unpack(data)[0])


def _read(connection: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            return None
        data += more
    return data
