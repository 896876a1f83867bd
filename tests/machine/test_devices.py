"""Slots of GPUs, with pretended devices: locks need neither torch nor CUDA."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tausweep.machine import devices
from tausweep.machine.devices import lease, visible
from tausweep.study import StudyError

HOLD = """
import sys
from pathlib import Path
from tausweep.machine.devices import lease
gpus, share = sys.argv[2].split(","), int(sys.argv[3]) or None
say = lambda line: print(line, flush=True)
with lease(gpus, share, say, Path(sys.argv[1])) as number:
    print(gpus[number], flush=True)
    sys.stdin.read()
"""


class Job:
    """A process that leases a slot and keeps it until it is told to end."""

    def __init__(self, folder: Path, gpus: str, share: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder), gpus, str(share)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def said(self) -> str:
        """Its next line: the GPU that it got, or that it waits."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.communicate(timeout=30)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


@contextlib.contextmanager
def running(*jobs: Job) -> Iterator[None]:
    try:
        yield
    finally:
        for job in jobs:
            job.kill()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "POLL_SECONDS", 0.02)


@pytest.mark.parametrize(
    ("given", "count", "names"),
    [
        (None, 3, ["0", "1", "2"]),
        ("2,0", 2, ["2", "0"]),
        ("3", 1, ["3"]),
        ("GPU-8932f937, 1", 2, ["GPU-8932f937", "1"]),
        ("1,-1,0", 1, ["1"]),
        ("", 0, []),
    ],
)
def test_a_gpu_has_the_name_that_the_box_has_for_it(
    given: str | None, count: int, names: list[str]
) -> None:
    environment = {} if given is None else {"CUDA_VISIBLE_DEVICES": given}
    assert visible(count, environment) == names


def test_full_size_jobs_get_a_gpu_each_and_the_next_one_waits(tmp_path: Path) -> None:
    first, second = Job(tmp_path, "0,1", 0), Job(tmp_path, "0,1", 0)
    with running(first, second):
        assert {first.said(), second.said()} == {"0", "1"}
        third = Job(tmp_path, "0,1", 0)
        with running(third):
            assert third.said() == "waiting for a free slot on GPU 0, 1"
            second.end()
            assert third.said() in ("0", "1")


def test_slot_of_a_killed_job_is_free(tmp_path: Path) -> None:
    job = Job(tmp_path, "0", 0)
    with running(job):
        assert job.said() == "0"
        job.kill()
        with lease(["0"], None, folder=tmp_path) as number:
            assert number == 0


def test_small_jobs_share_gpus_evenly_up_to_their_number(tmp_path: Path) -> None:
    with contextlib.ExitStack() as held:
        got = [held.enter_context(lease(["0", "1"], 2, folder=tmp_path)) for _ in range(4)]
        assert sorted(got) == [0, 0, 1, 1]
        assert sorted(got[:2]) == [0, 1]
        fifth = Job(tmp_path, "0,1", 2)
        held.enter_context(running(fifth))
        assert fifth.said().startswith("waiting")


def test_a_whole_gpu_is_shared_with_nobody(tmp_path: Path) -> None:
    with lease(["0"], None, folder=tmp_path):
        small = Job(tmp_path, "0", 8)
        with running(small):
            assert small.said().startswith("waiting")
    with lease(["0"], 8, folder=tmp_path):
        whole = Job(tmp_path, "0", 0)
        with running(whole):
            assert whole.said().startswith("waiting")


def test_jobs_that_see_the_same_gpu_under_other_numbers_do_not_collide(tmp_path: Path) -> None:
    # One job was given GPU 1 only, the other sees both: GPU 1 is number 0 to the first.
    only = visible(1, {"CUDA_VISIBLE_DEVICES": "1"})
    both = visible(2, {})
    with lease(only, None, folder=tmp_path) as number:
        assert number == 0
        with lease(both, None, folder=tmp_path) as other:
            assert both[other] == "0"


def test_small_jobs_do_not_overtake_one_that_waits_for_a_whole_gpu(tmp_path: Path) -> None:
    first = Job(tmp_path, "0", 2)
    assert first.said() == "0"
    whole = Job(tmp_path, "0", 0)
    assert whole.said().startswith("waiting")
    small = Job(tmp_path, "0", 2)
    with running(first, whole, small):
        assert small.said().startswith("waiting")
        first.end()
        assert whole.said() == "0"
        whole.end()
        assert small.said() == "0"


def test_job_that_is_killed_while_it_waits_does_not_hold_up_the_next(tmp_path: Path) -> None:
    first = Job(tmp_path, "0", 0)
    assert first.said() == "0"
    waits = Job(tmp_path, "0", 0)
    assert waits.said().startswith("waiting")
    waits.kill()
    first.end()
    with lease(["0"], None, folder=tmp_path):
        pass


@pytest.mark.parametrize("given", ["0", "two", "-1", ""])
def test_share_that_is_no_count_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAUSWEEP_RUNS_PER_GPU", given)
    with pytest.raises(StudyError, match="TAUSWEEP_RUNS_PER_GPU"):
        devices.runs_per_gpu()


def test_leasing_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tausweep.machine.devices import lease\n"
        "with lease(['0'], None, folder=Path(sys.argv[1])): pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_threads_are_those_that_were_given() -> None:
    code = (
        "from tausweep.machine import devices; devices.set_threads(2)\n"
        "import torch; print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2"
    with pytest.raises(StudyError, match="threads: 0"):
        devices.set_threads(0)


def test_job_asks_for_a_device_that_is_there() -> None:
    with devices.device("cpu") as found:
        assert found.type == "cpu"
    for wanted in ("gpu", "cuda:x", "cpu:0"):
        with (
            pytest.raises(StudyError, match="it should be auto, cpu or cuda"),
            devices.device(wanted),
        ):
            pass
