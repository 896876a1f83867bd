"""A process that has loaded the numerical libraries, and forks one that is ready for each job.

Loading torch, SciPy and scikit-learn takes seconds, more than a small run's evaluation. So a
workflow that starts many jobs on one machine keeps a server that has loaded them once (``start``).
The command of a job asks it for a process (``served``) and stands for that process: it passes
signals on, dies with it and ends with its exit code. Files, terminal, folder and environment are
the command's own. What a job computes is the same, to the byte.

The server declines a job that it could not run as the command itself would: one with another
environment, in another container or control group, of another Python, or after the code of tausweep
was edited. The command then runs the job itself, as it does without a server.

This imports the standard library alone, because every job loads it first.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import selectors
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

VARIABLE = "TAUSWEEP_FORKSERVER"
"""Environment variable with the address of the server, for the commands of jobs."""

FLAG = "--forkserver"
"""``python -m tausweep --forkserver LISTENER ALIVE`` is the server; the numbers are open files."""

THREADS = (
    "OMP_NUM_THREADS", "GOTO_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
)  # fmt: skip
"""What Snakemake sets for each job. Libraries read them when they are loaded."""

OWN = {"PATH", "PWD", "OLDPWD", "SHLVL", "_", "TMPDIR", "TMP", "TEMPDIR", "TEMP", VARIABLE}
"""Variables that may differ between a job and the server: no library reads them as it is loaded."""

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Signals that a command passes on to the process that runs its job."""

SAME_SECONDS = 1.0
"""Two signals of a kind within this time are one: a sender that tells every process of a job (a
terminal, a scheduler) reaches the command and the process, and the command passes its own on."""

_NUMBER = struct.Struct("!i")


@dataclass(frozen=True)
class Job:
    """A command to run.

    Attributes:
        arguments: ``sys.argv``.
        folder: Its working folder.
        environment: Its environment variables.
        place: Where it runs (see ``place``).
    """

    arguments: list[str]
    folder: str
    environment: dict[str, str]
    place: list[str]


def place() -> list[str]:
    """Which Python of which container this process is: equal lists can do each other's work."""
    found = [sys.prefix, str(Path(__file__).parent)]
    for name in ("ns/mnt", "ns/pid", "ns/net"):
        with contextlib.suppress(OSError):
            found.append(str(Path(f"/proc/self/{name}").readlink()))
    with contextlib.suppress(OSError):
        found.append(Path("/proc/self/cgroup").read_text(encoding="utf-8"))
    return found


def fits(job: Job, environment: Mapping[str, str], here: Sequence[str]) -> bool:
    """Whether a job of one thread would find the same libraries in the same state by itself.

    Args:
        job: It.
        environment: What the server was started with.
        here: The server's ``place``.
    """
    names = ({*job.environment} | {*environment}) - OWN
    same = all(job.environment.get(name) == environment.get(name) for name in names)
    return same and job.place == list(here)


# The workflow: start a server.


def start(log: Path) -> str | None:
    """Start a server that ends with this process and after its last job.

    Args:
        log: File that lists the jobs it was asked to run, and why it failed if it does.

    Returns:
        The address for ``VARIABLE``; none where there can be no server. Other systems than Linux
        cannot fork a process that has loaded everything.
    """
    if not possible():
        return None
    log.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="tausweep-"))
    address = folder / "forkserver"
    alive, held = os.pipe()  # the write end is closed when this process ends, however it ends
    try:
        with log.open("wb") as said, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(address))
            listener.listen(128)  # jobs that come before it is ready wait
            subprocess.Popen(
                [sys.executable, "-m", "tausweep", FLAG, str(listener.fileno()), str(alive)],
                env=os.environ | dict.fromkeys(THREADS, "1"),
                # Not the terminal or pipes of this process, which end with it.
                stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                pass_fds=(listener.fileno(), alive),
            )  # fmt: skip
    except OSError:
        address.unlink(missing_ok=True)
        folder.rmdir()
        os.close(held)
        return None
    finally:
        os.close(alive)
    return str(address)


def possible() -> bool:
    """Whether this system can have a server, and the user does not refuse it."""
    if VARIABLE in os.environ:
        return False
    if sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))  # Linux 5.3
    except OSError:
        return False
    return True


# A job's command: let the server run it.


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
    job = Job([*arguments], str(Path.cwd()), {**os.environ}, place())
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        try:
            server.connect(address)
            # Signals wait until there is a process to pass them on to.
            signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
            _send(server, job)
            process = _number(server)
        except OSError:
            process = None
        if not process:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
            return None
        return _stand_for(process, server)


def _stand_for(process: int, server: socket.socket) -> int:
    def pass_on(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    status = _number(server)
    if status is None:
        # The server was killed, and nobody knows how the job ends.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        print("tausweep: error: the server of this job's process was killed", file=sys.stderr)
        return 1
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        if -code in PASSED_ON:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _send(server: socket.socket, job: Job) -> None:
    text = json.dumps(vars(job)).encode("utf-8", "surrogateescape")
    socket.send_fds(server, [_NUMBER.pack(len(text))], [0, 1, 2])
    server.sendall(text)


def _number(connection: socket.socket) -> int | None:
    """The next number that the other side sends; none if it has closed."""
    data = _read(connection, _NUMBER.size)
    return None if data is None else int(_NUMBER.unpack(data)[0])


def _read(connection: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            return None
        data += more
    return data


# The server.


class Server:
    """It forks a process for each job that fits, and tells the job's command how it ended.

    It ends when the process that started it has ended and no job is left.
    """

    def __init__(
        self,
        listener: socket.socket,
        alive: int,
        environment: Mapping[str, str],
        code: list[tuple[str, int, int]],
    ) -> None:
        """Call this after the libraries are loaded.

        Args:
            listener: Where commands connect.
            alive: A pipe that is closed when the process that started the server ends.
            environment: The environment that the server was started with.
            code: ``state_of_code`` before anything of it was loaded.
        """
        self.listener, self.alive = listener, alive
        self.given, self.here, self.code = dict(environment), place(), code
        # What loading the libraries needed is also set for each job.
        self.changed = {k: v for k, v in os.environ.items() if environment.get(k) != v}
        self.removed = {*environment} - {*os.environ}
        self.selector = selectors.DefaultSelector()
        self.commands: dict[int, tuple[int, socket.socket]] = {}

    def serve(self) -> Job | None:
        """Fork processes for jobs.

        Returns:
            In a forked process, the job that it has to run: environment, folder and files are set.
            In the server, none, when it has ended.
        """
        for number in PASSED_ON:
            signal.signal(number, signal.SIG_IGN)  # jobs end by them, and the server after the jobs
        gc.freeze()  # so that collecting garbage does not copy what processes share
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.selector.register(self.alive, selectors.EVENT_READ)
        open_for_jobs = True
        while open_for_jobs or self.commands:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    job = self._accept()
                    if job is not None:
                        return job
                elif key.fileobj == self.alive:
                    self._close()
                    open_for_jobs = False
                elif isinstance(key.data, int):
                    self._end(key.data)
        return None

    def _close(self) -> None:
        self.selector.unregister(self.listener)
        self.selector.unregister(self.alive)
        address = Path(self.listener.getsockname())
        self.listener.close()
        with contextlib.suppress(OSError):
            address.unlink()
            address.parent.rmdir()

    def _accept(self) -> Job | None:
        command, _ = self.listener.accept()
        files: list[int] = []
        try:
            files, job = _receive(command)
            if job is None or not self._fits(job):
                _say("declined", job)
                command.sendall(_NUMBER.pack(0))
                command.close()
                return None
            # A signal to the new process must wait until it can take it.
            signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
            process = os.fork()
            if process == 0:
                try:
                    command.close()
                    self._become(job, files)
                except BaseException:
                    # It must not go on as a second server.
                    traceback.print_exc()
                    os._exit(1)
                return job
            signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
            _say(f"process {process}", job)
        except OSError:
            command.close()
            return None
        finally:
            for file in files:
                os.close(file)
        ended = os.pidfd_open(process)
        self.commands[process] = ended, command
        self.selector.register(ended, selectors.EVENT_READ, process)
        # It says nothing more, so that this only happens if it is killed.
        self.selector.register(command, selectors.EVENT_READ, process)
        with contextlib.suppress(OSError):
            command.sendall(_NUMBER.pack(process))
        return None

    def _fits(self, job: Job) -> bool:
        return fits(job, self.given, self.here) and state_of_code() == self.code

    def _end(self, process: int) -> None:
        """A job's process has ended, or its command has, and the process must not go on alone."""
        if process not in self.commands:
            return
        ended, command = self.commands[process]
        done, status = os.waitpid(process, os.WNOHANG)
        if not done:
            os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
        with contextlib.suppress(OSError):
            command.sendall(_NUMBER.pack(status))
        del self.commands[process]
        for file in (ended, command):
            self.selector.unregister(file)
        os.close(ended)
        command.close()

    def _become(self, job: Job, files: Sequence[int]) -> None:
        """Make a forked process what the job's command would be."""
        self.selector.close()
        self.listener.close()
        os.close(self.alive)
        for ended, command in self.commands.values():
            os.close(ended)
            command.close()
        for file, number in zip(files, (0, 1, 2), strict=True):
            os.dup2(file, number)
        os.environ.clear()
        os.environ.update(job.environment | self.changed)
        for name in {VARIABLE} | self.removed:
            os.environ.pop(name, None)
        os.chdir(job.folder)
        tempfile.tempdir = None  # it remembers the server's
        sys.argv = [*job.arguments]
        for stream in (sys.stdout, sys.stderr):
            assert isinstance(stream, io.TextIOWrapper)
            stream.reconfigure(line_buffering=stream is sys.stderr or stream.isatty())
        for number in PASSED_ON:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, interrupt_once())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)


def interrupt_once() -> Any:
    """A handler that raises ``KeyboardInterrupt``, but not for the same signal again."""
    last = -SAME_SECONDS

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SAME_SECONDS:
            last = now
            raise KeyboardInterrupt

    return interrupt


def _say(what: str, job: Job | None) -> None:
    print(f"{what}: {shlex.join(job.arguments) if job else 'no job'}", flush=True)


def _receive(command: socket.socket) -> tuple[list[int], Job | None]:
    """The three files of a command and its job; none if the command has ended."""
    data, files, _, _ = socket.recv_fds(command, _NUMBER.size, 3)
    if len(data) < _NUMBER.size or len(files) < 3:
        return files, None
    text = _read(command, _NUMBER.unpack(data)[0])
    if text is None:
        return files, None
    return files, Job(**json.loads(text.decode("utf-8", "surrogateescape")))


def state_of_code(root: Path = Path(__file__).parents[1]) -> list[tuple[str, int, int]]:
    """Path, time and size of each file of Python code in a folder: tausweep's own by default."""
    found = []
    for path in sorted(root.rglob("*.py")):
        state = path.stat()
        found.append((str(path), state.st_mtime_ns, state.st_size))
    return found
