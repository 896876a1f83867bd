# Every figure, in one job: starting it takes longer than drawing most of them.


rule figures:
    input:
        records="results/{study}/records.csv",
    output:
        expand(
            "results/{{study}}/figures/{figure}.{kind}",
            figure=figures.NAMES,
            kind=("pdf", "png"),
        ),
        report(
            expand("results/{{study}}/figures/{figure}.svg", figure=figures.NAMES),
            caption="../report/figure.rst",
            category="Figures",
        ),
    log:
        "results/{study}/logs/figures.log",
    localrule: True
    conda:
        "../envs/tausweep.yaml"
    resources:
        study=STUDY_FILE,
    params:
        style=studies.digest(STUDY.figures.model_dump()),
    shell:
        "tausweep figures {resources.study:q} 2> {log:q}"
