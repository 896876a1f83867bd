# The collected table: one row per run, written once every run has its record. If the study measures
# runs along their training, there is also a table with one row per run and epoch.


rule collect:
    input:
        records=[f"results/{STUDY.study}/runs/{run}/record.json" for run in RUNS],
    output:
        records="results/{study}/records.csv",
        along=ALONG,
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
        "tausweep collect {resources.study:q} {output.records:q} 2> {log:q}"


# A part of the study up to its records:
#     snakemake selected --configfile STUDY --config select='cifar10/*/0.07/*,*/simple/*'
rule selected:
    input:
        selected_records,
    localrule: True
