"""Runs fill a given time in the study's order of worth, and end as they do alone."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from tausweep import study as studies
from tausweep.cli import main
from tausweep.commands import filling as module
from tausweep.commands.filling import Filling, fill
from tausweep.commands.pretrain import pretrain
from tausweep.results import records
from tausweep.storage.layout import Layout
from tausweep.study import StudyError
from tausweep.training.checkpoints import load_tensors, tensors_digest
from tiny_run import study_file

RUNS = ("digits/contrastive/0.3/seed0", "digits/simple/none/seed0")
"""In the order of the study file."""


def study(folder: Path, **changes: Any) -> str:
    """A study file of two runs: 130 images in batches of 32."""
    losses = {"contrastive": {"temperature": 0.3}, "simple": {}}
    short = {"pretrain": {"epochs": 2, "batch_size": 32}, "linear": {"epochs": 2, "lr": 0.05}}
    return study_file(folder, **({"losses": losses} | short | changes))


def filling(seconds: float = 600.0, **changes: Any) -> Filling:
    options: dict[str, Any] = {
        "until": time.monotonic() + seconds, "evaluate_seconds": 120.0, "at_once": 1,
        "device": "cpu", "threads": 1, "partial": False, "compiled": False,
        "checkpoint_seconds": 1e9,
    }  # fmt: skip
    return Filling(**(options | changes))


def begun(said: list[str]) -> list[str]:
    """The runs that were begun, in that order."""
    return [line.partition(":")[0] for line in said if ": begins at" in line]


def test_a_study_is_filled_to_its_last_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = study(tmp_path)
    arguments = ["fill", path, "--results", str(tmp_path), "--seconds", "600", "--device", "cpu"]
    assert main([*arguments, "--at-once", "2"]) == 0
    for run in studies.load(path).runs():
        record = records.read(Layout(tmp_path).run(run) / "record.json")
        assert record["columns"]["settings_digest"] == run.settings.digest
    assert "2 of 2 runs have records" in capsys.readouterr().err
    # Nothing is left to do at the next start.
    said: list[str] = []
    assert fill(path, tmp_path, filling(), say=said.append)
    assert begun(said) == []


def test_stopped_runs_are_saved_and_end_with_the_bytes_of_pretraining_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.Evaluations, "add", lambda self, run: None)
    path = study(tmp_path)
    stops = itertools.count()
    said: list[str] = []
    # Asked once a turn, in which each of both takes a step.
    assert not fill(
        path, tmp_path, filling(at_once=2), say=said.append, stop=lambda: next(stops) >= 3
    )
    assert f"{RUNS[0]}: saved in epoch 1 after step 3" in said
    assert f"{RUNS[1]}: saved in epoch 1 after step 3" in said
    said.clear()
    assert not fill(path, tmp_path, filling(at_once=2), say=said.append)
    assert f"{RUNS[0]}: begins at epoch 1, step 4" in said
    alone = tmp_path / "alone"
    for run in studies.load(path).runs():
        pretrain(
            path, run.id, alone, device="cpu", say=said.append, stop=lambda: False,
            checkpoint_seconds=1e9,
        )  # fmt: skip
        filled, pretrained = (
            load_tensors(Layout(results).run(run) / "encoder.safetensors")[0]
            for results in (tmp_path, alone)
        )
        assert tensors_digest(filled) == tensors_digest(pretrained)


def test_nothing_is_begun_after_the_time(tmp_path: Path) -> None:
    said: list[str] = []
    assert not fill(study(tmp_path), tmp_path, filling(-1.0), say=said.append)
    assert begun(said) == []
    assert said[-1] == "tiny: 0 of 2 runs have records"


def test_the_studys_order_of_worth_is_honoured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.Evaluations, "add", lambda self, run: None)
    for name, changes in (("given", {"order": [RUNS[1]]}), ("none", {})):
        said: list[str] = []
        folder = tmp_path / name
        fill(study(folder, **changes), folder, filling(), say=said.append)
        assert begun(said) == list(reversed(RUNS) if changes else RUNS)


@pytest.mark.parametrize("partial", [False, True])
def test_no_run_is_begun_that_will_not_end(
    partial: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second would take 260 s of the 200 s that are given."""
    monkeypatch.setattr(module.Evaluations, "add", lambda self, run: None)
    monkeypatch.setattr(module, "MEASURED_SECONDS", 0.0)
    need = module._need
    # A speed of one image a second, as soon as one is known: 260 seconds for two epochs of 130.
    monkeypatch.setattr(
        module, "_need", lambda run, count, active, speed: need(
            run, count, active, None if speed is None else 1.0
        )
    )  # fmt: skip
    said: list[str] = []
    fill(study(tmp_path), tmp_path, filling(200.0, partial=partial), say=said.append)
    assert begun(said) == list(RUNS if partial else RUNS[:1])
    refused = [line for line in said if "not started" in line]
    assert len(refused) == (0 if partial else 1)
    assert all(line.startswith(f"{RUNS[1]}: not started: it takes 260 s and ") for line in refused)


def test_none_at_once_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = study(tmp_path)
    with pytest.raises(StudyError, match="--at-once: 0 is not allowed; it should be 1 or more"):
        fill(path, tmp_path, filling(at_once=0), say=lambda line: None)
    arguments = ["fill", path, "--results", str(tmp_path), "--seconds", "9", "--at-once", "0"]
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "--at-once: 0 is not allowed" in capsys.readouterr().err


def test_two_evaluations_at_once_and_the_others_after_them(tmp_path: Path) -> None:
    """Four that each note their begin and their end."""
    runs = studies.load(study(tmp_path, seeds=[0, 1])).runs()
    notes = tmp_path / "notes"
    script = f"echo 1 >> {notes}; sleep 0.3; echo -1 >> {notes}; echo $1 has ended"
    evaluations = module.Evaluations("study.yaml", tmp_path, "cpu", 1)
    evaluations.command = ["sh", "-c", script]
    for run in runs:
        evaluations.add(run)
    said: list[str] = []
    assert evaluations.end(time.monotonic() + 60, said.append) == 0
    assert said == [f"{run.id} has ended" for run in runs]
    changes = [int(line) for line in notes.read_text(encoding="utf-8").split()]
    assert len(changes) == 8
    assert max(itertools.accumulate(changes)) == 2


def test_an_evaluation_that_has_no_time_is_named(tmp_path: Path) -> None:
    runs = studies.load(study(tmp_path, seeds=[0, 1])).runs()[:3]
    evaluations = module.Evaluations("study.yaml", tmp_path, "cpu", 1)
    evaluations.command = ["sh", "-c", "exec sleep 60"]
    for run in runs:
        evaluations.add(run)
    said: list[str] = []
    assert evaluations.end(time.monotonic() + 0.2, said.append) == 3
    assert (
        said[0] == f"{runs[2].id}: there was no time to start its evaluation; the next start does"
    )
    assert len([line for line in said if "did not finish in time" in line]) == 2
