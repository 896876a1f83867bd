# One run: encoder and bank. Its checkpoint is beside the outputs but is not declared as one, because
# Snakemake deletes the outputs of a failed job; a restarted job resumes from the checkpoint. With
# `--set-resources pretrain:gpu=4`, four processes with one GPU each share a run. A single process also
# measures the run while everything is loaded, and the evaluate job takes that result.


rule pretrain:
    input:
        manifest=manifest_of,
    output:
        encoder="results/{study}/runs/{dataset}/{loss}/{tau}/seed{seed}/encoder.safetensors",
        history="results/{study}/runs/{dataset}/{loss}/{tau}/seed{seed}/history.csv",
        settings="results/{study}/runs/{dataset}/{loss}/{tau}/seed{seed}/settings.json",
        pretrain="results/{study}/runs/{dataset}/{loss}/{tau}/seed{seed}/pretrain.json",
    log:
        "results/{study}/logs/{dataset}/{loss}/{tau}/seed{seed}/pretrain.log",
    conda:
        "../envs/tausweep.yaml"
    threads: threads_of
    resources:
        study=STUDY_FILE,
        gpu=1,
        mem_mb=evaluate_memory_mb,
        runtime=pretrain_minutes,
    params:
        settings=pretrain_digest,
    shell:
        "exec tausweep pretrain {resources.study:q} --settings {params.settings} --threads {threads}"
        " --processes {resources.gpu} --evaluate"
        " --run {wildcards.dataset}/{wildcards.loss}/{wildcards.tau}/seed{wildcards.seed}"
        " 2> {log:q}"
