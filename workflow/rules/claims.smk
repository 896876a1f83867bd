# A verdict on each claim of the paper.


rule claims:
    input:
        records="results/{study}/records.csv",
        along=ALONG,
    output:
        json="results/{study}/claims.json",
        csv="results/{study}/claims.csv",
        markdown=report(
            "results/{study}/claims.md",
            caption="../report/claims.rst",
            category="Verdicts",
            labels={"page": "claims"},
        ),
    log:
        "results/{study}/logs/claims.log",
    localrule: True
    conda:
        "../envs/tausweep.yaml"
    resources:
        study=STUDY_FILE,
    shell:
        "tausweep claims {resources.study:q} 2> {log:q}"
