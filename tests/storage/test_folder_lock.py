"""One writer a folder; who was killed holds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from lock_holder import holder
from tausweep.storage import folder_lock
from tausweep.storage.folder_lock import locked, reserve
from tausweep.storage.layout import File

LOCK = """
from tausweep.storage.folder_lock import locked
with locked(folder):
    hold()
"""
RESERVE = """
from tausweep.storage.folder_lock import reserve
held = reserve(folder, lambda: False, print)
hold()
"""


def test_a_folder_is_held_until_its_holder_is_killed(tmp_path: Path) -> None:
    with holder(LOCK, tmp_path / "data"), pytest.raises(Timeout):
        FileLock(tmp_path / "data" / File.DATA_LOCK).acquire(blocking=False)
    with locked(tmp_path / "data"):
        pass
    with locked(tmp_path / "data"):
        pass


def test_a_second_workflow_waits_for_the_first_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_lock, "POLL_SECONDS", 0.01)
    said, asked = list[str](), list[bool]()

    def whole() -> bool:
        asked.append(True)
        return len(asked) > 3

    with holder(RESERVE, tmp_path):
        assert reserve(tmp_path, whole, said.append) is None
    assert said == [f"{tmp_path}: another workflow is preparing these data; waiting for it"]


def test_the_reservation_of_a_killed_workflow_is_taken_over(tmp_path: Path) -> None:
    with holder(RESERVE, tmp_path):
        pass
    held = reserve(tmp_path, lambda: False, pytest.fail)
    assert held is not None
    held.release()


def test_data_that_are_there_are_not_reserved(tmp_path: Path) -> None:
    assert reserve(tmp_path, lambda: True, pytest.fail) is None
