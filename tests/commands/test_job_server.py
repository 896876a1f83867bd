"""A workflow has a server if it has some runs, all in one precision's instructions, on Linux."""

from __future__ import annotations

import sys

import pytest

import tiny_run
from tausweep.commands import job_server
from tausweep.machine import forkserver
from tausweep.machine.served_job import VARIABLE
from tausweep.study import Run, parse


def runs(count: int, precision: str = "float32") -> list[Run]:
    study = tiny_run.STUDY | {"seeds": list(range(count)), "losses": {"simple": {}}}
    study["pretrain"] = {**tiny_run.STUDY["pretrain"], "precision": precision}
    return parse(study).runs()[:count]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the server")
def test_a_few_runs_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert job_server.serves(iter(runs(job_server.WORTH)))
    assert not job_server.serves(runs(job_server.WORTH - 1))
    assert not job_server.serves(runs(job_server.WORTH, "bf16"))


def test_the_user_can_refuse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    assert not job_server.serves(runs(job_server.WORTH))
    assert not forkserver.possible()


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_only_linux_has_it(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(sys, "platform", system)
    assert not forkserver.possible()
