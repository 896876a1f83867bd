# All measures of a run in one job, for every start of a process costs seconds: what is already
# there and made of the same is kept, so a changed setting recomputes its own measure only.


def settings_digest(wildcards):
    return run_of(wildcards).settings.digest


rule evaluate:
    input:
        study=ancient("results/{study}/study.json"),
        manifest=manifest_of,
        encoder="results/{study}/runs/{dataset}/{loss}/{tau}/seed{seed}/encoder.safetensors",
    output:
        "results/{study}/runs/{dataset}/{loss}/{tau}/seed{seed}/record.json",
    params:
        settings=settings_digest,
    log:
        "results/{study}/logs/{dataset}/{loss}/{tau}/seed{seed}/evaluate.log",
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    conda:
        "../envs/tausweep.yaml"
    shell:
        "tausweep evaluate {input.study:q} --threads {threads} --device cpu"
        " --run {wildcards.dataset}/{wildcards.loss}/{wildcards.tau}/seed{wildcards.seed}"
        " 2> {log:q}"
