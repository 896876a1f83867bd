# All measures of a run in one job, because every start of a process costs seconds. Measures that are
# up to date are kept, so a changed setting recomputes only its own measure. A new encoder shows in
# `pretrain.json`, which is small and compared by content.


rule evaluate:
    input:
        pretrain="results/{study}/runs/{dataset}/{loss}/{tau}/seed{seed}/pretrain.json",
        encoder=ancient(
            "results/{study}/runs/{dataset}/{loss}/{tau}/seed{seed}/encoder.safetensors"
        ),
    output:
        "results/{study}/runs/{dataset}/{loss}/{tau}/seed{seed}/record.json",
    log:
        "results/{study}/logs/{dataset}/{loss}/{tau}/seed{seed}/evaluate.log",
    conda:
        "../envs/tausweep.yaml"
    threads: threads_of
    resources:
        study=STUDY_FILE,
        mem_mb=evaluate_memory_mb,
        runtime=720,
    params:
        settings=settings_digest,
    shell:
        "exec tausweep evaluate {resources.study:q} --settings {params.settings} --threads {threads}"
        " --run {wildcards.dataset}/{wildcards.loss}/{wildcards.tau}/seed{wildcards.seed}"
        " 2> {log:q}"
