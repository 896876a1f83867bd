"""A forked job is what its command would be: files, folder, environment, signals and exit code.

The server of these tests has loaded nothing, because that takes seconds; `test_incremental.py` has
whole studies with the real one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import psutil
import pytest

from tausweep.machine import forkserver, served_job

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the server")

SERVER = """
import os, runpy, socket, sys
from tausweep.machine import forkserver
given = {**os.environ}
os.environ["LOADED"] = "yes"
listener = socket.socket(fileno=int(sys.argv[1]))
code = forkserver.state_of_code()
if forkserver.Server(listener, int(sys.argv[2]), given, code).serve() is not None:
    del sys.argv[0]
    forkserver.run_forked(lambda: runpy.run_path(sys.argv[0], run_name="__main__") and 0)
"""
"""A server whose jobs are Python files."""

COMMAND = """
import os, signal, sys
{before}
from tausweep.machine.served_job import served
sys.exit(served({arguments}))
"""
"""A job's command; where nobody serves it, `sys.exit(None)` is 0."""


@dataclass
class Served:
    """A server, and what starts commands of jobs of it."""

    process: subprocess.Popen[bytes]
    alive: int
    address: Path
    folder: Path
    environment: dict[str, str]

    def command(
        self,
        does: str,
        *arguments: str,
        folder: Path | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
        before: str = "",
    ) -> subprocess.Popen[str]:
        """Start the command of a job that runs a Python program."""
        program = self.folder / "job.py"
        program.write_text(does, encoding="utf-8")
        given = [str(self.folder / "tausweep"), str(program), *arguments]
        return subprocess.Popen(
            [sys.executable, "-P", "-c", COMMAND.format(before=before, arguments=given)],
            cwd=folder or self.folder,
            env=self.environment | {served_job.VARIABLE: str(self.address), **environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            process_group=self.process.pid,
        )  # fmt: skip


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    address = tmp_path / "s" / "forkserver"
    address.parent.mkdir()
    alive, held = os.pipe()
    environment = {**os.environ}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        # pytest's folders are longer than an address may be.
        with contextlib.chdir(address.parent):
            listener.bind(address.name)
        listener.listen()
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", SERVER, str(listener.fileno()), str(alive)],
            env=environment, pass_fds=(listener.fileno(), alive), process_group=0,
            cwd=address.parent,
        )  # fmt: skip
    os.close(alive)
    short = Path("/proc") / str(process.pid) / "cwd" / address.name
    yield Served(process, held, short, tmp_path, environment)
    with contextlib.suppress(OSError):
        os.close(held)
    process.kill()
    process.wait()


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)


def started(folder: Path) -> int:
    """The process id that a job has written."""
    file = folder / "started"
    wait_for(lambda: file.exists() and file.read_text(encoding="utf-8").endswith("\n"))
    return int(file.read_text(encoding="utf-8"))


START = """
import os, signal, sys, time
def say_started():
    with open("started", "w") as file:
        print(os.getpid(), file=file)
"""

WAITS = (
    START
    + """
say_started()
while not os.path.exists("go"):
    time.sleep(0.02)
print("done")
"""
)


def test_a_job_has_its_command_s_files_folder_environment_and_arguments(served: Served) -> None:
    other = served.folder / "other"
    other.mkdir()
    process = served.command(
        "import json, os, sys, tempfile\n"
        "print(json.dumps([os.getcwd(), sys.argv[1:], dict(os.environ), tempfile.gettempdir()]))\n"
        "print('said', file=sys.stderr)\n"
        "assert sys.stdin.read() == ''\n"
        "sys.exit(7)\n",
        "one", "two",
        folder=other, environment={"TMPDIR": str(other), "PWD": "/nowhere"},
    )  # fmt: skip
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (7, "said\n")
    folder, arguments, environment, temporary = json.loads(out)
    assert (folder, arguments, temporary) == (str(other), ["one", "two"], str(other))
    assert environment["LOADED"] == "yes"  # what loading set
    assert environment["PWD"] == "/nowhere"
    assert served_job.VARIABLE not in environment  # what a job starts itself is no job


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "CONDA_PREFIX", "TAUSWEEP_DEVICE"])
def test_a_job_with_another_environment_is_declined(served: Served, name: str) -> None:
    process = served.command("print('done')", environment={name: "another"})
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


def test_the_same_code_is_recognised(tmp_path: Path) -> None:
    file = tmp_path / "room" / "module.py"
    file.parent.mkdir()
    file.write_text("1", encoding="utf-8")
    before = forkserver.state_of_code(tmp_path)
    assert forkserver.state_of_code(tmp_path) == before
    file.write_text("2 ", encoding="utf-8")
    assert forkserver.state_of_code(tmp_path) != before


def test_an_uncaught_error_is_the_job_s(served: Served) -> None:
    process = served.command("raise ValueError('why')")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.endswith("ValueError: why\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_job_that_dies_by_a_signal_takes_its_command_along(
    served: Served, number: signal.Signals
) -> None:
    process = served.command(
        START + "signal.signal(signal.SIGINT, signal.SIG_DFL)\nsay_started()\ntime.sleep(60)\n"
    )
    os.kill(started(served.folder), number)
    process.communicate(timeout=60)
    assert process.returncode == -number


def test_a_command_that_is_killed_takes_its_job_along(served: Served) -> None:
    process = served.command(START + "say_started()\ntime.sleep(60)\n")
    job = started(served.folder)
    process.kill()
    process.communicate(timeout=60)
    wait_for(lambda: not psutil.pid_exists(job))


SAVES = (
    START
    + """
from tausweep.machine import stop_signals
arrived = stop_signals.catch(patient=False)
say_started()
while not arrived:
    time.sleep(0.01)
time.sleep(0.5)
print("saved")
sys.exit(128 + arrived[0])
"""
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
@pytest.mark.parametrize("whom", ["command", "job", "both"])
def test_a_signal_reaches_the_job_once_whoever_gets_it(
    served: Served, number: signal.Signals, whom: str
) -> None:
    process = served.command(SAVES)
    job = started(served.folder)
    if whom == "both":
        os.killpg(served.process.pid, number)
    else:
        os.kill(process.pid if whom == "command" else job, number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (128 + number, "saved\n", "")


def test_an_interrupt_of_all_is_one_interrupt(served: Served) -> None:
    process = served.command(
        START + "say_started()\n"
        "try:\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    time.sleep(0.5)\n    print('interrupted')\n"
        "    sys.exit(130)\n"
    )
    started(served.folder)
    os.killpg(served.process.pid, signal.SIGINT)
    assert process.communicate(timeout=60) == ("interrupted\n", "")
    assert process.returncode == 130


def test_the_server_ends_after_its_starter_and_its_last_job(served: Served) -> None:
    process = served.command(
        START
        + "say_started()\nwhile not os.path.exists('go'):\n    time.sleep(0.02)\nprint('done')\n"
    )
    started(served.folder)
    os.close(served.alive)
    wait_for(lambda: not (served.folder / "s" / "forkserver").exists())
    assert served.process.poll() is None
    (served.folder / "go").touch()
    assert process.communicate(timeout=60) == ("done\n", "")
    assert process.returncode == 0
    assert served.process.wait(timeout=60) == 0


def test_a_job_whose_server_is_killed_is_not_left_alone(served: Served) -> None:
    process = served.command(START + "say_started()\ntime.sleep(60)\n")
    job = started(served.folder)
    served.process.kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "server of this job's process was killed" in err
    wait_for(lambda: not psutil.pid_exists(job) or psutil.Process(job).status() == "zombie")


def test_several_jobs_at_once(served: Served) -> None:
    processes = []
    for number in range(8):
        processes.append(served.command("import sys; sys.exit(int(sys.argv[1]))", str(number)))
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == list(range(8))


def test_a_command_that_comes_as_the_server_closes_ends_no_job(served: Served) -> None:
    process = served.command(WAITS)
    started(served.folder)
    served.process.send_signal(signal.SIGSTOP)
    os.close(served.alive)
    late = served.command("print('never')")
    time.sleep(0.5)  # until it has connected
    served.process.send_signal(signal.SIGCONT)
    assert late.communicate(timeout=60) == ("", "")
    (served.folder / "go").touch()
    assert process.communicate(timeout=60) == ("done\n", "")
    assert served.process.wait(timeout=60) == 0


@pytest.mark.parametrize("said", [b"", b"\0\0", b"\0\0\0\2[]", b"\0\0\0\2{}", b"\xff\xff\xff\xff"])
def test_whoever_says_something_else_is_declined_and_ends_no_job(
    served: Served, said: bytes
) -> None:
    process = served.command(WAITS)
    started(served.folder)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.connect(str(served.address))
        if said:
            socket.send_fds(other, [said], [0, 1, 2])
        other.shutdown(socket.SHUT_WR)
        assert other.recv(4) in (b"", bytes(4))
    (served.folder / "go").touch()
    assert process.communicate(timeout=60) == ("done\n", "")


def test_ignored_signals_stay_ignored(served: Served) -> None:
    process = served.command(
        WAITS,
        before="signal.signal(signal.SIGHUP, signal.SIG_IGN)",
    )
    job = started(served.folder)
    for number in (process.pid, job):
        os.kill(number, signal.SIGHUP)
    (served.folder / "go").touch()
    assert process.communicate(timeout=60) == ("done\n", "")
    assert process.returncode == 0


@pytest.mark.parametrize("before", ["os.umask(0o7)", "os.nice(3)", "os.sched_setaffinity(0, {0})"])
def test_a_job_with_other_limits_is_declined(served: Served, before: str) -> None:
    if "affinity" in before and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("this machine has one core")
    process = served.command("print('done')", before=before)
    assert process.communicate(timeout=60) == ("", "")


def test_modules_of_the_working_folder_are_not_seen(served: Served) -> None:
    (served.folder / "other").mkdir()
    (served.folder / "other" / "queue.py").write_text("raise ValueError", encoding="utf-8")
    process = served.command(
        "import queue, sys; print(sys.path[0])", folder=served.folder / "other"
    )
    out, err = process.communicate(timeout=60)
    assert (out, err) == (f"{served.folder}\n", "")  # the folder of the job's program


def test_a_command_without_input_or_output_runs_its_job_itself(served: Served) -> None:
    process = served.command("print('done')", before="os.close(0)")
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


def test_a_command_can_be_ended_while_the_server_does_not_answer(served: Served) -> None:
    served.process.send_signal(signal.SIGSTOP)
    process = served.command("print('never')")
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == -signal.SIGTERM
    served.process.send_signal(signal.SIGCONT)
    process.communicate(timeout=60)
    assert served.command("print('next')").communicate(timeout=60) == ("next\n", "")
