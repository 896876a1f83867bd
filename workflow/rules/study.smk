# The study that is asked for. Every job reads it from beside its results, so what was planned is
# what runs, also when the study file is edited meanwhile; `ancient`, for a run depends on its own
# settings (its params) and not on the file.

STUDY_FILE = (workflow.configfiles or ["benchmarks/demo.yaml"])[0]
try:
    STUDY = studies.load(STUDY_FILE)
except studies.StudyError as error:
    sys.exit(f"tausweep: error: {error}")
RUNS = {run.id: run for run in STUDY.runs()}
DATASETS = {layout.prepared_name(run.settings.dataset): run.settings.dataset for run in RUNS.values()}


wildcard_constraints:
    study=studies.NAME,
    dataset=studies.NAME,
    loss=studies.NAME,
    tau=r"none|\d+\.\d+",
    seed=r"\d+",


def run_of(wildcards):
    return RUNS["{w.dataset}/{w.loss}/{w.tau}/seed{w.seed}".format(w=wildcards)]


rule study:
    localrule: True
    input:
        ancient(STUDY_FILE),
    output:
        "results/{study}/study.json",
    params:
        study=studies.digest(STUDY.canonical_json()),
    log:
        "results/{study}/logs/study.log",
    conda:
        "../envs/tausweep.yaml"
    shell:
        "tausweep resolve {input:q} {output:q} 2> {log:q}"
