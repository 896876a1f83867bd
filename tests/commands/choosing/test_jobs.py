"""Workers take jobs in order, start nothing that cannot end in time, and end when asked."""

import textwrap
import time
from pathlib import Path

import pytest

from tausweep.commands.choosing import jobs
from tausweep.commands.choosing.jobs import Crew, Job

FAKE = """
    import json, os, sys, time
    for line in sys.stdin:
        asked = json.loads(line)
        kind, _, seconds = asked["run"].partition("-")
        if kind == "dies":
            os._exit(9)
        time.sleep(float(seconds or 0))
        failure = "why" if kind == "fails" else ""
        print(json.dumps({"run": asked["run"], "failure": failure}), flush=True)
"""


@pytest.fixture
def crew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Crew:
    """One worker, which only sleeps."""
    (tmp_path / "sleeping.py").write_text(textwrap.dedent(FAKE))
    monkeypatch.setattr(jobs, "WORKER", "sleeping")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Crew(tmp_path, 1, 1, "cpu")


def work(crew: Crew, given: list[Job], seconds: float = 30.0) -> list[tuple[str, str]]:
    done: list[tuple[str, str]] = []
    crew.start()
    try:
        until = time.monotonic() + seconds
        crew.run("s.yaml", given, until, lambda run, why, took: done.append((run, why)))
    finally:
        crew.end()
    return done


def test_jobs_are_done_in_order_and_failures_are_told(crew: Crew) -> None:
    given = [Job("a", 0), Job("fails", 0), Job("b", 0)]
    assert work(crew, given) == [("a", ""), ("fails", "why"), ("b", "")]


def test_what_cannot_end_in_time_is_not_started(crew: Crew) -> None:
    assert work(crew, [Job("a", 1), Job("b", 1000), Job("c", 1)]) == [("a", "")]


def test_jobs_that_take_longer_than_expected_make_later_ones_wait(crew: Crew) -> None:
    given = [Job("a-2", 0.1), Job("b", 1.0)]  # b is expected to take as many times as long
    assert work(crew, given, seconds=10) == [("a-2", "")]


def test_what_runs_when_time_is_over_is_ended(crew: Crew) -> None:
    began = time.monotonic()
    assert work(crew, [Job("a-60", 0)], seconds=0.5) == []
    assert time.monotonic() - began < 30


def test_a_stop_ends_it(crew: Crew) -> None:
    crew.stopped.append(15)
    assert work(crew, [Job("a-60", 0), Job("b", 0)]) == []


def test_a_worker_that_dies_is_a_failure_of_its_run(crew: Crew) -> None:
    (run, why), *rest = work(crew, [Job("dies", 0), Job("b", 0)])
    assert run == "dies"
    assert "its process ended" in why
    assert not rest


def test_two_workers_share_the_jobs(crew: Crew) -> None:
    crew.count = 2
    assert sorted(work(crew, [Job(f"{name}-0.2", 0) for name in "abcd"])) == [
        (f"{name}-0.2", "") for name in "abcd"
    ]
