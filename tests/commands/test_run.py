"""How a study is handed to Snakemake, and that signals reach all of its processes, each once."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys

import pytest

from tausweep.commands import flags, run
from tausweep.storage import shipped

COUNTING = """
import os, signal, subprocess, sys
arrived = []
signal.signal(signal.SIGINT, lambda number, frame: arrived.append(number))
if len(sys.argv) > 1:
    print("ready", os.getpid(), os.getppid(), flush=True)
    child = None
else:
    child = subprocess.Popen([sys.executable, "-c", os.environ["COUNTING"], "inner"])
while not arrived:
    signal.pause()
code = child.wait() if child else 0
print("outer" if child else "inner", len(arrived), flush=True)
sys.exit(code)
"""
"""A process and one that it starts, which both wait for SIGINT and say how many came."""

SUPERVISED = """
import os, sys
from tausweep.commands import run
print(*run.supervise([sys.executable, "-c", os.environ["COUNTING"]]), flush=True)
"""


def parsed(*arguments: str) -> argparse.Namespace:
    parser = flags.Parser(prog="tausweep")
    run.add_arguments(parser.add_subparsers().add_parser("run"))
    return parser.parse_args(["run", *arguments])


@pytest.mark.parametrize(
    ("given", "cores", "passed_on"),
    [
        (["study.yaml"], None, []),
        (["study.yaml", "--cores", "2", "--", "-n", "a b"], "2", ["-n", "a b"]),
        (["--cores", "all", "study.yaml", "--", "--", "x"], "all", ["--", "x"]),
    ],
)
def test_flags_of_snakemake_stand_behind_two_dashes(
    given: list[str], cores: str | None, passed_on: list[str]
) -> None:
    options = parsed(*given)
    assert (options.study, options.cores, options.passed_on) == ("study.yaml", cores, passed_on)


def test_a_flag_of_snakemake_without_the_dashes_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed("study.yaml", "--forcerun", "x")
    assert ended.value.code == 2
    assert "--forcerun" in capsys.readouterr().err


@pytest.mark.parametrize("cores", ["0", "-1", "two"])
def test_cores_are_a_number_or_all(cores: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("study.yaml", f"--cores={cores}")
    assert f"--cores: {cores} is not allowed" in capsys.readouterr().err


def test_the_command_named_to_go_on_with_is_the_one_that_was_given() -> None:
    options = parsed("my study.yaml", "--cores", "2", "--", "--config", "seeds=[0]")
    assert run.again(options) == "tausweep run 'my study.yaml' --cores 2 -- --config 'seeds=[0]'"
    command = run.command(options.study, options.cores, options.passed_on)
    assert command[1:3] == ["-m", "snakemake"]
    assert command[-2:] == ["--config", "seeds=[0]"]
    assert run.again(options) in command


def test_a_study_that_comes_along_is_named_as_it_was_typed() -> None:
    file = str(shipped.studies()["demo"])
    command = run.command(file, None, [])
    assert command[command.index("--snakefile") + 1] == str(shipped.snakefile())
    assert command[command.index("--configfile") + 1] == file
    assert (
        run.again(argparse.Namespace(study=file, cores=None, passed_on=[])) == "tausweep run demo"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_command_alone_reaches_every_process_once(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISED],
        env=os.environ | {"COUNTING": COUNTING},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    ready, _, outer = process.stdout.readline().split()
    assert ready == "ready"
    assert os.getpgid(int(outer)) == int(outer)
    process.send_signal(number)
    said = process.communicate(timeout=60)[0].split()
    assert said == ["inner", "1", "outer", "1", "0", str(int(number))]


def test_the_exit_code_and_the_errors_are_handed_on(capfd: pytest.CaptureFixture[str]) -> None:
    said = (
        "Using workflow specific profile profiles/default for setting default command line "
        "arguments."
    )
    code = f"import sys; print({said!r}, file=sys.stderr); sys.exit('tausweep: error: no room')"
    assert run.supervise([sys.executable, "-c", code]) == (1, 0)
    assert capfd.readouterr().err == "tausweep: error: no room\n"


def test_a_wrong_flag_of_snakemake_is_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    command = run.command("study.yaml", None, ["--no-such-flag"])
    assert run.supervise(command) == (2, 0)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("tausweep: error: snakemake: ")
    assert "--no-such-flag" in line


def test_handlers_of_signals_are_as_before() -> None:
    before = {number: signal.getsignal(number) for number in (*run.STOP_SIGNALS, signal.SIGTSTP)}
    run.supervise([sys.executable, "-c", ""])
    assert before == {number: signal.getsignal(number) for number in before}
