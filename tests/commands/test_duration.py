"""The time that a plan gives is the work that is left, at speeds that were measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tausweep.commands import cost, duration, machine_speed, rates
from tausweep.commands.duration import Duration
from tausweep.commands.machine_speed import MachineSpeed
from tausweep.machine import devices
from tausweep.storage.layout import Layout
from tausweep.study import Study, parse
from tiny_run import STUDY, finished

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nothing_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def tiny(**sections: Any) -> Study:
    return parse(STUDY | {"seeds": [0, 1]} | sections)


def here(**hardware: Any) -> dict[str, Any]:
    return {"device": "cpu", "threads": 1, "cpu": devices.cpu_model()} | hardware


def test_finished_runs_on_this_cpu_come_first(tmp_path: Path) -> None:
    """A record of the first run at 100 images a second; 2 runs of 3 epochs of 130 images."""
    asked, layout = tiny(), Layout(tmp_path)
    finished(asked, layout, here())
    found = duration.duration(asked, layout, measure=False)
    assert found.training == pytest.approx(2 * 3 * 130 / 100)
    passes = cost.EVALUATION_PASSES / 3
    own = duration.IMAGE_SECONDS * 130
    assert found.evaluation == pytest.approx(2 * (passes * 130 / 100 + own))
    assert found.starts == 2 * duration.RUN_SECONDS
    assert (found.source, found.runs, found.unknown) == (duration.FINISHED, 2, 0)


@pytest.mark.parametrize("hardware", [{"cpu": "another"}, {"threads": 4}, {"gpu": "Some GPU"}])
def test_runs_of_another_device_say_nothing(hardware: dict[str, Any], tmp_path: Path) -> None:
    asked, layout = tiny(), Layout(tmp_path)
    finished(asked, layout, here(**hardware))
    found = duration.duration(asked, layout, measure=False)
    assert found.source == duration.ASSUMED
    settings = asked.runs()[0].settings
    work = 2 * cost.pretraining_operations(settings, 130)
    assert found.training == pytest.approx(work / cost.CPU_FLOPS)


def test_what_was_timed_counts_and_a_slow_machine_is_slow_in_everything(tmp_path: Path) -> None:
    asked, layout = tiny(), Layout(tmp_path)
    kind = rates.kind(asked.runs()[0].settings)
    machine_speed._remember(MachineSpeed(2 * duration.IMPORT_SECONDS, {kind: 50.0}))
    found = duration.duration(asked, layout, measure=True)
    assert found.source == duration.TIMED
    assert found.training == pytest.approx(2 * 3 * 130 / 50)
    assert found.starts == 2 * 2 * duration.RUN_SECONDS
    assert found.once == 2 * duration.STUDY_SECONDS


def test_failure_to_time_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_speed, "TIMING", "tausweep.no_such_module")
    found = duration.duration(tiny(), Layout(tmp_path), measure=True)
    assert found.source == duration.ASSUMED
    assert "no steps were timed" in "\n".join(duration.lines(found))


def test_only_what_is_left_counts(capsys: pytest.CaptureFixture[str]) -> None:
    from tausweep import study as studies
    from tausweep.storage import shipped

    kept = Layout(REPOSITORY / "benchmarks/measured")
    asked = studies.load(shipped.study_file("demo"))
    whole = duration.duration(asked, Layout(Path("nowhere")), measure=False)
    assert whole.runs == len(asked.runs())
    found = duration.duration(asked, kept, measure=False)
    assert found.runs == 0
    assert duration.lines(found) == ["time on this machine: every run is done"]


def test_runs_without_an_estimate_are_said(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def read(source, split): ...\n")
    own = {"source": {"kind": "plugin", "module": str(tmp_path / "own.py")}}
    asked = tiny(datasets={**STUDY["datasets"], "own": own}, seeds=[0])
    found = duration.duration(asked, Layout(tmp_path), measure=False)
    assert (found.runs, found.unknown) == (2, 1)
    assert "without 1 of 2 runs" in "\n".join(duration.lines(found))


@pytest.mark.parametrize(
    ("cores", "runs", "seconds"), [(1, 10, 1010.0), (2, 10, 510.0), (64, 3, 1000 / 3 + 10)]
)
def test_cores_are_shared_by_as_many_runs_as_there_are(
    cores: int, runs: int, seconds: float
) -> None:
    found = Duration(700.0, 200.0, 100.0, 10.0, cores, runs, 0, duration.TIMED)
    assert found.seconds == pytest.approx(seconds)


def test_no_more_runs_at_once_than_the_profile_allows() -> None:
    text = (REPOSITORY / "workflow/profiles/default/profile.yaml").read_text(encoding="utf-8")
    profile = yaml.safe_load(text)
    assert profile["resources"]["gpu"] == machine_speed.AT_ONCE
    found = Duration(800.0, 0.0, 0.0, 0.0, 64, 100, 0, duration.TIMED)
    assert found.seconds == 100.0


def test_time_is_in_the_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tausweep.commands import plan

    asked, layout = tiny(), Layout(tmp_path)
    found = duration.duration(asked, layout, measure=False)
    time = json.loads(json.dumps(plan.values(asked, layout, found, {})["time"]))
    assert time["seconds"] == found.seconds
    assert time["training"] == found.training
