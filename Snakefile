"""From a study file to the paper's tables, figures and verdicts.

    snakemake                                        # the demo: minutes on two CPU cores
    snakemake --configfile benchmarks/paper.yaml     # the paper

The study file is read by `tausweep.study`, here and in every command.
"""

import re
import shlex
import sys
from fnmatch import fnmatch
from pathlib import Path

from snakemake.jobs import jobfiles
from snakemake.persistence import PersistenceBase
from snakemake.utils import min_version

from tausweep import study as studies
from tausweep.commands import configuration, cost, plan, targets
from tausweep.model.footprint import forward_flops
from tausweep.report import figures
from tausweep.storage import folder_lock, layout

min_version("9.19")

# Rules use the commands of the Python that runs Snakemake, even if it is not activated.
BIN = (
    shlex.quote(str(Path(sys.executable).parent)).replace("{", "{{").replace("}", "}}")
)
shell.prefix(f"export PATH={BIN}:$PATH; ")


report: "workflow/report/workflow.rst"


include: "workflow/rules/study.smk"
include: "workflow/rules/resolve.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/fill.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/report.smk"


# Every file that a user may delete is named: Snakemake takes no notice of a missing one between two
# that are there.
rule all:
    default_target: True
    input:
        expand("results/{study}/study.json", study=STUDY.study),
        expand("results/{study}/runs/{run}/record.json", study=STUDY.study, run=RUNS),
        expand("results/{study}/records.csv", study=STUDY.study),
        expand(ALONG, study=STUDY.study),
        expand("results/{study}/tables/{table}.csv", study=STUDY.study, table=TABLES),
        expand("results/{study}/figures/{name}.svg", study=STUDY.study, name=FIGURES),
        expand("results/{study}/claims.json", study=STUDY.study),
        expand("results/{study}/report.html", study=STUDY.study),
    localrule: True
