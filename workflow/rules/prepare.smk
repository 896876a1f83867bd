# Images of a source in one prepared format, made once for all studies. The manifest is small and
# compared by content; what lies at the source enters as its fingerprint, which a touched or copied
# file does not change.


def dataset_json(wildcards):
    return DATASETS[wildcards.prepared].model_dump_json(exclude_none=True)


def source_fingerprint(wildcards):
    return datasets.fingerprint(DATASETS[wildcards.prepared].source)


rule prepare:
    output:
        "results/data/{prepared}/manifest.json",
    params:
        settings=dataset_json,
        fingerprint=source_fingerprint,
    log:
        "results/data/{prepared}/prepare.log",
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
    conda:
        "../envs/tausweep.yaml"
    shell:
        "tausweep prepare --settings {params.settings:q} --threads {threads} 2> {log:q}"
