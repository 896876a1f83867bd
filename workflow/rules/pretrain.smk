# One run: encoder and bank. Its checkpoint lies beside the outputs and is none of them, since
# Snakemake deletes the outputs of a failed job; a job that starts again goes on from there. With
# `--set-resources pretrain:gpu=4` four processes, a GPU each, share a run. Alone, the process
# measures the run too while it has everything loaded, and the evaluate job takes what it found.


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
