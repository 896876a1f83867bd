"""How far a study is, measured by the work of its jobs, and how long the rest will take."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tausweep.commands import job_log
from tausweep.commands.planned_work import PlannedJob

NEARLY = 0.95
"""Largest share of a running job that counts as done, if only its running time is known."""


@dataclass
class Job:
    """A job and its current state.

    Attributes:
        planned: The job as planned.
        log: Its log.
        state: ``waiting``, ``running``, ``finished`` or ``failed``.
        began: When it began, in seconds.
        seconds: How long it took, once it has ended.
        before: Work that an earlier job had already done.
    """

    planned: PlannedJob
    log: Path | None = None
    state: str = "waiting"
    began: float = 0.0
    seconds: float = 0.0
    before: float = 0.0

    @property
    def name(self) -> str:
        """Its rule and its run."""
        return f"{self.planned.rule} {self.planned.run}".rstrip()

    def training(self) -> job_log.Training | None:
        """How far its training is, according to its log; none if it trains nothing, or not yet."""
        if not self.planned.training or self.log is None:
            return None
        return job_log.training(job_log.read(self.log))

    def resumed(self, training: job_log.Training | None) -> float:
        """Work of its training that an earlier job had already done."""
        if training is None:
            return 0.0
        return self.planned.training * training.resumed / training.epochs


@dataclass(frozen=True)
class Running:
    """A running job as it is shown.

    Attributes:
        rule: Its rule.
        run: The run that it belongs to; empty for a job of the whole study.
        training: How far its training is, if it has begun one.
    """

    rule: str
    run: str
    training: job_log.Training | None


@dataclass(frozen=True)
class Snapshot:
    """How far a study is at one moment.

    Attributes:
        share: Share of the work that is done, from 0 to 1; it never falls.
        seconds_left: Time until everything is done that can still be done; none as long as nothing
            shows how fast jobs are.
        runs: Number of runs.
        finished: Number of finished runs.
        running: Running jobs, the oldest first.
    """

    share: float
    seconds_left: float | None
    runs: int
    finished: int
    running: tuple[Running, ...]


class StudyProgress:
    """The jobs of a workflow, updated as they begin and end; another thread may call ``now``.

    Args:
        clock: Gives the time in seconds, on the clock of the files' modification times.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.jobs: dict[int, Job] = {}
        self._at_once = 1
        self._shown = 0.0

    def plan(self, jobs: Iterable[PlannedJob]) -> None:
        """Take all jobs of the graph; those that need not run count as finished."""
        self.jobs = {
            job.id: Job(job, state="waiting" if job.needed else "finished") for job in jobs
        }

    def start(self, id: int, rule: str, log: Path | None, at: float) -> Job:
        """Note that a job begins, for the first time or again; unplanned jobs count too."""
        job = self.jobs.setdefault(id, Job(PlannedJob(id, rule)))
        job.log, job.state, job.began = log, "running", at
        self._at_once = max(self._at_once, len(self.in_state("running")))
        return job

    def end(self, id: int, at: float, *, failed: bool = False) -> Job | None:
        """Note that a job ended or failed, and return it; none if it is not known."""
        if (job := self.jobs.get(id)) is not None:
            job.before = job.resumed(job.training())
            job.seconds = at - job.began
            job.state = "failed" if failed else "finished"
        return job

    def in_state(self, state: str) -> list[Job]:
        """Jobs that are in a state now; a failed job that was started again is not failed."""
        return [job for job in self.jobs.values() if job.state == state]

    def of_run(self, run: str) -> list[Job]:
        """The jobs of a run."""
        return [job for job in self.jobs.values() if job.planned.run == run]

    def runs(self) -> dict[str, bool]:
        """Every run, and whether all of its jobs are finished."""
        return _runs(self.jobs.values())

    def now(self) -> Snapshot:
        """How far the study is."""
        # Copies, because jobs may begin and end meanwhile.
        jobs = [copy.copy(job) for job in list(self.jobs.values())]
        moment = _Moment(jobs, self._clock(), self._at_once)
        self._shown = max(self._shown, moment.share())
        runs = _runs(jobs)
        running = tuple(
            Running(job.planned.rule, job.planned.run, moment.trainings[job.planned.id])
            for job in moment.running
        )
        return Snapshot(self._shown, moment.seconds_left(), len(runs), sum(runs.values()), running)


def _runs(jobs: Iterable[Job]) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for job in jobs:
        if run := job.planned.run:
            found[run] = found.get(run, True) and job.state == "finished"
    return found


class _Moment:
    """The jobs at one moment, and the time that the rest will take.

    Speed is estimated for each rule, from jobs that have ended and from the epochs of running
    trainings.
    """

    def __init__(self, jobs: list[Job], now: float, at_once: int) -> None:
        self.jobs, self.time, self._at_once = jobs, now, at_once
        self.running = sorted((j for j in jobs if j.state == "running"), key=lambda j: j.began)
        self.trainings = {job.planned.id: job.training() for job in self.running}
        self._seconds: dict[str, float] = defaultdict(float)
        self._work: dict[str, float] = defaultdict(float)
        for job in jobs:
            self._learn(job)
        self._done = {job.planned.id: self._done_of(job) for job in self.running}

    def _trained(self, job: Job, training: job_log.Training) -> float:
        """Share of its training that a running job has done."""
        return training.share(self.time - _time(job.log, job.began))

    def _learn(self, job: Job) -> None:
        seconds = job.seconds if job.state == "finished" else 0.0
        training = self.trainings.get(job.planned.id)
        if training is not None:
            job.before = job.resumed(training)
            if training.epoch_seconds:
                # Its total time at the speed of its epochs so far.
                left = (1 - self._trained(job, training)) * training.epochs
                seconds = self.time - job.began + left * training.epoch_seconds
        if seconds > 0:
            self._seconds[job.planned.rule] += seconds
            self._work[job.planned.rule] += job.planned.work - job.before

    def _pace(self, rule: str) -> float | None:
        """Seconds per unit of work of a rule; the mean of all rules if its own is unknown."""
        if self._work[rule]:
            return self._seconds[rule] / self._work[rule]
        whole = sum(self._work.values())
        return sum(self._seconds.values()) / whole if whole else None

    def _done_of(self, job: Job) -> float:
        """Work of a running job that is done, according to its log or else its running time."""
        planned, training = job.planned, self.trainings[job.planned.id]
        if training is not None:
            return planned.training * self._trained(job, training)
        pace = self._pace(planned.rule)
        if planned.training or not pace or not planned.work:
            return 0.0
        return planned.work * min(NEARLY, (self.time - job.began) / (planned.work * pace))

    def share(self) -> float:
        """Share of the work that is done."""
        whole = sum(job.planned.work for job in self.jobs)
        finished = sum(job.planned.work for job in self.jobs if job.state == "finished")
        return min(1.0, (finished + sum(self._done.values())) / whole) if whole else 0.0

    def seconds_left(self) -> float | None:
        """Time until everything is done that can still be, with as many jobs at once as so far."""
        lost = {job.planned.run for job in self.jobs if job.state == "failed"}
        left = []
        for job in self.jobs:
            run = job.planned.run
            # Whatever depends on a failed job will not run: the rest of its run, and of the study.
            hopeless = bool(lost) and (run in lost or not run)
            if job.state == "running" or (job.state == "waiting" and not hopeless):
                pace = self._pace(job.planned.rule)
                # The time to start a process says nothing about a training.
                if pace is None or (job.planned.training and not self._work[job.planned.rule]):
                    return None
                left.append((job.planned.work - self._done.get(job.planned.id, 0.0)) * pace)
        # The longest job sets the least time, however many run beside it.
        return max(sum(left) / min(self._at_once, len(left)), *left) if left else 0.0


def _time(path: Path | None, otherwise: float) -> float:
    try:
        return path.stat().st_mtime if path is not None else otherwise
    except OSError:
        return otherwise
