"""Every run stands with its status, its digest and what made it."""

from __future__ import annotations

from pathlib import Path

import frames
from report_page import page_of, records_of, study_of, text_of, write_record


def test_every_run_stands_with_its_settings_digest(complete: str) -> None:
    runs = study_of().runs()
    assert complete.count('<details class="run complete">') == len(runs)
    for run in runs:
        assert f"<code>{run.settings.digest}</code>" in complete
        assert f"<code>{run.id}</code>" in complete


def test_a_missing_cell_is_named_with_the_command_that_fills_it(tmp_path: Path) -> None:
    study = study_of()
    frame = records_of(study)
    gone = (frame["loss"] == "contrastive") & (frame["temperature"] == 0.3)
    text = text_of(page_of(study, frame[~gone], tmp_path))
    assert "Not finished. 27 of 30 runs are complete" in text
    assert "CIFAR10, contrastive: τ = 0.3, seeds 0, 1, 2" in text
    assert "snakemake --configfile my/study.yaml" in text
    record = tmp_path / "synthetic/runs/cifar10/contrastive/0.3/seed1/record.json"
    assert f"snakemake {record} --configfile my/study.yaml" in text
    assert "3 of 30 runs have no result" in text


def test_failed_and_stale_runs_are_told_from_missing_ones(tmp_path: Path) -> None:
    study = study_of()
    frame = frames.mark(records_of(study), "failed", loss="simple", seed=1)
    frame = frames.mark(frame, "missing", loss="hard_simple", seed=2)
    other = (frame["loss"] == "contrastive") & (frame["temperature"] == 0.7) & (frame["seed"] == 0)
    frame.loc[other, "settings_digest"] = "0123456789abcdef"
    text = text_of(page_of(study, frame, tmp_path))
    assert "27 complete, 1 failed, 1 stale, 1 missing" in text
    assert "Failed: 1 run" in text
    assert f"logs in {tmp_path}/synthetic/logs/cifar10/simple/none/seed1" in text
    assert "Missing: 1 run" in text
    assert "Stale: 1 run" in text
    assert "0123456789abcdef in the record" in text


def test_provenance_is_shown_once_an_environment(tmp_path: Path) -> None:
    study = study_of()
    ids = [run.id for run in study.runs()]
    for run_id in ids[:3]:
        write_record(tmp_path / "synthetic", run_id)
    write_record(tmp_path / "synthetic", ids[3], python="3.12.1", commit="1" * 40 + "+")
    html = page_of(study, records_of(study), tmp_path)
    text = text_of(html)
    assert html.count('<details class="environment"') == 2
    assert html.count('href="#environment-A"') == 6
    assert html.count('href="#environment-B"') == 2
    assert f"tausweep pretrain study.yaml --run {ids[0]}" in text
    assert "2026-01-02 03:04:05 to 2026-01-02 03:14:05 UTC" in text
    assert "Uncommitted code" in text
    assert f"environment B: {'1' * 40}+" in text
    assert "Mixed packages" in text


def test_a_damaged_record_is_named_and_the_page_comes_out(tmp_path: Path) -> None:
    study = study_of()
    run_id = study.runs()[0].id
    write_record(tmp_path / "synthetic", run_id)
    path = tmp_path / "synthetic" / "runs" / run_id / "record.json"
    path.write_text(path.read_text(encoding="utf-8")[:40], encoding="utf-8")
    text = text_of(page_of(study, records_of(study), tmp_path))
    assert "Damaged records" in text
    assert f"{path}: is damaged or not a record" in text
