# The requested study. A run depends on its own settings (a digest in its params), not on the file. The
# path of the file is therefore a resource, which is no reason to rerun. The command also gets the
# digest, and refuses to run other settings if the file was edited meanwhile.

from functools import cache, partial

# As a module of another Snakefile (config/README.md), the study is the module's `config`, and the
# files and --config of the command are that Snakefile's own.
MODULE = workflow.modifier.namespace
if MODULE is None:
    GIVEN, GIVEN_BY = dict(workflow.config_settings.config or {}), "--config"
    FILES = [str(file) for file in workflow.configfiles]
else:
    GIVEN, GIVEN_BY = dict(config), f"module {MODULE}, config"
    FILES = []
if not FILES and (MODULE is None or not configuration.has_settings(GIVEN)):
    FILES = [str(shipped.studies()["demo"])]
# Snakemake makes them absolute, but records contain the command and should not reveal the path of the
# checkout.
FILES = [
    (
        str(Path(file).relative_to(Path.cwd()))
        if Path(file).is_relative_to(Path.cwd())
        else file
    )
    for file in FILES
]
try:
    if MODULE is None:
        configuration.check_given_once(sys.argv[1:])
    else:
        paths = workflow.modifier.path_modifier
        configuration.check_module(
            MODULE, prefixed=bool(paths.prefix or paths.modifies_prefixes)
        )
    STUDY_FILE = configuration.study_file(
        FILES, GIVEN, Path(".snakemake/studies"), GIVEN_BY
    )
    STUDY = studies.load(STUDY_FILE)
    plan.check(STUDY, layout.Layout())
    AT_ONCE = configuration.at_once(GIVEN)
except studies.StudyError as error:
    print(f"tausweep: error: {error}", file=sys.stderr)
    sys.exit(2)
# The study file as jobs receive it and records name it.
STUDY_FILE = shipped.study_name(STUDY_FILE)
RUNS = {run.id: run for run in STUDY.runs()}
DATASETS = {
    layout.prepared_name(run.settings.dataset): run.settings.dataset
    for run in RUNS.values()
}

FIGURES = figures.asked(STUDY)
# Only exists if runs are measured along their training.
ALONG = ["results/{study}/along.csv"] if STUDY.evaluate_at else []


def chosen_runs():
    patterns = str(GIVEN.get(configuration.SELECT, "*")).split(",")
    return {run for run in RUNS if any(fnmatch(run, p) for p in patterns)}


def check_targets():
    """Refuse what is not of this study, and have made again what says it is out of date."""
    asked = workflow.dag_settings
    wanted = {str(target) for target in asked.targets}
    named = {*wanted, *map(str, (*asked.forcerun, *asked.until, *asked.omit_from))}
    if workflow.scheduling_settings is not None:
        named |= {str(t) for t in workflow.scheduling_settings.prioritytargets}
    default = "" if workflow.configfiles else ", since no --configfile is given"
    try:
        targets.check(named, STUDY, " + ".join(FILES) + default, layout.Layout())
        if configuration.SELECT in GIVEN and "selected" not in wanted:
            raise studies.StudyError(
                "--config select: it chooses runs for the target `selected`, which is not asked "
                "for; write `snakemake selected ...`"
            )
        if configuration.AT_ONCE in GIVEN and "filled" not in wanted:
            raise studies.StudyError(
                "--config at_once: it is of the target `filled`, which is not asked for; write "
                "`snakemake filled ...`"
            )
    except studies.StudyError as error:
        print(f"tausweep: error: {error}", file=sys.stderr)
        sys.exit(2)
    take_stored_runs()
    outdated = targets.outdated(STUDY, layout.Layout(), wanted, chosen_runs())
    OUT_OF_DATE.update({*outdated} - {*asked.forcerun})
    asked.forcerun = frozenset(asked.forcerun) | frozenset(outdated)


# `tausweep prepare` locks prepared data itself. Snakemake would keep its own lock until the end of a
# study, so another study with the same data could not start before.
PREPARED = f"{layout.Layout().root}/{layout.Folder.DATA}/"
PersistenceBase.all_outputfiles = lambda self: (
    file
    for file in jobfiles(self.dag.needrun_jobs(), "output")
    if not str(file).startswith(PREPARED)
)
# One for the whole process, because two modules may use the same data.
RESERVED = vars(workflow).setdefault("reserved_data", {})


def await_data():
    """Let this workflow make missing data, or wait while another workflow makes them."""
    for folder in targets.unprepared(STUDY, layout.Layout()):
        if folder in RESERVED:
            continue

        def whole():
            plan.look_again()
            return folder not in targets.unprepared(STUDY, layout.Layout())

        say = partial(print, "tausweep:", file=sys.stderr, flush=True)
        RESERVED[folder] = folder_lock.reserve(folder, whole, say)
    if None in RESERVED.values():
        # Data made for another study were checked against its settings, not against these.
        try:
            plan.check(STUDY, layout.Layout())
        except studies.StudyError as error:
            print(f"tausweep: error: {error}", file=sys.stderr)
            sys.exit(2)


# Targets are only known after the rules are read, and there is no hook before the graph of jobs.
prepare_dag = workflow._prepare_dag


def prepare_checked_dag(*arguments, **options):
    if workflow.is_main_process:
        if MODULE is None:
            check_targets()
            tell_study()
        else:
            take_stored_runs()
        if workflow.executor_plugin is not None and not workflow.dryrun:
            register()
            await_data()
    prepare_dag(*arguments, **options)
    if workflow.is_main_process and MODULE is not None:
        # Remade only if the requested targets need it; these are the other Snakefile's.
        everything = targets.outdated(STUDY, layout.Layout(), ["all"], set())
        OUT_OF_DATE.update({*everything} - {*map(str, workflow.dag.forcefiles)})
        workflow.dag.forcefiles.update(everything)


workflow._prepare_dag = prepare_checked_dag


wildcard_constraints:
    study=re.escape(STUDY.study),
    prepared="|".join(map(re.escape, DATASETS)),
    dataset=studies.NAME,
    loss=studies.NAME,
    tau=r"none|\d+\.\d+",
    seed=r"\d+",


def run_of(wildcards):
    return RUNS["{w.dataset}/{w.loss}/{w.tau}/seed{w.seed}".format(w=wildcards)]


def source_fingerprint(wildcards):
    return plan.source_fingerprint(DATASETS[wildcards.prepared], layout.Layout())


def manifest_of(wildcards):
    """Manifest of a run's data; nothing for a finished run whose data were deleted.

    Such data are made again when a new run needs them, and that must not retrain the finished one.
    Should it have to be redone itself, its command makes them.
    """
    run = run_of(wildcards)
    manifest = layout.Layout().prepared(run.settings.dataset) / layout.File.MANIFEST
    if targets.pretraining(run, layout.Layout()) and not manifest.exists():
        return []
    # The digests are the same, so ignore its time: the data may be newer than imported runs.
    if targets.data_unchanged(run, layout.Layout()):
        return ancient(str(manifest))
    return str(manifest)


# Resources requested from a cluster. A run that hits its time limit saves its state, is submitted again
# with more time, and resumes. Sustained throughput of a data-centre GPU of some years ago:
GPU_FLOPS = 20e12


@cache
def image_count(dataset):
    # That of ImageNet100, the largest, if the size is not known before the data is prepared.
    return cost.train_count(dataset, layout.Layout()) or 130_000


def training_minutes(settings):
    forward = forward_flops(settings.encoder, settings.dataset.image_size)
    steps = cost.BACKWARD * settings.pretrain.epochs * image_count(settings.dataset)
    return 3 * forward * steps / GPU_FLOPS / 60


def pretrain_minutes(wildcards, attempt):
    return attempt * (30 + round(training_minutes(run_of(wildcards).settings)))


def fill_minutes(wildcards, attempt):
    """Of all runs that are to be trained, one after the other; a day at most, and then it goes on."""
    waiting = [
        run for run in RUNS.values() if not targets.pretraining(run, layout.Layout())
    ]
    steps = sum(training_minutes(run.settings) for run in waiting)
    return min(1440, attempt * (30 + round(steps)))


def fill_memory_mb(wildcards):
    """Of the runs that train at once, and of as many evaluations beside them."""
    counted = [
        (run.settings, image_count(run.settings.dataset)) for run in RUNS.values()
    ]
    each = max(cost.training_memory(*one) for one in counted)
    return round(
        AT_ONCE * (each + max(cost.evaluation_memory(*one) for one in counted)) / 1e6
    )


def evaluate_memory_mb(wildcards):
    settings = run_of(wildcards).settings
    return round(cost.evaluation_memory(settings, image_count(settings.dataset)) / 1e6)


# Originals are decoded during training, at some 300 images per second and core (docs/data.md).
# Snakemake never gives more cores than there are.
DECODING_THREADS = 8


def threads_of(wildcards):
    originals = run_of(wildcards).settings.dataset.form == "originals"
    return DECODING_THREADS if originals else 1


def pretrain_digest(wildcards):
    return run_of(wildcards).settings.pretrain_digest


def settings_digest(wildcards):
    return run_of(wildcards).settings.digest


def selected_records(wildcards):
    chosen = [run for run in RUNS if run in chosen_runs()]
    if not chosen:
        raise WorkflowError(
            f"select: no run of the study matches {GIVEN.get('select')!r}; runs are named "
            f"DATASET/LOSS/TAU/seedK, as in {next(iter(RUNS))}"
        )
    return [f"results/{STUDY.study}/runs/{run}/record.json" for run in chosen]
