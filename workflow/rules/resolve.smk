# The study in canonical form, beside its results.


rule study:
    input:
        ancient(STUDY_FILE),
    output:
        "results/{study}/study.json",
    log:
        "results/{study}/logs/study.log",
    localrule: True
    conda:
        "../envs/tausweep.yaml"
    params:
        study=studies.digest(STUDY.canonical_json()),
    shell:
        "tausweep resolve {input:q} {output:q} 2> {log:q}"
