"""A process that has loaded the numerical libraries, and forks one that is ready for each job.

Loading torch, SciPy and scikit-learn takes seconds, more than a small run's evaluation. So a
workflow that starts many jobs on one machine keeps a server that has loaded them once (``start``).
The command of a job asks it for a process (``served_job.served``) and stands for that process: it
passes signals on, dies with it and ends with its exit code. Files, terminal, folder and environment
are the command's own. What a job computes is the same, to the byte.

The server declines a job that it could not run as the command itself would: one with another
environment, in another container or control group, with other limits, of another Python, or after
the code of tausweep was edited. The command then runs the job itself, as it does without a server.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import os
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from tausweep.machine import served_job, stop_signals
from tausweep.machine.served_job import FLAG, NUMBER, PASSED_ON, VARIABLE, Job

THREADS = (
    "OMP_NUM_THREADS", "GOTO_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
)  # fmt: skip
"""What Snakemake sets for each job. Libraries read them when they are loaded."""

SEND_SECONDS = 5.0
"""A command that needs longer to send its job is not waited for, because others are."""

CodeState = list[tuple[str, int, int]]
"""Path, time and size of files."""


def possible() -> bool:
    """Whether this system can have a server, and the user does not refuse it.

    Other systems than Linux cannot fork a process that has loaded everything.
    """
    if VARIABLE in os.environ or sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))  # Linux 5.3
    except OSError:
        return False
    return True


def start(log: Path) -> str | None:
    """Start a server that ends with this process and after its last job.

    Args:
        log: File that lists the jobs it was asked to run, and why it failed if it does.

    Returns:
        The address for ``VARIABLE``; none where there can be no server.
    """
    if not possible():
        return None
    alive, held = os.pipe()  # the write end is closed when this process ends, however it ends
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="tausweep-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        with log.open("wb") as said, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(folder / "forkserver"))
            listener.listen(128)  # jobs that come before it is ready wait
            # -P: files of the study's folder are no modules.
            server = [sys.executable, "-P", "-m", "tausweep", FLAG]
            subprocess.Popen(
                # Through the shell that Snakemake starts jobs with, which changes the environment:
                # bash drops PS1, which an activated environment exports.
                ["bash", "-c", 'exec "$@"', "bash", *server, f"{listener.fileno()}", f"{alive}"],
                env=os.environ | dict.fromkeys(THREADS, "1"),
                # Not the terminal or pipes of this process, which end with it.
                stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                pass_fds=(listener.fileno(), alive),
            )  # fmt: skip
    except OSError:
        os.close(held)
        return None
    finally:
        os.close(alive)
    return str(folder / "forkserver")


def ignore_signals() -> None:
    """What ends jobs does not end the server; it ends after them."""
    for number in PASSED_ON:
        signal.signal(number, signal.SIG_IGN)


def run_forked(main: Callable[[], int]) -> int:
    """Run a forked job now that it can take signals; its exit code."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    return main()


class Server:
    """It forks a process for each job that fits, and tells the job's command how it ended.

    It ends when the process that started it has ended and no job is left.
    """

    def __init__(
        self,
        listener: socket.socket,
        alive: int,
        environment: Mapping[str, str],
        code: CodeState,
    ) -> None:
        """Call this after the libraries are loaded.

        Args:
            listener: Where commands connect.
            alive: A pipe that is closed when the process that started the server ends.
            environment: The environment that the server was started with.
            code: ``state_of_code`` before anything of it was loaded.
        """
        self.listener, self.alive = listener, alive
        self.given, self.here, self.code = dict(environment), served_job.place(), code
        # What loading the libraries needed is also set for each job.
        self.changed = {k: v for k, v in os.environ.items() if environment.get(k) != v}
        self.removed = {*environment} - {*os.environ}
        self.selector = selectors.DefaultSelector()
        self.commands: dict[int, tuple[int, socket.socket]] = {}

    def serve(self) -> Job | None:
        """Fork processes for jobs.

        Returns:
            In a forked process, the job that it has to run (``run_forked``): environment, folder
            and files are set. In the server, none, when it has ended.
        """
        ignore_signals()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        gc.freeze()  # so that collecting garbage does not copy what processes share
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.selector.register(self.alive, selectors.EVENT_READ)
        open_for_jobs = True
        while open_for_jobs or self.commands:
            for key, _ in self.selector.select():
                if isinstance(key.data, int):
                    self._end(key.data)
                elif key.fileobj == self.alive:
                    self._close()
                    open_for_jobs = False
                elif open_for_jobs:
                    job = self._accept()
                    if job is not None:
                        return job
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
        """Take a job; return it in the process that is forked for it."""
        files: list[int] = []
        try:
            command, _ = self.listener.accept()
        except OSError:
            return None  # it has gone again
        try:
            command.settimeout(SEND_SECONDS)
            files, job = served_job.receive(command)
            command.settimeout(None)
            why = self._differences(job)
            if job is not None and not why:
                return self._fork(command, files, job)
            _say(f"declined ({', '.join(why)})", job)
            command.sendall(NUMBER.pack(0))
            command.close()
        except OSError:
            command.close()
        finally:
            for file in files:
                os.close(file)
        return None

    def _differences(self, job: Job | None) -> list[str]:
        if job is None:
            return ["not a job"]
        changed = [] if state_of_code() == self.code else ["code"]
        return served_job.differences(job, self.given, self.here) + changed

    def _fork(self, command: socket.socket, files: Sequence[int], job: Job) -> Job | None:
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
        try:
            ended = os.pidfd_open(process)
        except OSError:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise
        self.commands[process] = ended, command
        self.selector.register(ended, selectors.EVENT_READ, process)
        # It says nothing more, so that this only happens if it is killed.
        self.selector.register(command, selectors.EVENT_READ, process)
        _say(f"process {process}", job)
        with contextlib.suppress(OSError):
            command.sendall(NUMBER.pack(process))
        return None

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
            command.sendall(NUMBER.pack(status))
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
        if "PYTHONSAFEPATH" not in job.environment:
            sys.path.insert(0, str(Path(job.arguments[0]).resolve().parent))
        for stream in (sys.stdout, sys.stderr):
            assert isinstance(stream, io.TextIOWrapper)
            stream.reconfigure(line_buffering=stream is sys.stderr or stream.isatty())
        stop_signals.expect_copies()
        for number in PASSED_ON:
            ignored = number in job.ignored
            signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
        if signal.SIGINT not in job.ignored:
            signal.signal(signal.SIGINT, _interrupt_once())


def _interrupt_once() -> Callable[[int, FrameType | None], None]:
    """A handler that raises ``KeyboardInterrupt``, but not for a copy of the same signal."""
    last: float | None = None

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if last is None or now - last >= stop_signals.COPY_SECONDS:
            last = now
            raise KeyboardInterrupt

    return interrupt


def _say(what: str, job: Job | None) -> None:
    with contextlib.suppress(OSError):
        print(f"{what}: {shlex.join(job.arguments) if job else 'no job'}", flush=True)


def state_of_code(root: Path = Path(__file__).parents[1]) -> CodeState:
    """The files of Python code in a folder, tausweep's own by default, and installed packages."""
    found = []
    for path in [*sorted(root.rglob("*.py")), Path(sysconfig.get_path("purelib"))]:
        state = path.stat()
        found.append((str(path), state.st_mtime_ns, state.st_size))
    return found
