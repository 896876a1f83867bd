# The study in canonical form, kept beside its results. No run depends on this file: a changed study
# would then redo all of it or, with `ancient`, hide from Snakemake which runs' settings changed.


rule study:
    output:
        "results/{study}/study.json",
    log:
        "results/{study}/logs/study.log",
    localrule: True
    conda:
        "../envs/tausweep.yaml"
    resources:
        study=STUDY_FILE,
    params:
        study=studies.digest(STUDY.canonical_json()),
    shell:
        "tausweep resolve {resources.study:q} {output:q} 2> {log:q}"
