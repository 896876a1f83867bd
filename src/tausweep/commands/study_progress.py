"""How far a study is, by the work of its jobs, and how long the rest takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tausweep.commands import job_log
from tausweep.commands.planned_work import PlannedJob

NEARLY = 0.95
"""Share of a running job that counts as done at most, where only its time tells."""


@dataclass
class Job:
    """A job as it is under way.

    Attributes:
        planned: What it is.
        log: Its log.
        state: ``waiting``, ``running``, ``finished`` or ``failed``.
        began: When, in seconds.
        seconds: What it took, once it has ended.
        before: Work that an earlier job had done of it.
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


@dataclass(frozen=True)
class Running:
    """A running job, for the eye.

    Attributes:
        name: Its rule and its run.
        training: How far its training is, if it has begun one.
    """

    name: str
    training: job_log.Training | None


@dataclass(frozen=True)
class Snapshot:
    """How far a study is at a moment.

    Attributes:
        share: Of the work, what is done, from 0 to 1; it never falls.
        seconds_left: Until all is done that still can be; none before anything tells how fast it
            goes.
        runs: How many there are.
        finished: How many of them are finished.
        running: Jobs that run, the first to begin first.
    """

    share: float
    seconds_left: float | None
    runs: int
    finished: int
    running: tuple[Running, ...]


class StudyProgress:
    """The jobs of a workflow, told as they begin and end.

    Work is in operations. How fast it goes is learnt rule by rule: from jobs that ended, and from
    the epochs of trainings that run.

    Args:
        clock: The time in seconds, as the modification times of files have it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.jobs: dict[int, Job] = {}
        self._at_once = 1
        self._shown = 0.0

    def plan(self, jobs: Iterable[PlannedJob]) -> None:
        """Take all jobs of the graph; those that need not be done count as finished."""
        for job in jobs:
            self.jobs[job.id] = Job(job, state="waiting" if job.needed else "finished")

    def start(self, id: int, rule: str, log: Path | None, at: float) -> Job:
        """A job begins, for the first time or again. One that nobody planned counts too."""
        job = self.jobs.setdefault(id, Job(PlannedJob(id, rule)))
        job.log, job.state, job.began = log, "running", at
        self._at_once = max(self._at_once, len(self._in("running")))
        return job

    def end(self, id: int, at: float, *, failed: bool = False) -> Job | None:
        """A job ended, well or not; none if it is not known."""
        if (job := self.jobs.get(id)) is None:
            return None
        if (training := _training(job)) is not None:
            job.before = job.planned.training * training.resumed / training.epochs
        job.state, job.seconds = "failed" if failed else "finished", at - job.began
        return job

    def _in(self, *states: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.state in states]

    def failed(self) -> list[Job]:
        """Jobs that failed and were not started again."""
        return self._in("failed")

    def of_run(self, run: str) -> list[Job]:
        """The jobs of a run."""
        return [job for job in self.jobs.values() if job.planned.run == run]

    def runs(self) -> dict[str, bool]:
        """Every run, and whether all of its jobs are finished."""
        found: dict[str, bool] = {}
        for job in self.jobs.values():
            if run := job.planned.run:
                found[run] = found.get(run, True) and job.state == "finished"
        return found

    def now(self) -> Snapshot:
        """How far the study is."""
        running = sorted(self._in("running"), key=lambda job: job.began)
        trainings = {job.planned.id: _training(job) for job in running}
        for job in running:
            if (training := trainings[job.planned.id]) is not None:
                job.before = job.planned.training * training.resumed / training.epochs
        pace = self._pace(trainings)
        done = {
            job.planned.id: self._done(job, trainings[job.planned.id], pace(job.planned.rule))
            for job in running
        }
        runs = self.runs()
        return Snapshot(
            self._share(sum(done.values())),
            self._seconds_left(done, pace),
            len(runs),
            sum(runs.values()),
            tuple(Running(job.name, trainings[job.planned.id]) for job in running),
        )

    def _done(self, job: Job, training: job_log.Training | None, pace: float | None) -> float:
        """Work of a running job that is done, as its log tells it, or else its time."""
        if training is not None:
            return job.planned.training * self._share_trained(job, training)
        if job.planned.training or not pace or not job.planned.work:
            return 0.0
        expected = job.planned.work * pace
        return job.planned.work * min(NEARLY, (self._clock() - job.began) / expected)

    def _share_trained(self, job: Job, training: job_log.Training) -> float:
        since = self._clock() - _time(job.log, job.began) if job.log else 0.0
        return training.share(since)

    def _pace(
        self, trainings: Mapping[int, job_log.Training | None]
    ) -> Callable[[str], float | None]:
        """Seconds that a unit of work of a rule takes, or of all rules where its own is unknown.

        Of a training that runs, what it will have taken at the speed of its last epoch.
        """
        seconds: dict[str, float] = defaultdict(float)
        work: dict[str, float] = defaultdict(float)
        for job in self._in("finished", "running"):
            took = job.seconds
            if (training := trainings.get(job.planned.id)) is not None and training.epoch_seconds:
                left = (1 - self._share_trained(job, training)) * training.epochs
                took = self._clock() - job.began + left * training.epoch_seconds
            if took > 0:
                seconds[job.planned.rule] += took
                work[job.planned.rule] += job.planned.work - job.before
        whole = sum(seconds.values()) / sum(work.values()) if any(work.values()) else None

        def pace(rule: str) -> float | None:
            return seconds[rule] / work[rule] if work[rule] else whole

        return pace

    def _share(self, running: float) -> float:
        whole = sum(job.planned.work for job in self.jobs.values())
        done = running + sum(job.planned.work for job in self._in("finished"))
        self._shown = max(self._shown, min(1.0, done / whole) if whole else 0.0)
        return self._shown

    def _seconds_left(
        self, done: Mapping[int, float], pace: Callable[[str], float | None]
    ) -> float | None:
        """Time until all is done that still can be, if as many jobs go on at once as there were."""
        lost = {job.planned.run for job in self._in("failed")}
        left = []
        for job in self._in("waiting", "running"):
            run = job.planned.run
            # What hangs on a failed job is not made now: the rest of its run, and of the study.
            if job.state == "waiting" and lost and (run in lost or not run):
                continue
            if (known := pace(job.planned.rule)) is None:
                return None
            left.append((job.planned.work - done.get(job.planned.id, 0.0)) * known)
        # The last job is waited for, however many go on beside it.
        return max(sum(left) / min(self._at_once, len(left)), *left) if left else 0.0


def _training(job: Job) -> job_log.Training | None:
    """How far a job's training is; none if it trains nothing, or has not begun to."""
    if not job.planned.training or job.log is None:
        return None
    return job_log.training(job_log.read(job.log))


def _time(path: Path, otherwise: float) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return otherwise
