# What those who show progress are told (`tausweep run`, `snakemake --logger tausweep`): the study, and
# every job with its work, in records of Snakemake's log that print nothing. And who runs this
# workflow, for whoever finds its locks after a kill.

import atexit
from contextlib import ExitStack

from snakemake.logging import logger

REGISTERED = ExitStack()


def tell_study():
    asked = workflow.dag_settings
    whole = not (asked.until or asked.omit_from) and set(asked.targets) <= {"all"}
    study = planned_work.StudyAtHand(STUDY.study, STUDY_FILE, whole)
    logger.info(None, extra={planned_work.STUDY_RECORD: study})


def register():
    REGISTERED.enter_context(workflow_lock.registered(STUDY.study))
    atexit.register(REGISTERED.close)


def planned_job(job):
    found = job.wildcards_dict
    names = ("dataset", "loss", "tau", "seed")
    run = (
        "{dataset}/{loss}/{tau}/seed{seed}".format(**found)
        if {*names} <= {*found}
        else ""
    )
    settings = RUNS[run].settings if run else None
    count = image_count(settings.dataset) if settings else 0
    return planned_work.planned_job(
        job.jobid,
        job.rule.name,
        run,
        map(str, job.output),
        settings,
        count,
        needed=workflow.dag.needrun(job),
    )


onstart:
    jobs = planned_work.PlannedJobs(
        tuple(map(planned_job, workflow.dag.jobs)), next(iter(log), "")
    )
    logger.info(None, extra={planned_work.JOBS_RECORD: jobs})
