"""A longer run that goes on from a shorter one has the bytes of one that was never short."""

from pathlib import Path

import pytest
import torch

import tiny_run
from tausweep import study as studies
from tausweep.commands.prepare import prepared_data
from tausweep.commands.pretrain import pretrain
from tausweep.data.prepared import Prepared
from tausweep.storage.layout import File, Layout
from tausweep.study import Run, StudyError
from tausweep.training import continuation, outputs
from tausweep.training.checkpoints import load_tensors
from tausweep.training.pretrain import StoppedError


def train(study: str, run: Run, results: Path, until: int | None = None) -> None:
    pretrain(
        study, run.id, results, device="cpu", say=said, stop=lambda: False, checkpoint_seconds=60,
        until=until,
    )  # fmt: skip


def said(line: str) -> None:
    """Progress is not looked at."""


def of_epochs(folder: Path, epochs: int, **changes: object) -> tuple[str, Run, Path, Prepared]:
    """A study of so many epochs, with its run, results and data."""
    pretrain = tiny_run.STUDY["pretrain"] | {"epochs": epochs}
    study = tiny_run.study_file(folder, **{"pretrain": pretrain, **changes})
    run = studies.load(study).runs()[0]
    results = folder.parent / "results"
    return study, run, results / folder.name, prepared_data([run], results / folder.name)


def weights(run: Run, results: Path) -> dict[str, torch.Tensor]:
    return load_tensors(Layout(results).run(run) / File.ENCODER)[0]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state of a run of 5 epochs after its fourth, where its learning rate falls."""
    study, run, results, data = of_epochs(tmp_path / "short", 5)
    until = continuation.before_decay(run.settings.pretrain)
    assert until == 4
    with pytest.raises(StoppedError, match="after epoch 4"):
        train(study, run, results, until)
    folder = Layout(results).trained(run)
    kept = tmp_path / "states/one.safetensors"
    continuation.keep(outputs.checkpoints_of(run, data, folder), kept)
    train(study, run, results)
    return kept


def test_it_ends_with_the_bytes_of_an_uninterrupted_run(tmp_path: Path, state: Path) -> None:
    study, run, results, data = of_epochs(tmp_path / "long", 8)
    folder = Layout(results).run(run)
    assert continuation.adopt(state, run, data, folder, said)
    train(study, run, results)
    history = (folder / File.HISTORY).read_text().splitlines()
    assert len(history) == 9
    alone_study, alone, other, _ = of_epochs(tmp_path / "alone", 8)
    train(alone_study, alone, other)
    ours, theirs = weights(run, results), weights(alone, other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_shorter_run_is_that_of_one_that_was_not_stopped(tmp_path: Path, state: Path) -> None:
    study, run, results, _ = of_epochs(tmp_path / "whole", 5)
    train(study, run, results)
    short = weights(run, tmp_path / "results/short")
    assert all(torch.equal(short[n], t) for n, t in weights(run, results).items())


def test_a_state_of_other_settings_is_not_used(tmp_path: Path, state: Path) -> None:
    heard: list[str] = []
    others: dict[str, dict[str, object]] = {
        "lr": {"pretrain": {**tiny_run.STUDY["pretrain"], "epochs": 8, "lr": 0.1}},
        "seed": {"seeds": [1]},
        "shorter": {"pretrain": {**tiny_run.STUDY["pretrain"], "epochs": 4}},
    }
    for name, changes in others.items():
        _, run, results, data = of_epochs(tmp_path / name, 8, **changes)
        folder = Layout(results).run(run)
        assert not continuation.adopt(state, run, data, folder, heard.append)
        assert not (folder / File.CHECKPOINT).exists()
    assert all("is of other settings" in line for line in heard)


def test_a_missing_or_damaged_state_is_not_used(tmp_path: Path, state: Path) -> None:
    _, run, results, data = of_epochs(tmp_path / "long", 8)
    folder = Layout(results).run(run)
    assert not continuation.adopt(tmp_path / "nowhere", run, data, folder, said)
    state.write_bytes(state.read_bytes()[:-9])
    assert not continuation.adopt(state, run, data, folder, said)


def test_losses_that_may_look_at_the_epochs_are_refused(tmp_path: Path, state: Path) -> None:
    losses: dict[str, object] = {"cosine_tau": {}}
    _, run, results, data = of_epochs(tmp_path / "schedule", 8, losses=losses)
    with pytest.raises(StudyError, match="only runs of the paper's losses"):
        continuation.adopt(state, run, data, Layout(results).run(run), said)


def test_shared_epochs_end_where_a_rate_falls() -> None:
    short, long = (
        tiny_run.study(pretrain={"epochs": e}).runs()[0].settings.pretrain for e in (10, 20)
    )
    assert continuation.shared_epochs(short, long) == continuation.before_decay(short) == 8
    assert continuation.shared_epochs(long, long) == 20
