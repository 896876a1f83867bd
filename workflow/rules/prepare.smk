# Images of a source in the prepared format, made once for all studies. The manifest is small and
# compared by content. The source enters by its fingerprint, which does not change if files are touched
# or copied. Two studies may have the same source at different paths, so the settings are a function of
# the output, which Snakemake does not compare; the folder's name has their digest.


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
