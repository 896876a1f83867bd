"""State of every run, read from files alone; the partial table says the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tiny_run
from tausweep.commands import partial, status
from tausweep.report.tables.cells import Cells
from tausweep.results import records
from tausweep.results.cells import Key
from tausweep.storage import provenance
from tausweep.storage.atomic import write_json
from tausweep.storage.layout import Layout
from tausweep.storage.run_lock import run_lock
from tausweep.study import Run, Study, load, parse

STUDY = tiny_run.STUDY | {
    "seeds": [0, 1],
    "losses": {"contrastive": {"temperature": [0.1, 1.0]}, "simple": None},
}
DATA = "d" * 64


def today() -> str:
    return f"{provenance.code_version('pretrain')}-{provenance.code_version('evaluate')}"


def write_record(run: Run, layout: Layout, **columns: Any) -> Path:
    """A record of today's settings, data and code, except for the given columns."""
    content = records.record(
        run,
        status="diverged",
        measured={},
        pretrain={
            "hardware": {"device": "cpu", "threads": 1},
            "train_loss": None,
            "images_per_second": 10.0,
            "bank_size": 1437,
            "hard_set_size": None,
            "seconds": 1.0,
            "data_digest": DATA,
        },
        evaluate={},
        code_version=today(),
    )
    content["columns"] |= {"status": "complete", **columns}
    path = layout.run(run) / "record.json"
    write_json(path, content)
    return path


def write_log(run: Run, layout: Layout, text: str) -> Path:
    path = layout.log(run, "pretrain")
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def study() -> Study:
    return parse(STUDY)


@pytest.fixture
def layout(tmp_path: Path, study: Study) -> Layout:
    layout = Layout(tmp_path / "results")
    manifest = layout.prepared(study.runs()[0].settings.dataset) / "manifest.json"
    write_json(manifest, {"digest": DATA})
    return layout


def states(study: Study, layout: Layout) -> dict[str, status.RunState]:
    return {state.run.id: state for state in status.states(study, layout)}


def test_new_study_is_missing_all(study: Study, layout: Layout) -> None:
    assert {s.state for s in status.states(study, layout)} == {"missing"}
    assert "study tiny: 6 runs: 6 missing" in status.describe(study, layout)


def test_results_of_today_are_done_and_divergence_is_a_result(study: Study, layout: Layout) -> None:
    first, second = study.runs()[:2]
    write_record(first, layout)
    write_record(second, layout, status="diverged")
    found = states(study, layout)
    assert (found[first.id].state, found[second.id].state) == ("complete", "diverged")


def test_a_collapsed_run_is_complete_and_named(study: Study, layout: Layout) -> None:
    first, second = study.runs()[:2]
    write_record(first, layout, collapsed=1)
    write_record(second, layout, collapsed=0)
    described = status.describe(study, layout)
    assert "2 complete" in described
    named = described.split("collapsed: complete, but all test embeddings are one point\n")[1]
    assert named.split("\n\n")[0] == f"  {first.id}"


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("settings_digest", "0" * 16, "other settings"),
        ("data_digest", "e" * 64, "other data"),
    ],
)
def test_record_of_other_settings_or_data_is_stale(
    column: str, value: str, reason: str, study: Study, layout: Layout
) -> None:
    run = study.runs()[0]
    write_record(run, layout, **{column: value})
    state = states(study, layout)[run.id]
    assert state.state == "stale"
    assert reason in state.detail
    described = status.describe(study, layout)
    assert reason in described
    assert "redoes runs with" in described
    assert "--forcerun" not in described


@pytest.mark.parametrize("stage", ["pretrain", "evaluate"])
@pytest.mark.parametrize("outcome", ["complete", "diverged"])
def test_record_of_other_code_counts_and_is_named(
    stage: str, outcome: str, study: Study, layout: Layout
) -> None:
    run, second = study.runs()[:2]
    theirs = [provenance.code_version("pretrain"), provenance.code_version("evaluate")]
    theirs[stage == "evaluate"] = "000000000000"
    write_record(run, layout, status=outcome, code_version="-".join(theirs))
    write_record(second, layout)
    state = states(study, layout)[run.id]
    assert (state.state, state.other_code) == (outcome, True)
    assert not states(study, layout)[second.id].other_code
    described = status.describe(study, layout)
    named = described.split("made by other code: ")[1].split("\n\n")[0].splitlines()
    assert named[1].startswith(f"  {run.id}  other code of {stage} (000000000000, now ")
    # Nothing is trained again for another code of the measures.
    name = "pretrain.json" if stage == "pretrain" else "record.json"
    assert (
        named[2]
        == f"  to redo one: snakemake --configfile STUDY --forcerun {layout.run(run) / name}"
    )
    assert len(named) == 3
    found = partial.rows(study, layout)
    assert [row["status"] for row in found[:2]] == [outcome, "complete"]
    said = partial.coverage(found)
    assert said.startswith("partial: 2 of 6 runs (1 made by other code than today's); ")


def test_pretrained_run_without_a_record_has_the_numbers_that_are_there(
    study: Study, layout: Layout
) -> None:
    run, bare, other = study.runs()[:3]
    described = {
        "hardware": {"device": "cuda", "threads": 6}, "train_loss": 1.5, "data_digest": DATA,
        "images_per_second": 10.0, "bank_size": 130, "hard_set_size": None, "seconds": 1.0,
        "code_version": "c",
    }  # fmt: skip
    for one in (run, bare, other):
        digest = "0" * 16 if one is other else one.settings.pretrain_digest
        write_json(layout.run(one) / "pretrain.json", described | {"settings_digest": digest})
    (layout.run(run) / "encoder.safetensors").touch()
    write_json(layout.run(run) / "knn.json", {"made_of": "m", "values": {"accuracy": 70.0}})
    found = states(study, layout)
    assert {found[one.id].state for one in (run, bare)} == {"pretrained"}
    assert found[run.id].detail == "not fully evaluated; has knn"
    assert found[bare.id].detail.startswith("not evaluated; its weights are missing")
    assert found[other.id].state == "missing"
    said = partial.collect(study, layout, layout.root / "partial.csv")
    assert said == "partial: 0 of 6 runs; 4 missing, 2 pretrained"
    table = records.read_table(layout.root / "partial.csv")
    assert list(table["status"][:3]) == ["pretrained", "pretrained", "missing"]
    assert list(table["knn_accuracy"].dropna()) == [70.0]
    assert list(table["train_loss"].dropna()) == [1.5, 1.5]
    # Cells are made of finished runs.
    assert Cells(table).cell(Key("digits", "contrastive", 0.1), "knn_accuracy").summary.n == 0


def test_what_the_gpu_visit_left_is_shown_as_what_it_is() -> None:
    root = Path(__file__).parents[2]
    study = load(root / "benchmarks/cifar10-paper.yaml")
    found = partial.rows(study, Layout(root / "benchmarks/measured"))
    shown = {row["loss"]: row for row in found if row["status"] == "pretrained"}
    assert {row["status"] for row in found} == {"pretrained", "missing"}
    assert {(r["loss"], r["temperature"]) for r in found if r["status"] == "pretrained"} == {
        ("contrastive", 0.07), ("contrastive", 0.3), ("simple", None),
    }  # fmt: skip
    assert "linear_accuracy" not in shown["simple"]
    assert [r["knn_accuracy"] for r in found if r.get("knn_accuracy")] == [73.67]


def test_absent_results_folder_is_said(study: Study, tmp_path: Path) -> None:
    said = status.describe(study, Layout(tmp_path / "elsewhere"))
    assert "there is no folder" in said
    assert "missing" not in said


def test_deleted_prepared_data_make_no_record_stale(study: Study, layout: Layout) -> None:
    run = study.runs()[0]
    write_record(run, layout)
    (layout.prepared(run.settings.dataset) / "manifest.json").unlink()
    assert states(study, layout)[run.id].state == "complete"


def test_running_run_shows_its_last_progress_and_process(study: Study, layout: Layout) -> None:
    run = study.runs()[0]
    write_log(
        run, layout, "epoch 1/9  loss 2  9 images/s  0:30 left\nepoch 2/9  loss 1  0:20 left\n"
    )
    with run_lock(layout.run(run)):
        state = states(study, layout)[run.id]
    assert state.state == "running"
    assert state.detail.startswith("epoch 2/9  loss 1  0:20 left")
    assert f"process {os.getpid()} on" in state.detail


def test_failed_run_shows_its_log_and_last_lines(study: Study, layout: Layout) -> None:
    run = study.runs()[0]
    log = write_log(run, layout, "one\ntwo\nthree\n\ntausweep: error: knn.k: 9 is too many\n")
    described = status.describe(study, layout)
    assert "1 failed" in described
    assert str(log) in described
    assert "      tausweep: error: knn.k: 9 is too many" in described
    assert "      one" not in described


def test_crash_without_a_sentence_is_a_failure_too(study: Study, layout: Layout) -> None:
    run = study.runs()[0]
    write_log(run, layout, "Traceback (most recent call last):\nMemoryError\n")
    assert states(study, layout)[run.id].state == "failed"


def test_interrupted_run_is_missing_and_goes_on_at_its_checkpoint(
    study: Study, layout: Layout
) -> None:
    run = study.runs()[0]
    write_log(
        run,
        layout,
        "epoch 3/9  loss 2.0\ntausweep: error: stopped and saved at epoch 4, step 1; start again\n",
    )
    layout.run(run).mkdir(parents=True)
    (layout.run(run) / "checkpoint.safetensors").touch()
    state = states(study, layout)[run.id]
    assert state.state == "missing"
    assert state.detail == "interrupted after epoch 3/9, resumes there"


def test_truncated_record_is_a_failure_with_a_remedy(study: Study, layout: Layout) -> None:
    path = write_record(study.runs()[0], layout)
    path.write_text(path.read_text()[:50])
    state = states(study, layout)[study.runs()[0].id]
    assert state.state == "failed"
    assert "delete it" in state.lines[0]


def test_disk_use_is_counted_by_kind(study: Study, layout: Layout) -> None:
    folder = layout.run(study.runs()[0])
    folder.mkdir(parents=True)
    (folder / "encoder.safetensors").write_bytes(b"x" * 5000)
    (folder / "encoder-epoch50.safetensors").write_bytes(b"x" * 4000)
    (folder / "checkpoint.previous.safetensors").write_bytes(b"x" * 300)
    (folder / "history.csv").write_bytes(b"x" * 20)
    used = status.disk(study, layout)
    assert (used["encoders"], used["checkpoints"], used["other"]) == (9000, 300, 20)
    assert "encoders 9 kB" in status.describe(study, layout)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (2.5e9, "2.5 GB"), (3e15, "3e+03 TB")],
)
def test_sizes_are_decimal(count: float, text: str) -> None:
    assert status.size(count) == text


def test_many_runs_of_a_state_are_counted_not_listed(layout: Layout) -> None:
    study = parse(STUDY | {"seeds": list(range(50))})
    described = status.describe(study, layout)
    assert "and 130 more" in described
    assert len(described.splitlines()) < 40


def test_partial_table_has_every_run_and_says_what_it_covers(study: Study, layout: Layout) -> None:
    complete, diverged, stale, failed, running, _ = study.runs()
    write_record(complete, layout, knn_accuracy=50.0)
    write_record(diverged, layout, status="diverged")
    write_record(stale, layout, settings_digest="0" * 16, knn_accuracy=40.0)
    write_log(failed, layout, "tausweep: error: no\n")
    with run_lock(layout.run(running)):
        said = partial.collect(study, layout, layout.root / "partial.csv")
    assert said == "partial: 2 of 6 runs; 1 diverged, 1 failed, 2 missing, 1 stale"
    table = records.read_table(layout.root / "partial.csv")
    assert list(table["status"]) == [
        "complete", "diverged", "stale", "failed", "missing", "missing",
    ]  # fmt: skip
    assert list(table["knn_accuracy"].dropna()) == [50.0, 40.0]
    assert list(table["seed"]) == [0, 1, 0, 1, 0, 1]


def test_partial_table_of_a_finished_study_is_the_whole_one(study: Study, layout: Layout) -> None:
    for run in study.runs():
        write_record(run, layout)
    rows = partial.rows(study, layout)
    assert partial.coverage(rows) == "whole: 6 of 6 runs"
    whole = [
        json.loads((layout.run(r) / "record.json").read_text())["columns"] for r in study.runs()
    ]
    assert records.table(rows) == records.table(whole)


def test_status_needs_no_torch() -> None:
    code = "import sys\nfrom tausweep.commands import clean, export, partial, status\n"
    code += "assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_json_says_of_every_run_what_the_text_says(study: Study, layout: Layout) -> None:
    runs = study.runs()
    write_record(runs[0], layout, settings_digest="other")
    write_record(runs[1], layout, code_version="other-code")
    log = write_log(runs[2], layout, "one\ntausweep: error: the disk is full\n")
    found = status.values(study, layout)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["study"] == study.study
    assert sum(found["counts"].values()) == len(found["runs"]) == len(runs)
    by_id = {run["run"]: run for run in found["runs"]}
    assert by_id[runs[0].id]["state"] == "stale"
    assert by_id[runs[0].id]["detail"] == "other settings"
    assert by_id[runs[1].id] | {"detail": ""} == {
        "run": runs[1].id, "state": "complete", "detail": "", "collapsed": False,
        "other_code": True, "log": None, "log_lines": [],
    }  # fmt: skip
    assert by_id[runs[2].id]["state"] == "failed"
    assert by_id[runs[2].id]["log"] == str(log)
    assert by_id[runs[2].id]["log_lines"][-1] == "tausweep: error: the disk is full"
    assert by_id[runs[3].id]["state"] == "missing"
