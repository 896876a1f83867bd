# All figures in one job, because starting it takes longer than drawing most of them. They are drawn
# in parallel.


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
    conda:
        "../envs/tausweep.yaml"
    threads: 4
    resources:
        study=STUDY_FILE,
    params:
        style=studies.digest(STUDY.figures.model_dump()),
    shell:
        "tausweep figures {resources.study:q} --threads {threads} 2> {log:q}"
