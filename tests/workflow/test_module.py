"""The workflow as a module of another Snakefile: its study is the module's own `config`."""

from __future__ import annotations

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from checkout import LONE, REPOSITORY, RUNS, TINY, Checkout, DryRuns, jobs_of

OTHER = TINY | {"study": "other", "losses": {"simple": None}}
WHOLE = {
    "study other", "collect", "claims", "figures", "tables", "report", "all",
    f"pretrain {LONE}", f"evaluate {LONE}",
}  # fmt: skip


def write_snakefile(
    checkout: Checkout, config: str, name: str = "tausweep", use: str = "", more: str = ""
) -> None:
    """The user's Snakefile: the module, and the rules that are used of it."""
    with (checkout.folder / "Snakefile").open("a", encoding="utf-8") as file:
        file.write(
            "from tausweep.storage import shipped\n\n\n"
            f"module {name}:\n    snakefile: shipped.snakefile()\n    config: {config}\n{more}\n\n"
            f"use rule * from {name}{use}\n\n\n"
        )


def inline(study: dict[str, Any]) -> str:
    return repr(json.loads(json.dumps(study)))


def ran(said: str) -> set[str]:
    """Jobs of a dry run, those of data left out, for their name is a digest."""
    return {job for job in jobs_of(said) if not job.startswith("prepare")}


def test_inline_config_is_the_study_whatever_files_the_command_has(
    checkout: Checkout, dry: DryRuns
) -> None:
    shutil.rmtree(checkout.folder / "results/store")
    write_snakefile(checkout, inline(OTHER))
    said = dry(checkout, "--quiet", "progress")
    assert {job.split()[0] for job in jobs_of(said)} == {job.split()[0] for job in WHOLE}
    assert {f"pretrain {LONE}", f"evaluate {LONE}"} <= ran(said)
    assert f"pretrain {RUNS[0]}" not in ran(said)


def test_finished_runs_are_finished_for_a_module_too(checkout: Checkout, dry: DryRuns) -> None:
    """As `snakedeploy` writes it: the configuration of the command, handed on."""
    write_snakefile(checkout, "config")
    assert dry.jobs(checkout) == set()
    changed = copy.deepcopy(TINY)
    changed["knn"]["k"] = 7
    checkout.write_study(changed)
    assert dry.jobs(checkout) == {"collect", "study", *(f"evaluate {run}" for run in RUNS)}


def test_outdated_results_are_made_again_where_they_are_asked_for(
    checkout: Checkout, dry: DryRuns
) -> None:
    """Where Snakemake has no memory of them, they say themselves what they were made of."""
    (checkout.folder / ".snakemake").rename(checkout.folder / "forgotten")
    changed = copy.deepcopy(TINY)
    changed["pretrain"]["epochs"] = 21
    write_snakefile(checkout, inline(changed))
    snakefile = checkout.folder / "Snakefile"
    snakefile.write_text(
        snakefile.read_text()
        + "rule mine:\n    output: 'results/mine.txt'\n    shell: 'touch {output}'\n"
    )
    assert f"pretrain {LONE}" in dry.jobs(checkout)
    assert jobs_of(dry(checkout, "results/mine.txt")) == {"mine"}


def test_two_studies_in_one_snakefile(tmp_path: Path, dry: DryRuns) -> None:
    """Rules are renamed, and data that both have are made by the one that is named first."""
    checkout = Checkout.new(tmp_path / "checkout")
    write_snakefile(checkout, inline(TINY), "a", " as a_*")
    write_snakefile(checkout, inline(OTHER), "b", " as b_*")
    snakefile = checkout.folder / "Snakefile"
    snakefile.write_text(
        "ruleorder: a_prepare > b_prepare\n\n\n"
        + snakefile.read_text()
        + "rule both:\n    default_target: True\n    input: rules.a_all.input, rules.b_all.input\n"
    )
    jobs = {job.partition(" ")[0] for job in jobs_of(dry(checkout))}
    assert {"a_pretrain", "b_pretrain", "a_report", "b_report", "a_prepare", "both"} <= jobs
    assert "b_prepare" not in jobs


@pytest.mark.parametrize(
    ("config", "more", "says"),
    [
        (
            '{"study": "x", "sedes": [0]}',
            "",
            "module tausweep, config sedes: unknown key; did you mean seeds",
        ),
        (
            '{"study": "x", "losses": {"simple": None}}',
            "",
            "module tausweep, config: datasets: is required but missing",
        ),
        (
            '{"study": "x"}',
            "    prefix: 'there'",
            "module tausweep: takes neither prefix nor replace_prefix",
        ),
    ],
)
def test_what_a_module_cannot_be_given_is_refused_in_a_sentence(
    config: str, more: str, says: str, checkout: Checkout, dry: DryRuns
) -> None:
    write_snakefile(checkout, config, more=more)
    said = dry(checkout, code=2)
    assert f"tausweep: error: {says}" in said
    assert "Traceback" not in said


def test_rules_of_the_caller_use_a_study_s_records(tmp_path: Path) -> None:
    """A study of one run is trained and measured, by a Snakefile in a folder with nothing else."""
    checkout = Checkout.new(tmp_path / "checkout")
    write_snakefile(checkout, inline(OTHER | {"pretrain": {"epochs": 2, "batch_size": 32}}))
    snakefile = checkout.folder / "Snakefile"
    snakefile.write_text(
        snakefile.read_text() + "rule mine:\n    input: 'results/other/records.csv'\n"
        "    output: 'mine.txt'\n    shell: 'wc -l < {input} > {output}'\n"
    )
    code, said = checkout.run("snakemake", "--cores", "2", "mine.txt")
    assert code == 0, said
    assert (checkout.folder / "mine.txt").read_text().strip() == "2"


def test_the_documented_snakefile_is_planned(tmp_path: Path) -> None:
    text = (REPOSITORY / "config/README.md").read_text("utf-8")
    code = text.partition("```python\n")[2].partition("```")[0]
    command = re.search(r"^snakemake .*$", text, re.MULTILINE)
    assert command is not None
    checkout = Checkout.new(tmp_path / "checkout")
    (checkout.folder / "Snakefile").write_text(code)
    code_of, said = checkout.run(*command[0].split(), "--dry-run")
    assert code_of == 0, said
    assert "pretrain digits/simple/none/seed1" in jobs_of(said)
