# The collected table: one row a run, written when every run has its record.

from fnmatch import fnmatch


rule collect:
    input:
        records=[f"results/{STUDY.study}/runs/{run}/record.json" for run in RUNS],
    output:
        "results/{study}/records.csv",
    log:
        "results/{study}/logs/collect.log",
    localrule: True
    conda:
        "../envs/tausweep.yaml"
    resources:
        study=STUDY_FILE,
    params:
        settings=studies.digest(sorted(run.settings.digest for run in RUNS.values())),
    shell:
        "tausweep collect {resources.study:q} {output:q} 2> {log:q}"


def selected_records(wildcards):
    chosen = [
        run
        for run in RUNS
        if any(fnmatch(run, p) for p in str(config.get("select", "*")).split(","))
    ]
    if not chosen:
        raise WorkflowError(
            f"select: no run of the study matches {config['select']!r}; runs are named "
            f"DATASET/LOSS/TAU/seedK, as in {next(iter(RUNS))}"
        )
    return [f"results/{STUDY.study}/runs/{run}/record.json" for run in chosen]


# A part of the study up to its records:
#     snakemake selected --configfile STUDY --config select='cifar10/*/0.07/*,*/simple/*'
rule selected:
    input:
        selected_records,
    localrule: True
