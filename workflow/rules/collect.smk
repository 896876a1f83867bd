# The collected table: one row a run, written when every run has its record.


rule collect:
    localrule: True
    input:
        study=ancient("results/{study}/study.json"),
        records=[f"results/{STUDY.study}/runs/{run}/record.json" for run in RUNS],
    output:
        "results/{study}/records.csv",
    params:
        settings=studies.digest(sorted(run.settings.digest for run in RUNS.values())),
    log:
        "results/{study}/logs/collect.log",
    conda:
        "../envs/tausweep.yaml"
    shell:
        "tausweep collect {input.study:q} {output:q} 2> {log:q}"
