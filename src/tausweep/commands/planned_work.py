"""What a workflow is about to do: its study, its jobs, and how much work each of them is.

The workflow passes it on in records of Snakemake's log (``workflow/rules/progress.smk``). Only the
code that shows progress reads these. Torch is not imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from tausweep.commands import cost
from tausweep.storage.layout import File
from tausweep.study import RunSettings

START = 4 * cost.CPU_FLOPS
"""Work that counts for starting a job's process: what a CPU core does in about four seconds."""

TAKING = 0.5 * cost.CPU_FLOPS
"""The same for a job that only takes a record made ahead, or whose process is forked."""

STUDY_RECORD = "tausweep_study"
JOBS_RECORD = "tausweep_jobs"
"""Attributes of records of Snakemake's log: one has a ``PlannedStudy``, one a ``PlannedJobs``."""


@dataclass(frozen=True)
class PlannedStudy:
    """The study that a workflow was started for.

    Attributes:
        name: Its name.
        file: Its file; a merged one if several files or settings were given.
        whole: Whether the whole study is requested, not only some targets.
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
        run: The run that it belongs to; empty for a job of the whole study.
        training: Work of its training, in floating-point operations.
        work: All of its work, including its training and the start of its process.
        needed: Whether it has to run; otherwise its outputs exist already.
        record: The run's record, if the job makes it.
        trained_in: Where its training is made, in the store of runs.
    """

    id: int
    rule: str
    run: str = ""
    training: float = 0.0
    work: float = START
    needed: bool = True
    record: Path | None = None
    trained_in: Path | None = None


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
    served: bool = False,
    trained_in: Path | None = None,
) -> PlannedJob:
    """A job and its work, which follows from the files that it makes.

    Args:
        id: Snakemake's number of it.
        rule: Its rule.
        run: The run that it belongs to; empty for a job of the whole study.
        outputs: Files that it makes; none for a rule that only names targets.
        settings: The run's settings; none for a job of the whole study.
        count: N, the number of training images.
        needed: Whether it has to run.
        ahead: Whether the process that trains the run measures it too (``commands.ahead``).
        served: Whether a server forks the processes of runs (``commands.job_server``).
        trained_in: Where the run is trained.
    """
    made = {PurePath(path).name: Path(path) for path in outputs}
    training, work, record = 0.0, START if made else 0.0, made.get(File.RECORD)
    if settings is not None:
        work = TAKING if served and made else work
        evaluation = cost.evaluation_operations(settings, count)
        if File.PRETRAIN in made:
            training = cost.pretraining_operations(settings, count)
            work += training + (evaluation if ahead else 0.0)
        if record is not None:
            work = TAKING if ahead else work + evaluation
    return PlannedJob(id, rule, run, training, work, needed, record, trained_in)
