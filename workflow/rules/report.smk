# Everything about a study on one page.


rule report:
    input:
        records="results/{study}/records.csv",
        along=ALONG,
        claims="results/{study}/claims.json",
        tables=expand("results/{{study}}/tables/{table}.html", table=TABLES),
        figures=expand("results/{{study}}/figures/{figure}.svg", figure=FIGURES),
    output:
        report(
            "results/{study}/report.html",
            caption="../report/report.rst",
            category="Report",
            labels={"page": "the whole study"},
        ),
    log:
        "results/{study}/logs/report.log",
    localrule: True
    conda:
        "../envs/tausweep.yaml"
    resources:
        study=STUDY_FILE,
    shell:
        "tausweep report {resources.study:q} 2> {log:q}"
