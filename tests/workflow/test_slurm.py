"""A study through a real Slurm: seen in its queue, cancelled, preempted, and the same bytes."""

from __future__ import annotations

import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from checkout import LONE, REPOSITORY, Checkout, DryRuns, jobs_of
from slurm_cluster import Cluster, NoSlurmError, running

LOG = f"results/tiny/logs/{LONE}/pretrain.log"
PATIENCE = 150


@pytest.fixture(scope="module")
def slurm() -> Iterator[Cluster]:
    # Sockets lie below it, so the folder is short, not one of pytest's.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        with running(folder) as cluster:
            yield cluster
    except NoSlurmError as error:
        pytest.skip(str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: it did not come to that"
        time.sleep(0.05)


def site(checkout: Checkout) -> None:
    """Set up the profile for this cluster: its partition, in the place that the profile names."""
    path = checkout.folder / "workflow/profiles/slurm/profile.yaml"
    profile = yaml.safe_load(path.read_text("utf-8"))
    profile["default-resources"]["slurm_partition"] = "low"
    profile["slurm-init-seconds-before-status-checks"] = 1
    profile["latency-wait"] = 5
    path.write_text(yaml.safe_dump(profile), "utf-8")


def in_training(checkout: Checkout, attempt: int) -> bool:
    """Whether the given attempt at pretraining has done some steps that it has not resumed."""
    path = checkout.folder / LOG
    if not path.exists():
        return False
    text = path.read_text(encoding="utf-8")
    return ("resumed at" in text) == (attempt > 1) and text.count("images/s") >= 3


def pretrainings(slurm: Cluster, *states: str) -> list[str]:
    return [job for job, _, state, what in slurm.jobs() if "pretrain" in what and state in states]


@pytest.mark.slurm
def test_study_through_slurm_survives_a_cancel_and_a_preemption_with_the_same_bytes(
    slurm: Cluster, lone: Checkout, lone_results: dict[str, bytes], tmp_path: Path
) -> None:
    checkout = lone.copy(tmp_path / "checkout")
    shutil.rmtree(checkout.folder / "results/data")
    site(checkout)
    command = checkout.command(
        "--workflow-profile", "slurm", checkout.records(), "results/tiny/study.json"
    )
    # A hung Snakemake only says that it waits when it gets SIGTERM.
    limited = ["timeout", "-s", "INT", "-k", "60", "280", *command]
    process = checkout.start(limited, environment=_environment(checkout, slurm))
    try:
        until(lambda: in_training(checkout, 1), "first attempt")
        (first,) = pretrainings(slurm, "RUNNING")
        slurm.run("scancel", first)
        until(lambda: in_training(checkout, 2), "second attempt")
        (second,) = pretrainings(slurm, "RUNNING")
        blocking = slurm.run(
            "sbatch", "--parsable", "-p", "main", "-N", "2", "--gpus-per-node=2", "--exclusive",
            "--output=/dev/null", "--wrap=sleep 1",
        ).strip()  # fmt: skip
        said, _ = process.communicate(timeout=PATIENCE)
    except BaseException:
        process.send_signal(signal.SIGINT)
        raise
    assert process.returncode == 0, said
    jobs = {job: (partition, state, what) for job, partition, state, what in slurm.jobs()}
    assert jobs[first][1] == "CANCELLED"
    assert jobs[second][1] != "RUNNING"
    assert jobs[blocking][1] == "COMPLETED"
    completed = [what for _, state, what in jobs.values() if state == "COMPLETED"]
    for rule in ("prepare", "pretrain", "evaluate"):
        assert sum(rule in what for what in completed) == 1, jobs
    log = (slurm.folder / "log/jobcomp.log").read_text()
    assert f"JobId={first} " in log
    assert "resumed at epoch" in (checkout.folder / LOG).read_text(encoding="utf-8")
    assert checkout.results() == lone_results


@pytest.mark.slurm
def test_small_runs_share_one_gpu_of_one_job(
    slurm: Cluster, finished: Checkout, tmp_path: Path, dry: DryRuns
) -> None:
    checkout = finished.copy(tmp_path / "checkout")
    checkout.forget_runs()
    site(checkout)
    before = {job for job, *_ in slurm.jobs()}
    command = checkout.command("--workflow-profile", "slurm", "filled", "--config", "at_once=2")
    limited = ["timeout", "-s", "INT", "-k", "60", "280", *command]
    code, said = checkout.run(*limited, environment=_environment(checkout, slurm))
    assert code == 0, said
    (job,) = (job for job, *_ in slurm.jobs() if job not in before)
    asked = slurm.run("scontrol", "show", "job", job)
    assert re.search(r"\bNumNodes=1\b", asked), asked
    assert re.search(r"gres[:/]gpu[:=]1\b", asked), asked
    log = (checkout.folder / "results/tiny/logs/fill.log").read_text(encoding="utf-8")
    assert "2 runs to train, 2 at once on" in log
    assert "2 of 2 runs have records" in log
    # Both trained at once, and each as it does alone.
    begun = [line for line in log.splitlines() if "begins at" in line or "epoch 20/20" in line]
    assert ["begins at" in line for line in begun] == [True, True, False, False]
    planned = jobs_of(dry(checkout, "--workflow-profile", "slurm", checkout.records()))
    assert planned == {"collect"}
    whole = finished.results()
    found = checkout.results()
    assert {k: v for k, v in whole.items() if k.startswith("runs/")} == found


def _environment(checkout: Checkout, slurm: Cluster) -> dict[str, str]:
    path = f"{slurm.folder / 'bin'}:{checkout.environment['PATH']}"
    return {**slurm.environment, "PATH": path}


def resources(said: str) -> dict[str, dict[str, str]]:
    """What each rule asks for, by a dry run."""
    stated = re.findall(
        r"^(?:local)?rule (\w+):.*?^    resources: ([^\n]*)$", said, re.MULTILINE | re.DOTALL
    )
    return {rule: dict(pair.split("=", 1) for pair in asked.split(", ")) for rule, asked in stated}


def test_training_asks_for_a_gpu_and_time_and_evaluation_for_cpus_only(
    finished: Checkout, tmp_path: Path, dry: DryRuns
) -> None:
    checkout = finished.copy(tmp_path / "checkout")
    checkout.forget_runs()
    asked = resources(dry(checkout, "--workflow-profile", "slurm", checkout.records()))
    assert asked["pretrain"]["gpu"] == "1"
    assert int(asked["pretrain"]["runtime"]) >= 30
    assert int(asked["pretrain"]["mem_mb"]) >= 4000
    assert asked["pretrain"]["slurm_extra"] == "--signal=TERM@60"
    assert "gpu" not in asked["evaluate"]
    assert int(asked["evaluate"]["runtime"]) > 0


def test_profile_trains_a_run_on_several_gpus_of_one_machine_where_it_says_so(
    finished: Checkout, tmp_path: Path, dry: DryRuns
) -> None:
    checkout = finished.copy(tmp_path / "checkout")
    checkout.forget_runs()
    profile = checkout.folder / "workflow/profiles/slurm/profile.yaml"
    text = profile.read_text(encoding="utf-8")
    profile.write_text(text.replace("# gpu: 4", "gpu: 4"), encoding="utf-8")
    said = dry(checkout, "--workflow-profile", "slurm", checkout.records())
    asked = resources(said)["pretrain"]
    assert (asked["gpu"], asked["nodes"]) == ("4", "1")
    assert asked["slurm_extra"] == "--signal=TERM@60"
    assert said.count("tausweep pretrain") == said.count(" --processes 4 ") > 0


def test_a_job_of_several_runs_asks_for_one_gpu_of_one_machine(
    finished: Checkout, tmp_path: Path, dry: DryRuns
) -> None:
    checkout = finished.copy(tmp_path / "checkout")
    checkout.forget_runs()
    arguments = ("--workflow-profile", "slurm", "filled")
    said = dry(checkout, *arguments, "--config", "at_once=4")
    assert jobs_of(said) == {"filled"}
    asked = resources(said)["filled"]
    assert (asked["gpu"], asked["nodes"]) == ("1", "1")
    assert asked["slurm_extra"] == "--signal=TERM@60"
    seconds = 60 * int(asked["runtime"]) - 600
    assert f"tausweep fill study.yaml --at-once 4 --partial --seconds {seconds} " in said
    for value in ("0", "1.5", "many"):
        said = dry(checkout, *arguments, "--config", f"at_once={value}", code=2)
        assert f"--config at_once: {value} is not allowed" in said
    said = dry(checkout, checkout.records(), "--config", "at_once=4", code=2)
    assert "write `snakemake filled ...`" in said


def test_retries_stand_in_the_profile_and_in_no_rule() -> None:
    # A rule's own `retries` are multiplied by the nested Snakemakes of its job.
    profile = yaml.safe_load(
        (REPOSITORY / "workflow/profiles/slurm/profile.yaml").read_text("utf-8")
    )
    assert profile["retries"] >= 1
    assert profile["slurm-status-command"] == "squeue"
    assert "slurm-array-jobs" not in profile


def test_profiles_agree_on_what_is_run_again() -> None:
    read = [
        yaml.safe_load((REPOSITORY / f"workflow/profiles/{name}/profile.yaml").read_text("utf-8"))
        for name in ("default", "slurm")
    ]
    for key in ("rerun-triggers", "rerun-incomplete", "keep-going", "scheduler"):
        assert read[0][key] == read[1][key]
