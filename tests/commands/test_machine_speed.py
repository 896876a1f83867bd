"""What was timed on this machine is remembered for a day, and for these versions only."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tausweep.commands import machine_speed, rates
from tausweep.commands.machine_speed import MachineSpeed, TimingError
from tiny_run import run_settings


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of what is remembered, not there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tausweep/speeds.json"


def edited(path: Path, **values: Any) -> None:
    content = json.loads(path.read_text())
    (machine,) = content
    path.write_text(json.dumps({machine: content[machine] | values}))


def test_timed_once_and_remembered_for_a_day(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_speed, "SECONDS", 0.0)
    assert machine_speed.remembered() is None
    wide = run_settings()
    wide = wide.model_copy(update={"encoder": wide.encoder.model_copy(update={"width": 16})})
    runs = {rates.kind(each): (each, 130) for each in (run_settings(), wide)}
    speed = machine_speed.timed(runs)
    assert speed.import_seconds > 0
    first, second = (speed.images_per_second[kind] for kind in runs)
    # The second was not begun: it is as slow as the first, by operations.
    ratio = machine_speed.image_operations(wide) / machine_speed.image_operations(run_settings())
    assert first / second == pytest.approx(ratio)
    assert machine_speed.remembered() == speed
    edited(kept, time=time.time() - machine_speed.VALID_SECONDS - 1)
    assert machine_speed.remembered() is None


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": {"time": "now"}}'])
def test_a_damaged_file_is_as_none(kept: Path, content: str) -> None:
    kept.parent.mkdir()
    kept.write_text(content)
    assert machine_speed.remembered() is None
    machine_speed._remember(MachineSpeed(2.0, {"kind": 100.0}))
    assert machine_speed.remembered() == MachineSpeed(2.0, {"kind": 100.0})


def test_other_instructions_are_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_speed._remember(MachineSpeed(2.0, {"kind": 100.0}))
    monkeypatch.setenv("TAUSWEEP_INSTRUCTIONS", "native")
    assert machine_speed.remembered() is None


def test_a_process_that_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_speed, "TIMING", "tausweep.no_such_module")
    with pytest.raises(TimingError, match=r"no_such_module|ended at once"):
        machine_speed.timed({"kind": (run_settings(), 130)})


def test_kind_is_what_decides_the_speed() -> None:
    kind = rates.kind(run_settings())
    assert kind == rates.kind(run_settings("contrastive", 0.7, seed=3, pretrain={"epochs": 9}))
    assert kind != rates.kind(run_settings("simple", None))
    assert kind != rates.kind(run_settings(pretrain={"batch_size": 16}))
    few, many = (run_settings("hard_contrastive", 0.3, negatives=n) for n in (20, 40))
    assert rates.kind(few) == rates.kind(many)
