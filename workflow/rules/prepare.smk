# Images of a source in one prepared format, made once for all studies. The manifest is small and
# compared by content. The source enters as its fingerprint, which does not change if a file is touched
# or copied. The folder's name has the digest of the dataset's settings, so no other parameter is
# needed, and another study of the same data does not make them again. The command reads the study
# to name its datasets and to check its settings against the data.


rule prepare:
    output:
        "results/data/{prepared}/manifest.json",
    log:
        "results/data/{prepared}/prepare.log",
    conda:
        "../envs/tausweep.yaml"
    threads: 1
    resources:
        study=STUDY_FILE,
        mem_mb=2000,
        runtime=240,
    params:
        fingerprint=source_fingerprint,
    shell:
        "tausweep prepare {resources.study:q} --only {wildcards.prepared:q} --threads {threads}"
        " 2> {log:q}"
