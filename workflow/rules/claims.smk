# A verdict on each claim of the paper.


rule claims:
    localrule: True
    input:
        study=ancient("results/{study}/study.json"),
        records="results/{study}/records.csv",
    output:
        json="results/{study}/claims.json",
        markdown=report(
            "results/{study}/claims.md",
            caption="../report/claims.rst",
            category="Verdicts",
        ),
    log:
        "results/{study}/logs/claims.log",
    conda:
        "../envs/tausweep.yaml"
    shell:
        "tausweep claims {input.study:q} 2> {log:q}"
