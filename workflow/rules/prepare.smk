# Images of a source in one prepared format, made once for all studies. The manifest is small and
# compared by content; what lies at the source enters as its fingerprint, which a touched or copied
# file does not change. Two studies may find one source at different places: the settings are a
# function of the output, which Snakemake does not compare, and the folder's name has their digest.


rule prepare:
    output:
        "results/data/{prepared}/manifest.json",
    log:
        "results/data/{prepared}/prepare.log",
    conda:
        "../envs/tausweep.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        settings=dataset_json,
        fingerprint=source_fingerprint,
    shell:
        "tausweep prepare --settings {params.settings:q} --threads {threads} 2> {log:q}"
