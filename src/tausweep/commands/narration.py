"""What `tausweep run` prints while Snakemake runs a study, from the records of Snakemake's log.

It prints a line for each finished run, the last lines of the log of each failed job, and at the end
what was made and how to continue. Snakemake's logger plug-in ``tausweep`` passes the records on.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from snakemake_interface_logger_plugins.common import LogEvent

from tausweep.commands import job_log, planned_work
from tausweep.commands.cost import hours
from tausweep.commands.planned_work import PlannedJobs, PlannedStudy
from tausweep.commands.progress_display import ProgressDisplay, summary
from tausweep.commands.study_progress import Job, StudyProgress
from tausweep.storage import shipped, workflow_lock
from tausweep.storage.layout import File, Layout
from tausweep.study import StudyError

LAST_LINES = 8
"""Number of lines that are shown of a failed job's log."""

MEASURED_WIDTH = len("linear 61.5%  kNN 58.2%")

LOGS = Path(".snakemake/log")
"""Where Snakemake writes its own log, in full."""

_ENDED = re.compile(r"non-zero exit status (\d+)|died with <Signals\.(\w+)")

REPEATED = (
    "Exiting because a job execution failed. Look above for error messages",
    "At least one job did not complete successfully.",
)
"""What Snakemake repeats at the end if a job failed; it was already reported."""


class Narration:
    """Prints how a study is going.

    Args:
        stream: Where to print.
        again: The command that continues the study.
        supervised: Whether that command started Snakemake. It then says itself how to continue
            after a stop.
        clock: Gives the time in seconds.

    Attributes:
        stopping: Whether the user asked to stop; set from outside.
    """

    def __init__(
        self,
        stream: TextIO,
        again: str,
        *,
        supervised: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.stopping = False
        self._clock, self._again, self._supervised = clock, again, supervised
        self._progress = StudyProgress(clock)
        self._display = ProgressDisplay(stream, self._progress.now)
        self._study: PlannedStudy | None = None
        self._log = str(LOGS)
        self._began = clock()
        self._ended = False
        # Messages before a workflow starts. Commands such as --unlock start none.
        self._before: list[str] | None = []
        # Errors of jobs, which may be tried again, and of the workflow.
        self._failures = self._errors = 0
        self._causes: list[str] = []

    def take(self, record: logging.LogRecord) -> None:
        """Handle one record of Snakemake's log. Not to be called by two threads at once."""
        if self.stopping and not self._display.stopping:
            self._display.stopping = True
            self._say("stopping: trainings save their state; Ctrl-C again ends them at once")
        if (study := getattr(record, planned_work.STUDY_RECORD, None)) is not None:
            self._study = study
            self._display.start()
        elif (jobs := getattr(record, planned_work.JOBS_RECORD, None)) is not None:
            self._plan(jobs)
        else:
            self._event(record)

    def _event(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        found = record.__dict__
        if event == LogEvent.WORKFLOW_STARTED:
            self._before = None
        elif event == LogEvent.JOB_INFO:
            log = Path(found["log"][0]) if found["log"] else None
            self._progress.start(found["jobid"], found["rule_name"], log, record.created)
        elif event == LogEvent.JOB_FINISHED:
            self._finished(self._progress.end(found["job_id"], record.created))
        elif event == LogEvent.JOB_ERROR:
            self._failed(found, record.created)
        elif event == LogEvent.GROUP_ERROR:
            for one in found["job_error_info"]:
                self._failed(one, record.created)
        elif event == LogEvent.ERROR:
            self._error(record.getMessage(), str(found.get("exception")))
        elif event is None and record.levelno >= logging.WARNING:
            self._warn(record)
        elif event is None and self._before is not None:
            self._before.append(record.getMessage())

    def _say(self, line: str, style: str = "") -> None:
        self._display.say(line, style)

    def _plan(self, planned: PlannedJobs) -> None:
        if planned.log:
            log = Path(planned.log)
            self._log = str(log.relative_to(Path.cwd()) if log.is_relative_to(Path.cwd()) else log)
        self._progress.plan(planned.jobs)
        runs = self._progress.runs()
        there = sum(runs.values())
        said = f"{len(runs)} runs" if len(runs) != 1 else "1 run"
        if there:
            said += f", {there} of them finished before"
        self._say(f"study {self._study.name}: {said}" if self._study else said, "bold")

    def _finished(self, job: Job | None) -> None:
        if job is None or not job.planned.run:
            return
        of_run = self._progress.of_run(job.planned.run)
        if any(one.state != "finished" for one in of_run):
            return
        took = sum(one.seconds for one in of_run)
        width = max(len(run) for run in self._progress.runs())
        records = [one.planned.record for one in of_run if one.planned.record is not None]
        what = _measured(records[0]) if records else "trained"
        line = f"  {job.planned.run:{width}}  {what:{MEASURED_WIDTH}} {hours(took):>6}"
        if not self._display.moves:
            line += f"  ({summary(self._progress.now()).strip()})"
        self._say(line)

    def _failed(self, found: dict[str, Any], at: float) -> None:
        job = self._progress.end(found["jobid"], at, failed=True)
        logs = [Path(path) for path in found["log"]]
        said = "\n".join(job_log.read(path) for path in logs)
        command = _unquoted(str(found["shellcmd"] or "\0"))
        causes = [cause for cause in self._causes if command in _unquoted(cause)]
        for cause in causes:
            self._causes.remove(cause)
        if self.stopping or job_log.stopped(said):
            return
        self._failures += 1
        name = job.name if job is not None else str(found["rule_name"])
        after = f" after {hours(job.seconds)}" if job is not None else ""
        self._say(f"  failed: {name}{_how(causes)}{after}", "red")
        lines = job_log.last_lines(said, LAST_LINES)
        # If the job's log is silent, Snakemake has the reason, for instance that a file is missing.
        for line in lines or [
            one for cause in causes or self._causes for one in cause.splitlines()
        ]:
            self._say(f"    | {line}")
        for path in logs:
            self._say(f"    log:  {path}")
        self._say(f"    then: {self._again}")

    def _error(self, said: str, kind: str) -> None:
        """Handle an exception of Snakemake; that of a job is reported with the job."""
        if any(repeated in said for repeated in REPEATED) and (self._failures or self.stopping):
            return
        if kind in ("RuleException", "CalledProcessError") or self.stopping:
            self._causes.append(said)
            return
        self._errors += 1
        if kind == "LockException":
            said, self._log = self._locked(), ""
        self._say(f"tausweep: error: {said}", "red")

    def _locked(self) -> str:
        name, file = (self._study.name, self._study.file) if self._study else ("", "STUDY")
        if live := workflow_lock.holders(name):
            held = live[0]
            return (
                f"process {held['pid']} on {held['host']} already runs the study {name} in this "
                "folder; wait for its end, or stop it by Ctrl-C where it was started"
            )
        return (
            f"the results of the study {name} are locked, and nothing tells by whom; if no "
            f"Snakemake runs in this folder on any machine: tausweep run {file} -- --unlock"
        )

    def _warn(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        if any(repeated in said for repeated in REPEATED) and (self._failures or self.stopping):
            return
        if record.levelno >= logging.ERROR:
            self._errors += 1
        self._say(said, "red" if record.levelno >= logging.ERROR else "yellow")

    def end(self) -> None:
        """Print what was made and how to continue; a second call prints nothing."""
        if not self._ended:
            self._ended = True
            self._display.stop()
            self._summary()

    def _summary(self) -> None:
        for said in self._before or []:
            self._say(said)
        # Errors that belong to no failed job: what Snakemake does beside the jobs went wrong.
        for cause in [] if self.stopping else self._causes:
            self._errors += 1
            self._say(cause, "red")
        runs = self._progress.runs()
        finished = f"{sum(runs.values())} of {len(runs)} runs are finished"
        if self.stopping:
            self._stopped(finished)
        elif failed := self._progress.in_state("failed"):
            self._say("")
            self._say(f"{finished}; {len(failed)} {'job' if len(failed) == 1 else 'jobs'} failed:")
            for job in failed:
                self._say(f"  {job.log or job.name}")
            self._say(f"Snakemake's own log: {self._log}")
            self._say(f"to run what is missing, once that is fixed: {self._again}")
            if self._study is not None:
                self._say(f"results so far: tausweep partial {self._study.file}")
        elif self._errors:
            if self._log:
                self._say(f"Snakemake's own log: {self._log}")
        elif self._study is not None and self._before is None:
            self._complete(self._study)

    def _stopped(self, finished: str) -> None:
        progress = self._progress
        self._say("")
        self._say(f"stopped; {finished}, and kept" if progress.jobs else "stopped")
        for job in (*progress.in_state("failed"), *progress.in_state("running")):
            if self._study is not None and job.planned.run:
                self._say(f"  {job.name}  {_saved(job)}")
        if not self._supervised:
            self._say(f"to continue: {self._again}")

    def _complete(self, study: PlannedStudy) -> None:
        if self._progress.jobs:
            self._say(f"done in {hours(self._clock() - self._began)}")
        else:
            self._say("nothing to do: everything requested exists")
        waiting = [job for job in self._progress.jobs.values() if job.state != "finished"]
        if study.whole and not waiting:
            self._say("")
            self._display.say_page(_headline(study))


def _unquoted(text: str) -> str:
    """A text without the quotes and backslashes that an exception puts around a command."""
    return re.sub(r"[\\'\"]", "", text)


def _how(causes: list[str]) -> str:
    """How a job's process ended."""
    for cause in causes:
        if (found := _ENDED.search(cause)) is not None:
            return f", exit code {found[1]}" if found[1] else f", ended by {found[2]}"
    return ""


def _saved(job: Job) -> str:
    """How the next job will continue a stopped one, in words."""
    saved = job_log.saved(job_log.read(job.log)) if job.log is not None else ""
    folder = job.planned.trained_in
    if not saved and job.planned.training and folder is not None:
        if (folder / File.STORED).exists():
            return "is trained"  # and was stopped while it was measured
        if (folder / File.CHECKPOINT).exists():
            return "continues from its last checkpoint"
    return saved or "starts again"


def _measured(record: Path) -> str:
    """A run's accuracies, or that it diverged."""
    try:
        columns = json.loads(record.read_text(encoding="utf-8"))["columns"]
        if columns["status"] != "complete":
            return str(columns["status"])
        return f"linear {columns['linear_accuracy']:4.1f}%  kNN {columns['knn_accuracy']:4.1f}%"
    except (OSError, ValueError, KeyError, TypeError):
        return f"{record} cannot be read"


def _headline(study: PlannedStudy) -> str:
    from tausweep import study as studies
    from tausweep.report import headline

    try:
        return headline.describe(studies.load(shipped.study_file(study.file)), study.file, Layout())
    except StudyError as error:
        return f"tausweep: error: {error}"
