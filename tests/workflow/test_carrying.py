"""Results that come home by an archive or a folder: what is planned then, and what is refused."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from checkout import LONE, RUNS, TINY, Checkout, DryRuns

PRETRAIN = {f"pretrain {run}" for run in RUNS}
EVALUATE = {f"evaluate {run}" for run in RUNS}


def tausweep(checkout: Checkout, *arguments: str, code: int = 0) -> str:
    ended, said = checkout.run("python", "-m", "tausweep.cli", *arguments)
    assert ended == code, said
    return said


@pytest.fixture
def home(checkout: Checkout) -> Checkout:
    """A checkout that has neither results nor Snakemake's memory; the results are in `away`."""
    tausweep(checkout, "export", "study.yaml", "tiny.tar.gz")
    (checkout.folder / "results").rename(checkout.folder / "away")
    shutil.rmtree(checkout.folder / ".snakemake")
    return checkout


def test_imported_results_plan_what_differs_and_nothing_else(home: Checkout, dry: DryRuns) -> None:
    said = tausweep(home, "import", "tiny.tar.gz")
    assert "2 of 2 runs" in said
    assert "2 without encoder" in said
    assert dry.jobs(home) == set()
    # Data that come later are not newer than what was trained on them elsewhere.
    tausweep(home, "prepare", "study.yaml")
    assert dry.jobs(home) == set()
    study = copy.deepcopy(TINY)
    study["knn"] = {"k": 7}
    home.write_study(study)
    assert dry.jobs(home) >= EVALUATE | {"collect", "study"}
    study["pretrain"]["epochs"] = 21
    home.write_study(study)
    assert dry.jobs(home) == PRETRAIN | EVALUATE | {"collect", "study"}
    study = copy.deepcopy(TINY)
    study["losses"]["nearest_negative"] = None
    home.write_study(study)
    new = "pictures/nearest_negative/none/seed0"
    assert dry.jobs(home) == {f"pretrain {new}", f"evaluate {new}", "collect", "study"}


def test_folder_of_another_machine_is_imported_by_its_study_file(
    home: Checkout, dry: DryRuns
) -> None:
    (home.folder / "away/tiny/study.json").unlink()
    assert "name the study file" in tausweep(home, "import", "away", code=2)
    (home.folder / f"away/tiny/runs/{RUNS[0]}/encoder.safetensors").unlink()
    said = tausweep(home, "import", "away", "study.yaml")
    assert "1 without encoder" in said
    assert RUNS[0] in said
    assert dry.jobs(home) == {"study", "collect"}
    assert "everything that could be checked is right" in tausweep(home, "verify", "study.yaml")
    # Once more, nothing is done twice.
    assert "2 of 2 runs" in tausweep(home, "import", "away", "study.yaml")


def test_records_alone_are_enough_for_their_runs_while_others_are_trained(
    home: Checkout, dry: DryRuns
) -> None:
    for run in RUNS:
        for path in (home.folder / f"away/tiny/runs/{run}").iterdir():
            if path.name != "record.json":
                path.unlink()
    study = copy.deepcopy(TINY)
    study["losses"]["nearest_negative"] = None
    home.write_study(study)
    assert "2 without encoder" in tausweep(home, "import", "away", "study.yaml")
    new = "pictures/nearest_negative/none/seed0"
    planned = {f"pretrain {new}", f"evaluate {new}", "collect", "study"}
    # Data that have to be prepared for the new run were not changed.
    (prepared,) = dry.jobs(home) - planned
    assert prepared.startswith("prepare ")
    tausweep(home, "prepare", "study.yaml")
    assert dry.jobs(home) == planned


def test_copied_results_without_snakemakes_memory_train_nothing_again(
    home: Checkout, dry: DryRuns
) -> None:
    shutil.copytree(home.folder / "away", home.folder / "results", copy_function=shutil.copyfile)
    assert not dry.jobs(home) & PRETRAIN
    study = copy.deepcopy(TINY)
    study["pretrain"]["epochs"] = 21
    home.write_study(study)
    assert dry.jobs(home) >= PRETRAIN | EVALUATE


def edited_accuracy(folder: Path) -> str:
    record = json.loads((folder / "record.json").read_text())
    record["columns"]["linear_accuracy"] = 99.9
    (folder / "record.json").write_text(json.dumps(record))
    return "record.json: was altered"


def edited_without_digests(folder: Path) -> str:
    edited_accuracy(folder)
    record = json.loads((folder / "record.json").read_text())
    del record["digests"]
    (folder / "record.json").write_text(json.dumps(record))
    return "its linear_accuracy is 99.9, but the run's files say"


def edited_measure(folder: Path) -> str:
    measure = json.loads((folder / "knn.json").read_text())
    measure["values"]["accuracy"] = 99.9
    (folder / "knn.json").write_text(json.dumps(measure))
    return "knn.json: was altered"


def damaged_embeddings(folder: Path) -> str:
    path = folder / "embeddings.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    return "embeddings.safetensors: was altered"


@pytest.mark.parametrize(
    "tamper", [edited_accuracy, edited_without_digests, edited_measure, damaged_embeddings]
)
def test_tampered_results_are_refused_by_name(
    home: Checkout, tamper: Callable[[Path], str]
) -> None:
    expected = tamper(home.folder / f"away/tiny/runs/{LONE}")
    said = tausweep(home, "import", "away", code=2)
    assert f"runs/{LONE}/" in said
    assert expected in said
    assert not (home.folder / "results").exists()
    assert expected in tausweep(home, "verify", "study.yaml", "--results", "away", code=1)


def test_what_is_here_and_differs_is_not_overwritten(home: Checkout) -> None:
    target = home.folder / f"results/tiny/runs/{LONE}/record.json"
    target.parent.mkdir(parents=True)
    target.write_text("mine")
    assert f"{LONE}/record.json: already exists here" in tausweep(home, "import", "away", code=2)
    assert target.read_text() == "mine"
    assert not (home.folder / f"results/tiny/runs/{RUNS[0]}").exists()


def test_deleted_embeddings_are_made_again_though_the_measures_stand(checkout: Checkout) -> None:
    path = checkout.folder / f"results/tiny/runs/{LONE}/embeddings.safetensors"
    whole = path.read_bytes()
    path.unlink()
    tausweep(checkout, "evaluate", "study.yaml", "--run", LONE)
    assert path.read_bytes() == whole
