# Every figure, in one job: starting it takes longer than drawing most of them. They are drawn side by
# side.


rule figures:
    input:
        records="results/{study}/records.csv",
        along=ALONG,
    output:
        expand(
            "results/{{study}}/figures/{figure}.{kind}",
            figure=FIGURES,
            kind=("pdf", "png"),
        ),
        [
            report(
                f"results/{{study}}/figures/{figure}.svg",
                caption=f"../report/{figure}.rst",
                category="Figures",
                labels={"figure": figures.FIGURES[figure].title},
            )
            for figure in FIGURES
        ],
    log:
        "results/{study}/logs/figures.log",
    localrule: True
    threads: 4
    conda:
        "../envs/tausweep.yaml"
    resources:
        study=STUDY_FILE,
    params:
        style=studies.digest(STUDY.figures.model_dump()),
    shell:
        "tausweep figures {resources.study:q} --threads {threads} 2> {log:q}"
