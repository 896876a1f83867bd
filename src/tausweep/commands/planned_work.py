"""What a workflow is about to do: its study, its jobs, and how much work each of them is.

The workflow tells it in records of Snakemake's log (``workflow/rules/progress.smk``), which nothing
prints but those who show progress. Torch is not imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from tausweep.commands import cost
from tausweep.storage.layout import File
from tausweep.study import RunSettings

START = 4 * cost.CPU_FLOPS
"""What starting a job's process counts as, in operations of a CPU core: some four seconds."""

TAKING = 0.5 * cost.CPU_FLOPS
"""The same of a job that takes a record made ahead, and computes nothing."""

STUDY_RECORD = "tausweep_study"
JOBS_RECORD = "tausweep_jobs"
"""Attributes of the records of Snakemake's log that have a ``StudyAtHand``, a ``PlannedJobs``."""


@dataclass(frozen=True)
class StudyAtHand:
    """The study that a workflow was started for.

    Attributes:
        name: Its name.
        file: Its file, a merged one where several files or settings were given.
        whole: Whether all of it is asked for, and not some targets.
    """

    name: str
    file: str
    whole: bool


@dataclass(frozen=True)
class PlannedJob:
    """One job of a workflow's graph.

    Attributes:
        id: Snakemake's number of it.
        rule: Its rule.
        run: The run that it is of; empty for a job of the whole study.
        training: Work of its training, in floating-point operations.
        work: All of its work, its training and the start of its process included.
        needed: Whether it is to be done; else what it makes is there.
        record: The run's record, if the job makes it.
    """

    id: int
    rule: str
    run: str = ""
    training: float = 0.0
    work: float = START
    needed: bool = True
    record: Path | None = None


@dataclass(frozen=True)
class PlannedJobs:
    """All jobs of a workflow's graph, and the file of Snakemake's full log."""

    jobs: tuple[PlannedJob, ...]
    log: str = ""


def planned_job(
    id: int,
    rule: str,
    run: str,
    outputs: Iterable[str],
    settings: RunSettings | None,
    count: int,
    *,
    needed: bool,
    ahead: bool,
) -> PlannedJob:
    """A job with its work, which follows from what it makes.

    Args:
        id: Snakemake's number of it.
        rule: Its rule.
        run: The run that it is of; empty for a job of the whole study.
        outputs: Files that it makes; none for a rule that only names targets.
        settings: The run's; none for a job of the whole study.
        count: N, the run's training images.
        needed: Whether it is to be done.
        ahead: Whether the process that trains the run measures it too (``commands.ahead``).
    """
    made = {PurePath(path).name: Path(path) for path in outputs}
    training, work, record = 0.0, START if made else 0.0, made.get(File.RECORD)
    if settings is not None:
        evaluation = cost.evaluation_operations(settings, count)
        if File.PRETRAIN in made:
            training = cost.pretraining_operations(settings, count)
            work += training + (evaluation if ahead else 0.0)
        if record is not None:
            work = TAKING if ahead else work + evaluation
    return PlannedJob(id, rule, run, training, work, needed, record)
