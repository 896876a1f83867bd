# A study of many small runs spends more time in loading torch than in training. So a server loads it
# once and forks a process for each job that runs on this machine with one thread. A job that has no
# server, or another environment than the server's, loads it by itself.

from tausweep.machine import forkserver
from tausweep.machine.served_job import VARIABLE


def has_server():
    """Whether jobs of this workflow are run by a server."""
    if not workflow.is_main_process or not workflow.local_exec or workflow.touch:
        return False
    waiting = [
        job for job in workflow.dag.needrun_jobs() if job.rule.name == "pretrain"
    ]
    if any(job.threads > 1 or job.resources.gpu > 1 for job in waiting):
        return False
    return job_server.serves(RUNS[run_id(job)] for job in waiting)


def start_server(served):
    if served:
        address = forkserver.start(Path(".snakemake/tausweep/forkserver.log"))
        os.environ[VARIABLE] = address or ""
    elif VARIABLE in os.environ:
        # Another workflow's, if this one was started from within it.
        os.environ[VARIABLE] = ""
