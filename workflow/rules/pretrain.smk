# One run: encoder and bank. Its checkpoint lies beside the outputs and is none of them, since
# Snakemake deletes the outputs of a failed job; a job that starts again goes on from there.


def manifest_of(wildcards):
    name = layout.prepared_name(run_of(wildcards).settings.dataset)
    return f"results/data/{name}/manifest.json"


def pretrain_digest(wildcards):
    return run_of(wildcards).settings.pretrain_digest


rule pretrain:
    input:
        study=ancient("results/{study}/study.json"),
        manifest=manifest_of,
    output:
        encoder="results/{study}/runs/{dataset}/{loss}/{tau}/seed{seed}/encoder.safetensors",
        history="results/{study}/runs/{dataset}/{loss}/{tau}/seed{seed}/history.csv",
        settings="results/{study}/runs/{dataset}/{loss}/{tau}/seed{seed}/settings.json",
        pretrain="results/{study}/runs/{dataset}/{loss}/{tau}/seed{seed}/pretrain.json",
    params:
        settings=pretrain_digest,
    log:
        "results/{study}/logs/{dataset}/{loss}/{tau}/seed{seed}/pretrain.log",
    threads: 1
    resources:
        gpu=1,
        mem_mb=4000,
        runtime=720,
    conda:
        "../envs/tausweep.yaml"
    shell:
        "tausweep pretrain {input.study:q} --threads {threads}"
        " --run {wildcards.dataset}/{wildcards.loss}/{wildcards.tau}/seed{wildcards.seed}"
        " 2> {log:q}"
