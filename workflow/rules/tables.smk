# Table 1 and the full sweep in every format, in one job, because starting it takes longer than that.

TABLES = ("table1", "full")


rule tables:
    input:
        records="results/{study}/records.csv",
    output:
        expand(
            "results/{{study}}/tables/{table}.{kind}",
            table=TABLES,
            kind=("csv", "md", "tex"),
        ),
        [
            report(
                f"results/{{study}}/tables/{table}.html",
                caption=f"../report/{table}.rst",
                category="Tables",
                labels={"table": table},
            )
            for table in TABLES
        ],
    log:
        "results/{study}/logs/tables.log",
    localrule: True
    conda:
        "../envs/tausweep.yaml"
    resources:
        study=STUDY_FILE,
    shell:
        "tausweep tables {resources.study:q} 2> {log:q}"
