"""What is said of a study that runs, from the records that Snakemake writes."""

from __future__ import annotations

import io
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from tausweep.commands import planned_work
from tausweep.commands.narration import Narration
from tausweep.commands.planned_work import PlannedJob, PlannedJobs, PlannedStudy
from tausweep.results import records
from tausweep.storage.layout import Layout
from tiny_run import study, study_file

RUN = "digits/simple/none/seed0"
AGAIN = "tausweep run study.yaml"
COMMAND = f"exec tausweep pretrain study.yaml --run {RUN}"


class Told:
    """A narration and what it has said; its clock is that of the records."""

    def __init__(self, whole: bool = False) -> None:
        self.stream, self.time = io.StringIO(), 1000.0
        self.narration = Narration(self.stream, AGAIN, clock=lambda: self.time)
        at_hand: dict[str, Any] = {
            planned_work.STUDY_RECORD: PlannedStudy("tiny", "study.yaml", whole)
        }
        self.record(**at_hand)

    def record(
        self, event: LogEvent | None = None, said: str = "", level: int = logging.INFO, **more: Any
    ) -> None:
        found = logging.LogRecord("snakemake.logging", level, "", 0, said, None, None)
        found.__dict__.update(more, created=self.time)
        if event is not None:
            found.__dict__["event"] = event
        self.narration.take(found)

    def begun(self, *jobs: PlannedJob) -> None:
        self.record(LogEvent.WORKFLOW_STARTED)
        log = ".snakemake/log/of-today.log"
        planned: dict[str, Any] = {planned_work.JOBS_RECORD: PlannedJobs(jobs, log)}
        self.record(**planned)

    def start(self, id: int, rule: str, log: Path) -> None:
        self.record(LogEvent.JOB_INFO, jobid=id, rule_name=rule, log=[str(log)])

    def finish(self, id: int) -> None:
        self.record(LogEvent.JOB_FINISHED, job_id=id)

    def fail(self, id: int, log: Path, status: str = "returned non-zero exit status 1.") -> None:
        """The exception of the command, and then the failure of its job, as Snakemake has them."""
        said = f"CalledProcessError in file pretrain.smk:\nCommand 'set -e; {COMMAND}' {status}"
        self.record(LogEvent.ERROR, said, logging.ERROR, exception="RuleException")
        self.record(
            LogEvent.JOB_ERROR, level=logging.ERROR, jobid=id, rule_name="pretrain",
            log=[str(log)], shellcmd=COMMAND,
        )  # fmt: skip

    def end(self) -> str:
        self.narration.end()
        return self.said

    @property
    def said(self) -> str:
        return self.stream.getvalue()


@pytest.fixture
def told() -> Told:
    return Told()


def jobs(record: Path) -> tuple[PlannedJob, ...]:
    """A run's training and evaluation, and what is made of the records."""
    return (
        PlannedJob(1, "pretrain", RUN, training=80, work=100),
        PlannedJob(2, "evaluate", RUN, work=20, record=record),
        PlannedJob(3, "report", work=10),
    )


def record_of(folder: Path, **columns: Any) -> Path:
    path = folder / "record.json"
    path.write_text(json.dumps({"columns": columns}), encoding="utf-8")
    return path


def test_a_finished_run_is_one_line_with_its_accuracies_and_time(
    told: Told, tmp_path: Path
) -> None:
    path = record_of(tmp_path, status="complete", linear_accuracy=61.5, knn_accuracy=58.25)
    told.begun(*jobs(path))
    told.start(1, "pretrain", tmp_path / "pretrain.log")
    told.time += 12
    told.finish(1)
    assert told.said == "study tiny: 1 run\n"
    told.start(2, "evaluate", tmp_path / "evaluate.log")
    told.time += 3
    told.finish(2)
    (line,) = told.said.splitlines()[1:]
    assert line == f"  {RUN}  linear 61.5%  kNN 58.2%   15 s  (92%, 1 of 1 runs)"


def test_a_run_that_diverged_says_so(told: Told, tmp_path: Path) -> None:
    told.begun(PlannedJob(2, "evaluate", RUN, record=record_of(tmp_path, status="diverged")))
    told.start(2, "evaluate", tmp_path / "evaluate.log")
    told.finish(2)
    assert f"{RUN}  diverged" in told.said


def test_runs_that_were_there_are_counted(told: Told, tmp_path: Path) -> None:
    told.begun(PlannedJob(1, "pretrain", RUN, needed=False), PlannedJob(2, "pretrain", "another"))
    assert told.said == "study tiny: 2 runs, 1 of them finished before\n"


def test_a_failure_has_its_last_lines_its_log_and_the_next_command(
    told: Told, tmp_path: Path
) -> None:
    log = tmp_path / "pretrain.log"
    log.write_text("".join(f"line {i}\n" for i in range(20)) + "tausweep: error: no room\n")
    told.begun(*jobs(tmp_path / "record.json"))
    told.start(1, "pretrain", log)
    told.time += 5
    told.fail(1, log)
    lines = told.said.splitlines()[1:]
    assert lines[0] == f"  failed: pretrain {RUN}, exit code 1 after 5 s"
    assert lines[1] == "    | line 13"
    assert lines[-3:] == [
        "    | tausweep: error: no room",
        f"    log:  {log}",
        f"    then: {AGAIN}",
    ]
    told.record(
        LogEvent.ERROR, "WorkflowError:\nAt least one job did not complete successfully.",
        logging.ERROR, exception="WorkflowError",
    )  # fmt: skip
    said = told.end()
    assert "0 of 1 runs are finished; 1 job failed:" in said
    assert ".snakemake/log/of-today.log" in said
    assert "tausweep partial study.yaml" in said
    assert "At least one job" not in said
    assert "CalledProcessError" not in said


def test_a_job_that_was_killed_and_said_nothing_is_told_by_its_signal(
    told: Told, tmp_path: Path
) -> None:
    log = tmp_path / "pretrain.log"
    told.begun(*jobs(tmp_path / "record.json"))
    told.start(1, "pretrain", log)
    told.fail(1, log, "died with <Signals.SIGKILL: 9>.")
    assert f"failed: pretrain {RUN}, ended by SIGKILL" in told.said
    assert "    | Command 'set -e;" in told.said


def test_a_job_that_was_started_again_and_ended_well_did_not_fail(
    told: Told, tmp_path: Path
) -> None:
    log = tmp_path / "pretrain.log"
    told.begun(PlannedJob(1, "pretrain", RUN, training=80, work=100))
    told.start(1, "pretrain", log)
    told.fail(1, log)
    told.start(1, "pretrain", log)
    told.finish(1)
    said = told.end()
    assert f"  {RUN}  trained" in said
    assert "1 job failed" not in said
    assert "done in" in said


def test_ctrl_c_says_what_is_saved_and_how_to_go_on(told: Told, tmp_path: Path) -> None:
    log = tmp_path / "pretrain.log"
    told.begun(*jobs(tmp_path / "record.json"))
    told.start(1, "pretrain", log)
    log.write_text("tausweep: error: stopped and saved at epoch 3, step 2; start the same ...\n")
    told.narration.stopping = True
    told.record(said="Terminating processes on user request, this might take some time.")
    told.fail(1, log)
    said = told.end()
    assert "stopping: trainings save their state" in said
    assert "failed" not in said
    assert "stopped; 0 of 1 runs are finished, and kept\n" in said
    assert f"  pretrain {RUN}  saved at epoch 3, step 2\n" in said
    assert said.endswith(f"to continue: {AGAIN}\n")


@pytest.mark.parametrize(
    ("checkpoint", "says"), [(True, "continues from its last checkpoint"), (False, "starts again")]
)
def test_a_run_that_was_stopped_while_it_was_measured_goes_on_where_it_can(
    checkpoint: bool, says: str, told: Told, tmp_path: Path
) -> None:
    if checkpoint:
        (tmp_path / "checkpoint.safetensors").touch()
    log = tmp_path / "pretrain.log"
    training, *others = jobs(tmp_path / "record.json")
    told.begun(replace(training, trained_in=tmp_path), *others)
    told.start(1, "pretrain", log)
    log.write_text(f"{RUN}: 130 images, 3 epochs\nepoch 3/3  loss 1.0  900 images/s\nknn\n")
    told.narration.stopping = True
    told.fail(1, log, "died with <Signals.SIGINT: 2>.")
    assert f"  pretrain {RUN}  {says}\n" in told.end()


def test_a_training_that_a_cluster_stopped_is_no_failure_to_tell(
    told: Told, tmp_path: Path
) -> None:
    log = tmp_path / "pretrain.log"
    log.write_text("tausweep: error: stopped and saved after epoch 3; start the same command\n")
    told.begun(*jobs(tmp_path / "record.json"))
    told.start(1, "pretrain", log)
    told.fail(1, log)
    assert "failed" not in told.said


def test_errors_of_the_workflow_are_told_as_they_are(told: Told) -> None:
    told.record(LogEvent.WORKFLOW_STARTED)
    told.record(LogEvent.ERROR, "MissingInputException: x", logging.ERROR, exception="Missing")
    said = told.end()
    assert "tausweep: error: MissingInputException: x" in said
    assert "nothing to do" not in said


def test_a_live_workflow_is_named_where_it_holds_the_lock(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told.record(LogEvent.WORKFLOW_STARTED)
    locked = "LockException:\nError: Directory cannot be locked."
    told.record(LogEvent.ERROR, locked, logging.ERROR, exception="LockException")
    assert "tausweep run study.yaml -- --unlock" in told.said
    monkeypatch.setattr(
        "tausweep.storage.workflow_lock.holders", lambda study: [{"pid": 7, "host": "node3"}]
    )
    told.record(LogEvent.ERROR, locked, logging.ERROR, exception="LockException")
    assert "process 7 on node3 already runs the study tiny in this folder" in told.said


def test_messages_are_silent_but_for_warnings(told: Told) -> None:
    told.begun()
    told.record(said="Select jobs to execute...")
    told.record(said="Something odd", level=logging.WARNING)
    assert told.said.splitlines()[1:] == ["Something odd"]


def test_a_command_that_starts_no_workflow_has_its_answer(told: Told) -> None:
    told.record(said="Unlocked working directory.")
    assert told.end() == "Unlocked working directory.\n"


def test_nothing_to_do_is_said_and_all_is_said_once(told: Told) -> None:
    told.record(LogEvent.WORKFLOW_STARTED)
    told.record(said="Nothing to be done (all requested files are present and up to date).")
    assert told.end() == "nothing to do: everything requested exists\n"
    assert told.end().count("nothing to do") == 1


def test_a_whole_study_ends_with_its_headline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (run,) = study().runs()
    folder = Layout().study("tiny")
    folder.mkdir(parents=True)
    row = {
        "study": "tiny", "dataset": run.dataset, "loss": run.loss, "temperature": run.temperature,
        "seed": 0, "status": "complete", "linear_accuracy": 61.5, "device": "cpu", "threads": 1,
        "settings_digest": run.settings.digest, "data_digest": "d", "code_version": "c-e",
    }  # fmt: skip
    (folder / "records.csv").write_text(records.table([row]))
    (folder / "claims.json").write_text("[]")
    study_file(tmp_path)
    told = Told(whole=True)
    told.begun(PlannedJob(1, "collect"), PlannedJob(2, "all", work=0))
    for id in (1, 2):
        told.start(id, "collect", tmp_path / "collect.log")
        told.finish(id)
    said = told.end()
    assert "done in 0 s\n\nstudy tiny, 1 seed\n" in said
    assert "61.5" in said
    assert "report    results/tiny/report.html" in said
