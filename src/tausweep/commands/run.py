"""`tausweep run`: run a whole study with Snakemake, behind a bar that shows the time left.

Snakemake and all that it starts form a process group of their own. So a signal to this command
reaches each of these processes exactly once, whoever sent it. A training that receives one saves
its state.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import IO

from tausweep.commands import flags
from tausweep.commands.flags import USAGE_ERROR
from tausweep.storage import shipped, workflow_lock
from tausweep.storage.layout import Layout

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end the command. Snakemake and its jobs receive SIGINT instead."""

_NOTICE = re.compile(r"^Using .*profile.* for setting default command line arguments\.$")
"""Snakemake's notice whenever it reads a profile."""

_WRONG_FLAG = re.compile(r"^\S.*?: error: (.*)$")
"""The last line of Snakemake's usage message for a wrong flag."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `tausweep run` takes."""
    flags.add_study(parser)
    flags.add_cores(parser)
    flags.add_passed_on(parser, "targets and flags of Snakemake, as in `-- --dry-run`")


def run(options: argparse.Namespace) -> int:
    """Run a study; returns 0, 1 if a run failed, 2 for bad input, or 128 + the signal.

    Raises:
        StudyError: The study is not valid; nothing was started.
    """
    from tausweep import study as studies
    from tausweep.commands import plan

    asked, layout = studies.load(options.study), Layout()
    plan.check(asked, layout)
    released = workflow_lock.release_stale(asked.study, layout.study(asked.study))
    if released is not None:
        who = " and ".join(released.left_by)
        print(f"released the lock on the study {asked.study} that {who}, killed since, left")
    sys.stdout.flush()
    code, stopped = supervise(command(options.study, options.cores, options.passed_on))
    if stopped:
        print(f"to continue: {again(options)}")
        return 128 + stopped
    return code if code in (0, USAGE_ERROR) else 1


def again(options: argparse.Namespace) -> str:
    """The command as the user should type it to continue."""
    words = ["tausweep", "run", shipped.study_name(options.study)]
    words += ["--cores", options.cores] if options.cores else []
    words += ["--", *options.passed_on] if options.passed_on else []
    return shlex.join(words)


def command(study: str, cores: str | None, passed_on: Sequence[str]) -> list[str]:
    """Snakemake's command line; the user's own flags come last, so that they win."""
    named = argparse.Namespace(study=study, cores=cores, passed_on=passed_on)
    return [
        *(sys.executable, "-m", "snakemake"),
        *("--snakefile", str(shipped.snakefile())),
        *("--configfile", study),
        *(("--cores", cores) if cores else ()),
        *("--logger", "tausweep", "--logger-tausweep-again", again(named)),
        *passed_on,
    ]


def supervise(command: Sequence[str]) -> tuple[int, int]:
    """Run a command as a process group that receives each signal to this process once.

    Returns:
        Its exit code, and the number of the first signal that asked it to end, or 0.
    """
    arrived: list[int] = []
    child: subprocess.Popen[str] | None = None

    def send(number: int) -> None:
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, number)

    def stop(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        send(signal.SIGINT)

    def suspend(number: int, frame: FrameType | None) -> None:
        send(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)

    def resume(number: int, frame: FrameType | None) -> None:
        send(signal.SIGCONT)

    before = {number: signal.signal(number, stop) for number in STOP_SIGNALS}
    before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, suspend)
    before[signal.SIGCONT] = signal.signal(signal.SIGCONT, resume)
    # A background group may write to a terminal, unless the terminal forbids it (stty tostop).
    before[signal.SIGTTOU] = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            process_group=0,
        )
        if arrived:  # before there was a process to send it to
            send(signal.SIGINT)
        assert child.stderr is not None
        relay = threading.Thread(target=_relay, args=(child.stderr, arrived), daemon=True)
        relay.start()
        code = child.wait()
        relay.join()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code, arrived[0] if arrived else 0


def _relay(errors: IO[str], arrived: Sequence[int]) -> None:
    """Pass on what Snakemake writes to stderr, without what would only confuse.

    Left out are its notice of a profile, the hundred lines of usage before the error about a wrong
    flag, and Python's traceback of an interrupt that the user asked for.
    """
    interrupted = usage = False
    for line in errors:
        interrupted = interrupted or bool(arrived and line.startswith("Traceback "))
        usage = usage or line.startswith("usage: ")
        if usage and (wrong := _WRONG_FLAG.match(line)) is not None:
            usage = False
            line = f"tausweep: error: snakemake: {wrong[1]}; see `snakemake --help`\n"
        if not (interrupted or usage or _NOTICE.match(line)):
            # Nothing can be written to a closed terminal, but Snakemake must be able to go on.
            with contextlib.suppress(OSError):
                sys.stderr.write(line)
                sys.stderr.flush()
