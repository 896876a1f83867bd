"""Runs belong to their settings: studies share them, one after the other and at the same moment."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from checkout import LONE, RUNS, TINY, Checkout, DryRuns, jobs_of

RENAMED = TINY | {"study": "renamed"}
STUDY_LEVEL = {"study", "collect"}
FORCED = f"results/renamed/runs/{LONE}/pretrain.json"


def tausweep(checkout: Checkout, *arguments: str, code: int = 0) -> str:
    ended, said = checkout.run("python", "-m", "tausweep.cli", *arguments)
    assert ended == code, said
    return said


def read(checkout: Checkout, study: str) -> str:
    """What the training of the lone run said, for a study."""
    path = checkout.folder / f"results/{study}/logs/{LONE}/pretrain.log"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def two_studies(lone: Checkout, folder: Path) -> Checkout:
    """The lone run in a study `one` and in a study `two`, neither begun."""
    checkout = lone.copy(folder)
    text = (checkout.folder / "study.yaml").read_text(encoding="utf-8")
    for name in ("one", "two"):
        named = text.replace("study: tiny", f"study: {name}")
        (checkout.folder / f"{name}.yaml").write_text(named, encoding="utf-8")
    return checkout


def command(checkout: Checkout, study: str) -> list[str]:
    return checkout.command("--cores", "1", checkout.records(study), study=f"{study}.yaml")


def test_a_renamed_study_runs_nothing_and_has_the_same_results(
    checkout: Checkout, dry: DryRuns
) -> None:
    checkout.write_study(RENAMED, "renamed.yaml")
    said = dry(checkout, study="renamed.yaml")
    assert "renamed: took 2 finished runs from results/store" in said
    assert dry.jobs(checkout, study="renamed.yaml") == STUDY_LEVEL
    targets = ("results/renamed/study.json", checkout.records("renamed"))
    checkout.complete("--cores", "1", *targets, study="renamed.yaml")
    assert dry.jobs(checkout, *targets, study="renamed.yaml") == set()
    assert dry.jobs(checkout) == set()
    mine, theirs = checkout.results(), checkout.results("renamed")
    assert {name: theirs[name] for name in theirs if name.startswith("runs/")} == {
        name: mine[name] for name in mine if name.startswith("runs/")
    }
    assert theirs["records.csv"] == mine["records.csv"].replace(b'"tiny"', b'"renamed"')
    assert "right" in tausweep(checkout, "verify", "renamed.yaml").splitlines()[-1]
    # The old name can go: the runs stay.
    shutil.rmtree(checkout.folder / "results/tiny")
    assert dry.jobs(checkout, *targets, study="renamed.yaml") == set()
    assert "nothing to clean" in tausweep(checkout, "clean", "renamed.yaml")


def test_of_a_study_that_shares_runs_only_the_others_are_planned(
    checkout: Checkout, dry: DryRuns
) -> None:
    study = copy.deepcopy(RENAMED)
    study["losses"]["contrastive"] = {"temperature": [0.1, 0.5]}
    checkout.write_study(study, "wider.yaml")
    new = {f"{rule} pictures/contrastive/0.5/seed0" for rule in ("pretrain", "evaluate")}
    assert dry.jobs(checkout, study="wider.yaml") == new | STUDY_LEVEL
    # With another probe, the trainings alone are shared.
    study["study"], study["linear"] = "probed", {"epochs": 4, "lr": 1.0}
    checkout.write_study(study, "probed.yaml")
    measured = {f"evaluate {run}" for run in RUNS}
    assert dry.jobs(checkout, study="probed.yaml") == new | measured | STUDY_LEVEL


def test_a_study_with_two_names_for_one_dataset_trains_on_it_once(
    checkout: Checkout, dry: DryRuns
) -> None:
    study: dict[str, Any] = copy.deepcopy(RENAMED)
    pictures = study["datasets"]["pictures"]
    study["datasets"] = {"one": pictures, "two": copy.deepcopy(pictures)}
    study["losses"] = {"simple": None}
    checkout.write_study(study, "twice.yaml")
    assert dry.jobs(checkout, study="twice.yaml") == STUDY_LEVEL


def test_what_is_forced_in_one_study_is_done_again_and_changes_no_other(
    checkout: Checkout, dry: DryRuns
) -> None:
    checkout.write_study(RENAMED, "renamed.yaml")
    before = {
        path: path.read_bytes()
        for path in (checkout.folder / "results/tiny").rglob("*")
        if path.is_file()
    }
    planned = dry.jobs(checkout, "--forcerun", FORCED, study="renamed.yaml")
    assert planned == {f"pretrain {LONE}", f"evaluate {LONE}"} | STUDY_LEVEL
    targets = ("--cores", "1", checkout.records("renamed"))
    checkout.complete(*targets, "--forcerun", FORCED, study="renamed.yaml")
    assert "epoch 20/20" in read(checkout, "renamed")
    assert {path: path.read_bytes() for path in before} == before
    assert not list((checkout.folder / "results/renamed").rglob("*/.re[tm]*"))
    mine, theirs = checkout.results(), checkout.results("renamed")
    assert theirs["records.csv"] == mine["records.csv"].replace(b'"tiny"', b'"renamed"')
    assert dry.jobs(checkout) == set()


def test_results_of_an_earlier_version_are_shared_after_one_command(
    checkout: Checkout, dry: DryRuns
) -> None:
    shutil.rmtree(checkout.folder / "results/store")
    checkout.write_study(RENAMED, "renamed.yaml")
    assert f"pretrain {LONE}" in dry.jobs(checkout, study="renamed.yaml")
    said = tausweep(checkout, "migrate", "--dry-run")
    assert said == "tiny: 2 trainings and 2 finished runs would enter the store\n"
    assert not (checkout.folder / "results/store").exists()
    before = checkout.results()
    said = tausweep(checkout, "migrate")
    assert said == "tiny: 2 trainings and 2 finished runs entered the store\n"
    assert checkout.results() == before
    assert tausweep(checkout, "migrate") == "tiny: nothing that the store lacks\n"
    assert dry.jobs(checkout) == set()
    assert dry.jobs(checkout, study="renamed.yaml") == STUDY_LEVEL


def test_two_studies_that_start_at_the_same_moment_train_their_run_once(
    lone: Checkout, lone_results: dict[str, bytes], tmp_path: Path
) -> None:
    checkout = two_studies(lone, tmp_path / "two")
    started = [checkout.start(command(checkout, name)) for name in ("one", "two")]
    for process in started:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    texts = [read(checkout, name) for name in ("one", "two")]
    assert sorted("epoch 40/40" in text for text in texts) == [False, True]
    (waited,) = (text for text in texts if "epoch 40/40" not in text)
    assert f"still writes this run ({LONE} of " in waited
    assert "already pretrained, taken from results/store" in waited
    for name in ("one", "two"):
        found = checkout.results(name)
        assert found.pop("records.csv") == lone_results["records.csv"].replace(
            b'"tiny"', f'"{name}"'.encode()
        )
        assert found == {k: v for k, v in lone_results.items() if k != "records.csv"}


def test_a_study_goes_on_where_another_was_killed(
    lone: Checkout, lone_results: dict[str, bytes], tmp_path: Path
) -> None:
    checkout = two_studies(lone, tmp_path / "killed")
    process = checkout.start(command(checkout, "one"))
    until = time.monotonic() + 120
    while "epoch 5/" not in read(checkout, "one"):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    code, said = checkout.run(*command(checkout, "two"))
    assert code == 0, said
    text = read(checkout, "two")
    assert "resumed at epoch " in text
    assert int(text.split("resumed at epoch ")[1].split(",")[0]) >= 5
    runs = {name: data for name, data in lone_results.items() if name.startswith("runs/")}
    assert {n: d for n, d in checkout.results("two").items() if n.startswith("runs/")} == runs
    # The first takes what it had begun.
    checkout.complete("--unlock", study="one.yaml")
    checkout.complete("--cores", "1", checkout.records("one"), study="one.yaml")
    assert {n: d for n, d in checkout.results("one").items() if n.startswith("runs/")} == runs


def test_a_dry_run_of_results_that_cannot_be_written_still_plans(
    checkout: Checkout, dry: DryRuns
) -> None:
    checkout.write_study(RENAMED, "renamed.yaml")
    # Stands for a folder that cannot be written, which it can by the user of the tests.
    (checkout.folder / f"results/renamed/runs/{RUNS[0]}/lock.json").mkdir(parents=True)
    said = dry(checkout, study="renamed.yaml")
    assert "no run was taken from the store: " in said
    assert f"pretrain {LONE}" in jobs_of(said)
