"""What a reader must know first is said, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import frames
from report_page import page_of, records_of, study_of, text_of
from tausweep.storage import provenance


def test_a_complete_study_of_the_papers_protocol_has_no_cautions(complete: str) -> None:
    text = text_of(complete)
    assert "Nothing to report" in text
    assert "Every setting is the paper’s." in text
    assert "No run is missing: all 30 have their record." in text
    assert "Scaled down" not in text
    assert "Not finished" not in text


def test_copies_of_a_published_datasets_images_are_named(tmp_path: Path) -> None:
    place = tmp_path / "copies"
    for split in ("train", "test"):
        for name in ("a", "b"):
            (place / split / name).mkdir(parents=True)
            (place / split / name / "1.JPG").touch()
            (place / split / name / "2.png").touch()
    source = {"kind": "folder", "path": str(place)}
    study = study_of(datasets={"cifar10": {"source": source}})
    text = text_of(page_of(study, records_of(study), tmp_path))
    assert "Copies of the images. Images come from a folder" in text
    assert "CIFAR10: 4 .jpg, 4 .png; lossy copies" in text
    assert "source of the images the published archive images in a folder" in text
    shutil.rmtree(place)
    text = text_of(page_of(study, records_of(study), tmp_path))
    assert "CIFAR10: the folder no longer exists" in text
    own = study_of(datasets={"birds": {"source": source}})
    assert "Copies of the images" not in text_of(page_of(own, records_of(own), tmp_path))


def test_a_diverged_run_is_a_caution_and_leaves_its_claims_undecided(tmp_path: Path) -> None:
    study = study_of()
    frame = frames.mark(records_of(study), "diverged", loss="contrastive", temperature=0.07, seed=0)
    html = page_of(study, frame, tmp_path)
    assert "Diverged runs. The loss of 1 of 30 runs became infinite or NaN" in text_of(html)
    assert "CIFAR10, contrastive: τ = 0.07, seed 0" in text_of(html)
    first = html.split('<tbody id="C1">')[1].split("</tbody>")[0]
    assert '<span class="word">undecided</span>' in first
    assert "diverged (seed 0)" in first


def test_a_collapsed_run_is_a_caution_and_counts(tmp_path: Path) -> None:
    study = study_of()
    frame = records_of(study).assign(collapsed=0)
    chosen = (
        (frame["loss"] == "contrastive") & (frame["temperature"] == 0.07) & (frame["seed"] == 0)
    )
    frame.loc[chosen, "collapsed"] = 1
    html = page_of(study, frame, tmp_path)
    assert "All test embeddings of 1 of 30 runs are one point" in text_of(html)
    assert "CIFAR10, contrastive: τ = 0.07, seed 0" in text_of(html)
    assert html.count("collapsed ‡") == 1
    assert "30 complete" in text_of(html)


def test_single_seeds_are_a_caution_and_give_no_interval(tmp_path: Path) -> None:
    study = study_of(seeds=[0])
    text = text_of(page_of(study, records_of(study), tmp_path))
    assert "Single seeds. Every cell has only one complete run" in text
    assert "Every cell is a single run, so no comparison is decided" in text


def test_one_single_seed_among_others_is_named(tmp_path: Path) -> None:
    study = study_of(seeds=[0, 1])
    frame = frames.mark(records_of(study), "missing", loss="simple", seed=1)
    text = text_of(page_of(study, frame, tmp_path))
    assert "Single seeds. 1 of 10 cells have only one complete run" in text
    assert "Each cell has 1 to 2 seeds" in text
    # t(0.975, 1) / sqrt 2 = 12.706 / 1.414
    assert "with 2 seeds extend 9.0 standard deviations" in text


@pytest.mark.parametrize("shortfall", [2.0, 2.01])
def test_a_probe_below_the_converged_classifier_is_a_caution(
    tmp_path: Path, shortfall: float
) -> None:
    study = study_of()
    frame = records_of(study)
    frame.loc[4, "linear_accuracy"] = 70.0
    frame.loc[4, "linear_accuracy_converged"] = 70.0 + shortfall
    text = text_of(page_of(study, frame, tmp_path))
    row = frame.loc[4]
    named = f"CIFAR10, contrastive, τ = {row['temperature']:g}, seed {row['seed']}: 70.00%"
    assert (f"{named}, converged 72.01%" in text) == (shortfall > 2)
    assert ("Linear probe below a converged classifier" in text) == (shortfall > 2)


def test_code_of_another_day_is_a_caution_with_the_command_that_redoes_it(tmp_path: Path) -> None:
    study = study_of()
    frame = records_of(study)
    today = provenance.code_version("pretrain"), provenance.code_version("evaluate")
    frame.loc[:5, "code_version"] = f"{today[0]}-000000000000"
    text = text_of(page_of(study, frame, tmp_path))
    assert "Mixed code versions. 2 versions of the numerical code" in text
    assert f"evaluation: 6 of 30 runs; installed: {today[1]}" in text
    assert "pretraining: " not in text
    assert "snakemake --configfile my/study.yaml --forcerun evaluate" in text
    frame["code_version"] = f"000000000000-{today[1]}"
    text = text_of(page_of(study, frame, tmp_path))
    assert "Mixed code versions" not in text
    assert f"pretraining: 30 of 30 runs; installed: {today[0]}" in text
    assert "snakemake --configfile my/study.yaml --forcerun pretrain" in text


def test_mixed_devices_threads_and_data_are_named(tmp_path: Path) -> None:
    study = study_of()
    frame = records_of(study)
    frame.loc[:9, "device"] = "cuda"
    frame.loc[3, "threads"] = 8
    frame.loc[7, "data_digest"] = "f" * 64
    text = text_of(page_of(study, frame, tmp_path))
    assert "Mixed devices" in text
    assert "device cuda: 10 of 30 runs" in text
    assert "threads 8: 1 of 30 runs" in text
    assert "Mixed data. Runs of one dataset were made on different prepared data" in text


def test_rows_of_other_runs_are_named(tmp_path: Path) -> None:
    study = study_of(seeds=[0, 1])
    text = text_of(page_of(study, records_of(study_of()), tmp_path))
    assert "Rows of other runs" in text
    assert "cifar10/contrastive/0.07/seed2" in text
