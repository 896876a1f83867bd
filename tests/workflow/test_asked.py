"""What a Snakemake command names is of the study at hand, and all that it gives is honoured."""

from __future__ import annotations

import copy
import time
from pathlib import Path

import pytest

from checkout import LONE, TINY, Checkout, DryRuns

OTHER = TINY | {"study": "other", "pretrain": {"epochs": 1, "batch_size": 32}}


@pytest.mark.parametrize(
    ("target", "study", "says"),
    [
        (
            f"results/tiny/runs/{LONE}/record.json",
            "other.yaml",
            "belongs to a study tiny, but this",
        ),
        ("results/tiny/records.csv", "other.yaml", "this command is for other (other.yaml)"),
        ("results/tiny/report.html", "benchmarks/demo.yaml", "this command is for demo"),
        ("results/tiny/logs/collect.log", "other.yaml", "belongs to a study tiny"),
        ("results/data/digits-0/manifest.json", "study.yaml", "no dataset of the study tiny"),
        (
            "results/tiny/runs/pictures/contrastive/0.10/seed0/record.json",
            "study.yaml",
            "it is written pictures/contrastive/0.1/seed0",
        ),
        (
            "results/tiny/runs/pictures/simpel/none/seed0/record.json",
            "study.yaml",
            "did you mean pictures/simple/none/seed0",
        ),
    ],
)
@pytest.mark.parametrize("how", ["", "--forcerun", "--until"])
def test_target_that_is_not_of_the_study_is_refused_by_name(
    target: str, study: str, says: str, how: str, checkout: Checkout, dry: DryRuns
) -> None:
    checkout.write_study(OTHER, "other.yaml")
    said = dry(checkout, *([how] if how else ["--cores", "1"]), target, study=study, code=2)
    assert f"tausweep: error: target {target}" in said
    assert says in said
    assert "Traceback" not in said


def test_another_studys_config_deletes_nothing(checkout: Checkout) -> None:
    checkout.write_study(OTHER, "other.yaml")
    before = checkout.results()
    for target in (f"results/tiny/runs/{LONE}/record.json", "results/tiny/records.csv"):
        code, _ = checkout.run(*checkout.command("--cores", "1", target, study="other.yaml"))
        assert code == 2
    for command in ("collect", "resolve"):
        ended, said = checkout.run(
            "python", "-m", "tausweep.cli", command, "other.yaml", "results/tiny/records.csv"
        )
        assert ended == 2, said
        assert "belongs to a study tiny, but the study file is that of other" in said
    assert checkout.results() == before


def test_config_and_further_files_are_honoured(checkout: Checkout, dry: DryRuns) -> None:
    new = {f"{rule} {LONE[:-1]}2" for rule in ("pretrain", "evaluate")} | {
        f"{rule} pictures/contrastive/0.1/seed2" for rule in ("pretrain", "evaluate")
    }
    assert dry.jobs(checkout, "--config", "seeds=[0, 2]") == new | {"study", "collect"}
    checkout.write_study({"losses": {"contrastive": {"temperature": [0.5]}}}, "more.yaml")
    new = {f"{rule} pictures/contrastive/0.5/seed0" for rule in ("pretrain", "evaluate")}
    assert dry.jobs(checkout, more=("more.yaml",)) == new | {"study", "collect"}
    assert dry.jobs(checkout, "--config", "seeds=[0]") == set()
    nested = "pretrain={epochs: 20, batch_size: 32}"
    assert dry.jobs(checkout, "--config", nested) == set()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("selcted=*/simple/*", "--config selcted: unknown key; did you mean select"),
        ("select=*/simple/*", "write `snakemake selected ...`"),
        ("seeds=[zero]", "--config: seeds[0]"),
        ("seeds", "--config seeds: has no value; write --config KEY=VALUE"),
        ("a=1", "--config a: unknown key"),
        ("linear=" + "{a: " * 400 + "1" + "}" * 400, "--config linear: it is nested too deeply"),
    ],
)
def test_config_that_cannot_be_honoured_is_refused(
    given: str, says: str, checkout: Checkout, dry: DryRuns
) -> None:
    said = dry(checkout, "--config", given, code=2)
    assert says in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("profile", "content", "says"),
    [
        ("default", None, "cannot be read: No such file or directory"),
        ("default", b"\xff\xfe", "cannot be read: it is not UTF-8 text"),
        ("default", b"study: " + b"[" * 3000 + b"]" * 3000, "it is nested too deeply"),
        ("slurm", b'{"study": ' + b"[" * 3000 + b"]" * 3000 + b"}", "it is nested too deeply"),
    ],
)
def test_study_that_snakemake_cannot_read_is_refused_in_a_sentence(
    profile: str, content: bytes | None, says: str, finished: Checkout, tmp_path: Path, dry: DryRuns
) -> None:
    """Snakemake reads it first, and ends in up to 4,000 lines of traceback."""
    study = tmp_path / "bad.yaml"
    if content is not None:
        study.write_bytes(content)
    said = dry(finished, "--workflow-profile", profile, study=str(study), code=2)
    assert f"tausweep: error: study file {study}: {says}" in said
    assert "Traceback" not in said


def test_first_of_two_configfiles_is_not_forgotten(checkout: Checkout) -> None:
    checkout.write_study(OTHER, "other.yaml")
    code, said = checkout.run(*checkout.command("--dry-run", "--configfile", "other.yaml"))
    assert code == 2
    assert "name all files after one" in said


def test_merged_study_runs_to_its_table(checkout: Checkout, dry: DryRuns) -> None:
    checkout.write_study({"knn": {"k": 7}}, "more.yaml")
    target = checkout.records()
    command = checkout.command("more.yaml", "--config", "linear={epochs: 2}", "--cores", "2")
    code, said = checkout.run(*command, target)
    assert code == 0, said
    settings = (checkout.folder / f"results/tiny/runs/{LONE}/record.json").read_text()
    assert '"k": 7' in settings
    assert '"epochs": 2' in settings


def test_two_studies_that_need_the_same_data_start_together(lone: Checkout, tmp_path) -> None:  # type: ignore[no-untyped-def]
    checkout = lone.copy(tmp_path / "two")
    (manifest,) = (checkout.folder / "results/data").glob("*/manifest.json")
    manifest.unlink()
    study = copy.deepcopy(TINY) | {"losses": {"simple": None}}
    study["pretrain"] |= {"epochs": 1}
    started = []
    for name in ("one", "two"):
        checkout.write_study(study | {"study": name}, f"{name}.yaml")
        command = checkout.command("--cores", "1", checkout.records(name), study=f"{name}.yaml")
        started.append(checkout.start(command))
        time.sleep(0.2)
    for process in started:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    assert "unlock" not in said
    for name in ("one", "two"):
        assert (checkout.folder / checkout.records(name)).exists()
