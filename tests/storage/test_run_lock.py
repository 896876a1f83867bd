"""One writer a run, whoever was killed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lock_holder import end, holder
from tausweep.storage.run_lock import STALE_SECONDS, RunLockedError, held_by, run_lock

HOLD = """
from tausweep.storage.run_lock import run_lock
with run_lock(folder):
    hold()
"""


def pid_of_holder(folder: Path) -> int:
    """The process that holds the folder's lock."""
    held = held_by(folder)
    assert held is not None
    return int(held["pid"])


def test_second_writer_is_refused_by_name_and_the_first_goes_on(tmp_path: Path) -> None:
    with holder(HOLD, tmp_path) as process:
        with pytest.raises(RunLockedError, match=f"process {process.pid} on"), run_lock(tmp_path):
            pass
        assert pid_of_holder(tmp_path) == process.pid


def test_lock_of_a_killed_writer_is_taken_over(tmp_path: Path) -> None:
    with holder(HOLD, tmp_path) as process:
        end(process)
    assert (tmp_path / "lock.json").exists()
    with run_lock(tmp_path):
        assert pid_of_holder(tmp_path) == os.getpid()
    assert not any(tmp_path.iterdir())


def test_process_id_used_again_by_another_process_does_not_hold_the_lock(tmp_path: Path) -> None:
    mine = {"pid": os.getpid(), "host": os.uname().nodename}
    started = psutil.Process().create_time() - 1000
    (tmp_path / "lock.json").write_text(json.dumps(mine | {"started": started}))
    with run_lock(tmp_path):
        pass


def test_foreign_hosts_lock_lives_as_long_as_its_heartbeat(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    path.write_text(json.dumps({"pid": 1, "host": "elsewhere", "started": 0.0}))
    with pytest.raises(RunLockedError, match="process 1 on elsewhere"), run_lock(tmp_path):
        pass
    past = time.time() - STALE_SECONDS - 1
    os.utime(path, (past, past))
    with run_lock(tmp_path):
        pass


def test_damaged_lock_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "lock.json").write_text('{"pid": ')
    with run_lock(tmp_path):
        pass


def test_of_many_starters_at_a_stale_lock_exactly_one_writes(tmp_path: Path) -> None:
    stale = {"pid": 2**22 + 1, "host": os.uname().nodename, "started": 0.0}
    (tmp_path / "lock.json").write_text(json.dumps(stale))
    code = """
import sys, time
from pathlib import Path
from tausweep.storage.run_lock import RunLockedError, run_lock
try:
    with run_lock(Path(sys.argv[1])):
        time.sleep(3)
        print("wrote")
except RunLockedError:
    print("refused")
"""
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    said = sorted(process.communicate(timeout=60)[0].strip() for process in starters)
    assert said == ["refused"] * 5 + ["wrote"]


def test_waiting_starter_gets_the_lock_when_the_writer_ends(tmp_path: Path) -> None:
    said = list[str]()

    def wait(line: str) -> None:
        said.append(line)
        end(process)

    with holder(HOLD, tmp_path) as process, run_lock(tmp_path, wait):
        assert pid_of_holder(tmp_path) == os.getpid()
    assert len(said) == 1
    assert f"process {process.pid} on" in said[0]


def test_waiting_ends_when_it_is_stopped(tmp_path: Path) -> None:
    stopped = list[bool]()
    with holder(HOLD, tmp_path) as process:
        with (
            pytest.raises(RunLockedError, match=f"process {process.pid} on"),
            run_lock(tmp_path, lambda line: stopped.append(True), lambda: bool(stopped)),
        ):
            pass
        assert pid_of_holder(tmp_path) == process.pid


def test_half_written_files_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".encoder.safetensors.123.tmp").write_bytes(b"half")
    (tmp_path / ".tmpdbH2E6").write_bytes(b"half")
    (tmp_path / "encoder.safetensors").write_bytes(b"whole")
    with run_lock(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {"encoder.safetensors", "lock.json"}
