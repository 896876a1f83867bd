# Runs of the store (docs/reruns.md): what the study lacks is taken before anything is planned, so that
# no job is made for it. What somebody told Snakemake to do again is marked, so that its job does it.

# Files that Snakemake is told to make again because they say that they are out of date. Their jobs may
# take what the store has.
OUT_OF_DATE = set()


def take_stored_runs():
    if workflow.executor_plugin is None:
        return  # nothing is run or planned
    say = partial(print, "tausweep:", file=sys.stderr, flush=True)
    try:
        stored_runs.take_all(STUDY, layout.Layout(), say)
    except OSError as error:
        # Their jobs say so again, and then it is an error.
        say(f"no run was taken from the store: {error}")


def is_redone(job):
    """Whether a job is done again although settings and data are the same."""
    reason, asked = workflow.dag.reason(job), workflow.dag_settings
    told = reason.forced and (
        asked.forceall
        or job.rule.name in asked.forcerun
        or not any(str(path) in OUT_OF_DATE for path in job.output)
    )
    return told or reason.code_changed or reason.software_stack_changed


def mark_redone_runs():
    own = {layout.Layout().run(run) for run in RUNS.values()}
    for job in workflow.dag.jobs:
        made = [path for path in map(Path, map(str, job.output)) if path.parent in own]
        if not workflow.dag.needrun(job):
            stored_runs.settle(made)
        elif is_redone(job):
            stored_runs.redo(made)


# The jobs are known when the graph is built, and there is no hook after it that modules have too.
build_dag = workflow._build_dag


def build_marked_dag():
    build_dag()
    executing = workflow.executor_plugin is not None and not workflow.dryrun
    if workflow.is_main_process and executing and not workflow.touch:
        mark_redone_runs()


workflow._build_dag = build_marked_dag
