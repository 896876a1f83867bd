# Tells the code that shows progress (`tausweep run`, `snakemake --logger tausweep`) about the study and
# every job with its work, in records of Snakemake's log that print nothing. Also registers who runs
# this workflow, in case its locks are found after a kill.

import atexit
from contextlib import ExitStack

from snakemake.logging import logger

REGISTERED = ExitStack()


def tell_study():
    asked = workflow.dag_settings
    whole = not (asked.until or asked.omit_from) and set(asked.targets) <= {"all"}
    study = planned_work.PlannedStudy(STUDY.study, STUDY_FILE, whole)
    logger.info(None, extra={planned_work.STUDY_RECORD: study})


def register():
    REGISTERED.enter_context(workflow_lock.registered(STUDY.study))
    atexit.register(REGISTERED.close)


def run_id(job):
    """The run that a job is of; empty for a job of the whole study."""
    found = job.wildcards_dict
    if not {"dataset", "loss", "tau", "seed"} <= {*found}:
        return ""
    return "{dataset}/{loss}/{tau}/seed{seed}".format(**found)


def planned_job(job, trained, served):
    run = run_id(job)
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
        ahead=run in trained,
        served=served,
        trained_in=layout.Layout().trained(RUNS[run]) if run else None,
    )


onstart:
    dag = workflow.dag
    # A single process measures the run that it has trained.
    trained = {
        run_id(job)
        for job in dag.needrun_jobs()
        if job.rule.name == "pretrain" and job.resources.gpu <= 1
    }
    served = has_server()
    jobs = tuple(planned_job(job, trained, served) for job in dag.jobs)
    planned = planned_work.PlannedJobs(jobs, next(iter(log), ""))
    logger.info(None, extra={planned_work.JOBS_RECORD: planned})
    start_server(served)
