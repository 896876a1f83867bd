# A study of many small runs spends more time in loading torch than in training. So a server loads it
# once and forks a process for each job that runs on this machine with one thread. A job that has no
# server, or another environment than the server's, loads it by itself.

from tausweep.machine import forkserver


def has_server():
    """Whether jobs of this workflow are run by a server."""
    if not workflow.is_main_process or not workflow.local_exec or workflow.touch:
        return False
    waiting = (
        RUNS[run_id(job)]
        for job in workflow.dag.needrun_jobs()
        if job.rule.name == "pretrain" and job.threads == 1
    )
    return job_server.serves(waiting)


def start_server():
    address = forkserver.start(Path(".snakemake/tausweep/forkserver.log"))
    if address is not None:
        os.environ[forkserver.VARIABLE] = address
