"""The work of a workflow's jobs, from what each of them makes."""

from __future__ import annotations

from pathlib import Path

from tausweep.commands import cost
from tausweep.commands.planned_work import START, TAKING, PlannedJob, planned_job
from tiny_run import run_settings

COUNT = 130
RUN = "digits/contrastive/0.3/seed0"
FOLDER = f"results/tiny/runs/{RUN}"
SETTINGS = run_settings()
TRAINING = cost.pretraining_operations(SETTINGS, COUNT)
EVALUATION = cost.evaluation_operations(SETTINGS, COUNT)


def job(
    *outputs: str, ahead: bool = False, served: bool = False, of_run: bool = True
) -> PlannedJob:
    settings, run = (SETTINGS, RUN) if of_run else (None, "")
    return planned_job(
        1, "rule", run, outputs, settings, COUNT, needed=True, ahead=ahead, served=served
    )


def test_a_training_and_an_evaluation_are_their_operations_and_a_start() -> None:
    trained = job(f"{FOLDER}/encoder.safetensors", f"{FOLDER}/pretrain.json")
    assert (trained.training, trained.work) == (TRAINING, START + TRAINING)
    measured = job(f"{FOLDER}/record.json")
    assert (measured.training, measured.work) == (0, START + EVALUATION)
    assert measured.record == Path(FOLDER) / "record.json"


def test_the_process_that_trains_a_run_may_measure_it_too() -> None:
    trained = job(f"{FOLDER}/pretrain.json", ahead=True)
    assert trained.work == START + TRAINING + EVALUATION
    assert job(f"{FOLDER}/record.json", ahead=True).work == TAKING


def test_a_rule_that_makes_nothing_is_no_work_and_others_a_start() -> None:
    assert job(of_run=False).work == 0
    assert job("results/tiny/report.html", of_run=False).work == START


def test_a_forked_process_of_a_run_starts_at_once() -> None:
    assert job(f"{FOLDER}/pretrain.json", served=True).work == TAKING + TRAINING
    assert job(f"{FOLDER}/record.json", served=True).work == TAKING + EVALUATION
    assert job(f"{FOLDER}/record.json", served=True, ahead=True).work == TAKING
    assert job("results/tiny/report.html", served=True, of_run=False).work == START
