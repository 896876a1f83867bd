# Small runs share a GPU: one job trains and evaluates the whole study, several runs at once in one
# process (`tausweep fill`), and a second command makes what depends on the records:
#     snakemake filled --workflow-profile slurm --configfile STUDY --config at_once=4
#     snakemake --workflow-profile slurm --configfile STUDY
# It declares no output, because Snakemake would delete the outputs of a failed job, including those of
# finished runs. Runs are saved and resumed as usual.


# Part of the job's time that is reserved for evaluations and its start.
FILL_MARGIN_SECONDS = 600


rule filled:
    input:
        [f"results/data/{prepared}/manifest.json" for prepared in DATASETS],
    log:
        f"results/{STUDY.study}/logs/fill.log",
    conda:
        "../envs/tausweep.yaml"
    threads: 1
    resources:
        study=STUDY_FILE,
        gpu=1,
        mem_mb=fill_memory_mb,
        runtime=fill_minutes,
    params:
        at_once=AT_ONCE,
        seconds=lambda wildcards, resources: max(
            60, 60 * resources.runtime - FILL_MARGIN_SECONDS
        ),
    shell:
        "exec tausweep fill {resources.study:q} --at-once {params.at_once} --partial"
        " --seconds {params.seconds} --threads {threads} 2> {log:q}"
