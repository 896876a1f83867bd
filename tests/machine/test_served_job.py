"""A command's job fits a server with the same environment and place; else it runs by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tausweep.machine import served_job


def test_what_a_job_would_find_otherwise_is_named() -> None:
    environment, here = {"A": "1", "PATH": "p"}, served_job.place()
    job = served_job.Job([], "/", {"A": "1", "PATH": "q"}, [], here)
    assert served_job.differences(job, environment, here) == []
    assert served_job.differences(job, {**environment, "B": "2"}, here) == ["B"]
    assert served_job.differences(job, environment, [*here, "another"]) == ["another"]
    assert len(here) >= 2


def test_without_a_server_the_command_runs_the_job_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(served_job.VARIABLE, raising=False)
    assert served_job.served(["tausweep"]) is None
    monkeypatch.setenv(served_job.VARIABLE, str(tmp_path / "nobody"))
    assert served_job.served(["tausweep"]) is None
