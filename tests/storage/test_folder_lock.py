"""One writer a folder; who was killed holds nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from tausweep.storage import folder_lock
from tausweep.storage.folder_lock import locked, reserve
from tausweep.storage.layout import File

HOLD = """
import sys, time
from pathlib import Path
from tausweep.storage.folder_lock import locked, reserve
folder = Path(sys.argv[2])
if sys.argv[1] == "lock":
    with locked(folder):
        print("held", flush=True)
        time.sleep(60)
held = reserve(folder, lambda: False, print)
print("held", flush=True)
time.sleep(60)
"""


def holder(what: str, folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, what, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_is_held_until_its_holder_is_killed(tmp_path: Path) -> None:
    process = holder("lock", tmp_path / "data")
    try:
        with pytest.raises(Timeout):
            FileLock(tmp_path / "data" / File.DATA_LOCK).acquire(blocking=False)
    finally:
        process.kill()
        process.wait()
    with locked(tmp_path / "data"):
        pass
    with locked(tmp_path / "data"):
        pass


def test_a_second_workflow_waits_for_the_first_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_lock, "POLL_SECONDS", 0.01)
    process, said, asked = holder("reserve", tmp_path), list[str](), list[bool]()

    def whole() -> bool:
        asked.append(True)
        return len(asked) > 3

    try:
        assert reserve(tmp_path, whole, said.append) is None
    finally:
        process.kill()
        process.wait()
    assert said == [f"{tmp_path}: another workflow prepares these data; waiting for them"]


def test_the_reservation_of_a_killed_workflow_is_taken_over(tmp_path: Path) -> None:
    process = holder("reserve", tmp_path)
    process.kill()
    process.wait()
    held = reserve(tmp_path, lambda: False, pytest.fail)
    assert held is not None
    held.release()


def test_data_that_are_there_are_not_reserved(tmp_path: Path) -> None:
    assert reserve(tmp_path, lambda: True, pytest.fail) is None
