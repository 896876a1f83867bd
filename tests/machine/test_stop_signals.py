"""A stop signal is caught once; a second one ends the job, unless it may be a copy of the first."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

CATCH = """
import os, signal, time
from tausweep.machine import stop_signals
stop_signals.COPY_SECONDS = 0.5
{before}
arrived = stop_signals.catch(patient={patient})
def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
interrupt()
{then}
print(arrived, flush=True)
"""


def caught(then: str, *, before: str = "", patient: bool = False) -> tuple[int, str]:
    """Exit code and output of a process that catches signals and gets one."""
    program = CATCH.format(then=then, before=before, patient=patient)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stdout


COPIES = "stop_signals.expect_copies()"
ONCE = f"[{int(signal.SIGINT)}]\n"


def test_the_first_signal_is_caught() -> None:
    assert caught("") == (0, ONCE)
    assert caught("", before=COPIES) == (0, ONCE)


def test_a_second_one_ends_the_job_at_once() -> None:
    assert caught("interrupt()") == (-signal.SIGINT, "")


def test_a_patient_job_goes_on() -> None:
    code, said = caught("interrupt()", patient=True)
    assert code == 0
    assert said.count(f"{int(signal.SIGINT)}") == 2


def test_a_copy_is_the_same_signal_and_a_later_one_is_a_second() -> None:
    assert caught("interrupt()", before=COPIES) == (0, ONCE)
    assert caught("time.sleep(0.7); interrupt()", before=COPIES) == (-signal.SIGINT, "")


@pytest.mark.parametrize("before", ["", COPIES])
def test_after_a_release_a_signal_ends_the_job(before: str) -> None:
    assert caught("stop_signals.release(); interrupt()", before=before) == (-signal.SIGINT, "")
