"""Jobs that a server of loaded processes runs end with the bytes of jobs that run by themselves."""

from __future__ import annotations

import copy
import signal
import sys
import time
from pathlib import Path

import pytest

from checkout import TINY, Checkout
from tausweep.commands import job_log
from tausweep.machine.served_job import VARIABLE

COMMAND = (sys.executable, "-m", "tausweep.cli", "run", "study.yaml", "--cores", "2")
LOG = ".snakemake/tausweep/forkserver.log"
RUN = "pictures/simple/none/seed1"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the server")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Four runs, of which no two have the same settings, with their data."""
    study = copy.deepcopy(TINY) | {"seeds": [0, 1]}
    checkout = Checkout.new(tmp_path_factory.mktemp("served") / "checkout", study)
    checkout.complete("--cores", "1", "--until", "prepare")
    return checkout


def test_a_study_by_a_server_stopped_and_continued_is_the_same_to_the_byte(
    prepared: Checkout, tmp_path: Path
) -> None:
    alone = prepared.copy(tmp_path / "alone")
    alone.complete(environment={VARIABLE: ""})
    assert not (alone.folder / LOG).exists()

    checkout = prepared.copy(tmp_path / "served")
    # An activated environment exports PS1, and the shell of a job drops it.
    process = checkout.start([*COMMAND, "--", checkout.records()], environment={"PS1": "$ "})
    training = checkout.folder / f"results/tiny/logs/{RUN}/pretrain.log"
    while "epoch 2/" not in job_log.read(training):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert f"pretrain {RUN}  saved " in said
    assert "Traceback" not in said
    first = served(checkout)
    assert any(RUN in line for line in first), first

    code, said = checkout.run(*COMMAND, "--", checkout.records())
    assert code == 0, said
    assert "resumed at epoch " in job_log.read(training)
    assert checkout.results() == alone.results()


def served(checkout: Checkout) -> list[str]:
    """The jobs that a server ran; it declined none."""
    lines = (checkout.folder / LOG).read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("process ") for line in lines), lines
    return lines
