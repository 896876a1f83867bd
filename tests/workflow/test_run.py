"""`tausweep run`: stopped politely, killed outright, failed and mended, a study ends the same."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from checkout import LONE, Checkout
from tausweep.commands import job_log

LOG = f"results/tiny/logs/{LONE}/pretrain.log"
COMMAND = (sys.executable, "-m", "tausweep.cli", "run", "study.yaml")
AGAIN = "tausweep run study.yaml"


def started(checkout: Checkout) -> subprocess.Popen[str]:
    return checkout.start([*COMMAND, "--", checkout.records()])


def until_epoch(checkout: Checkout, epoch: int, process: subprocess.Popen[str]) -> None:
    """Follow the log of the training up to an epoch."""
    path = checkout.folder / LOG
    while f"epoch {epoch}/" not in job_log.read(path):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
            raise AssertionError(process.communicate()[0])


def processes(checkout: Checkout) -> list[psutil.Process]:
    """Processes that work in the checkout."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(checkout.folder.resolve()):
                found.append(process)
    return found


def test_a_study_that_was_stopped_and_then_killed_goes_on_to_the_same_bytes(
    lone: Checkout, lone_results: dict[str, bytes], tmp_path: Path
) -> None:
    checkout = lone.copy(tmp_path / "checkout")
    process = started(checkout)
    until_epoch(checkout, 3, process)
    # To the command alone: what it started is in another group, and has it once from there.
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "stopped; 0 of 1 runs are finished, and kept" in said
    assert f"pretrain {LONE}  saved " in said
    assert f"to continue: {AGAIN}" in said
    assert "Traceback" not in said
    assert processes(checkout) == []

    process = started(checkout)
    until_epoch(checkout, 8, process)
    for one in processes(checkout):
        one.kill()
    process.communicate()
    assert list((checkout.folder / ".snakemake/locks").iterdir())

    code, said = checkout.run(*COMMAND, "--", checkout.records())
    assert code == 0, said
    assert "released the lock on the study tiny" in said
    assert f"  {LONE}  linear" in said
    assert "done in" in said
    assert checkout.results() == lone_results


def test_a_failed_job_is_told_with_its_log_and_the_next_command(
    finished: Checkout, tmp_path: Path
) -> None:
    checkout = finished.copy(tmp_path / "checkout")
    record = checkout.folder / f"results/tiny/runs/{LONE}/record.json"
    record.unlink()
    shutil.rmtree(checkout.folder / "results/store")
    (checkout.folder / checkout.records()).unlink()
    (images,) = (checkout.folder / "results/data").glob("*/test_images.npy")
    images.unlink()
    code, said = checkout.run(*COMMAND, "--cores", "1", "--", checkout.records())
    assert code == 1, said
    assert f"failed: evaluate {LONE}, exit code 2" in said
    assert "    | tausweep: error: " in said
    assert f"    log:  results/tiny/logs/{LONE}/evaluate.log" in said
    assert f"    then: {AGAIN} --cores 1 -- {checkout.records()}" in said
    assert "1 of 2 runs are finished; 1 job failed:" in said
    log = next(line for line in said.splitlines() if line.startswith("Snakemake's own log: "))
    assert (checkout.folder / log.removeprefix("Snakemake's own log: ")).is_file()
    assert "CalledProcessError" not in said


def test_bad_study_is_one_sentence_before_snakemake_starts(
    finished: Checkout, tmp_path: Path
) -> None:
    checkout = finished.copy(tmp_path / "checkout")
    shutil.rmtree(checkout.folder / ".snakemake")
    checkout.edit("study.yaml", "epochs: 20", "epoch: 20")
    code, said = checkout.run(*COMMAND)
    assert code == 2
    assert "pretrain.epoch: unknown key; did you mean epochs" in said
    assert len(said.splitlines()) == 1
    assert not (checkout.folder / ".snakemake").exists()
