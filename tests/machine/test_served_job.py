"""A command's job fits a server with the same environment and place; else it runs by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tausweep.machine import served_job


def test_a_job_of_another_environment_or_place_does_not_fit() -> None:
    environment, here = {"A": "1", "PATH": "p"}, served_job.place()
    job = served_job.Job([], "/", {"A": "1", "PATH": "q"}, [], here)
    assert served_job.fits(job, environment, here)
    assert not served_job.fits(job, environment, [*here[:-1], "another"])
    assert not served_job.fits(job, {**environment, "B": "2"}, here)
    assert len(here) >= 2


def test_without_a_server_the_command_runs_the_job_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(served_job.VARIABLE, raising=False)
    assert served_job.served(["tausweep"]) is None
    monkeypatch.setenv(served_job.VARIABLE, str(tmp_path / "nobody"))
    assert served_job.served(["tausweep"]) is None
