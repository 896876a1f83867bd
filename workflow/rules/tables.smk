# Table 1 and the full sweep, in every format, in one job: starting it takes longer than making them.

TABLES = ("table1", "full")


rule tables:
    localrule: True
    input:
        study=ancient("results/{study}/study.json"),
        records="results/{study}/records.csv",
    output:
        expand("results/{{study}}/tables/{table}.{kind}", table=TABLES, kind=("csv", "md", "tex")),
        report(
            expand("results/{{study}}/tables/{table}.html", table=TABLES),
            caption="../report/table.rst",
            category="Tables",
        ),
    log:
        "results/{study}/logs/tables.log",
    conda:
        "../envs/tausweep.yaml"
    shell:
        "tausweep tables {input.study:q} 2> {log:q}"
