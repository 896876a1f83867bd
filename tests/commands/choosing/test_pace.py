"""The sizes that may be taken, and how long an epoch of each takes here."""

from pathlib import Path

import pytest
import torch

import tiny_run
from tausweep.commands.choosing import pace, plan, timed_steps
from tausweep.commands.choosing.study_text import Recipe


def test_images_are_not_enlarged() -> None:
    assert pace.ladder(500.0, None, None) == list(pace.LADDER)
    assert {size for size, *_ in pace.ladder(40.0, None, None)} == {16, 32}
    assert pace.ladder(12.0, None, None) == [(12, "resnet10", 16)]


def test_what_is_asked_for_is_taken() -> None:
    assert pace.ladder(500.0, 48, ("resnet34", 32)) == [(48, "resnet34", 32)]
    assert {size for size, *_ in pace.ladder(500.0, None, ("resnet18", 64))} == {16, 32, 64}
    assert {size for size, *_ in pace.ladder(500.0, 96, None)} == {96}


def test_an_epoch_is_timed_whole_or_by_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, cpu = tiny_run.run_settings(), torch.device("cpu")
    whole = timed_steps.epoch_seconds(settings, 512, cpu)
    assert timed_steps.epoch_seconds(settings, 5120, cpu) > 2 * whole > 0
    monkeypatch.setattr(timed_steps, "SECONDS", 0.0)
    assert timed_steps.epoch_seconds(settings, 512, cpu) > 0


def test_the_machine_is_timed_by_processes_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fastest recipe is timed, and none beyond the first that is too slow."""
    monkeypatch.setattr(pace, "workers", lambda device: (1, 1))
    recipes = [Recipe(tmp_path, size, "resnet10", 8, 32, 0.01, 5) for size in (8, 12)]
    found = pace.times(recipes, tmp_path / "images.csv", 64, 0.0, "cpu")
    assert [*found] == recipes[:1]
    speed = found[recipes[0]]
    assert speed.epoch > 0
    assert speed.evaluation > speed.epoch
    assert pace.faster(speed, 0.5) == plan.Speed(
        speed.epoch / 2, speed.evaluation, speed.baseline, 1
    )
