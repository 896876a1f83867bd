# Every figure, in one job: starting it takes longer than drawing most of them.


rule figures:
    localrule: True
    input:
        study=ancient("results/{study}/study.json"),
        records="results/{study}/records.csv",
    output:
        expand("results/{{study}}/figures/{figure}.{kind}", figure=FIGURES, kind=("pdf", "png")),
        report(
            expand("results/{{study}}/figures/{figure}.svg", figure=FIGURES),
            caption="../report/figure.rst",
            category="Figures",
        ),
    params:
        style=studies.digest(STUDY.figures.model_dump()),
    log:
        "results/{study}/logs/figures.log",
    conda:
        "../envs/tausweep.yaml"
    shell:
        "tausweep figures {input.study:q} 2> {log:q}"
