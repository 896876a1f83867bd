"""Locks of Snakemake: those of a killed workflow are released, those of a live one are not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tausweep.storage import workflow_lock
from tausweep.storage.workflow_lock import holders, registered, release_stale

RESULTS = Path("results/tiny")
REGISTER = """
import sys
from pathlib import Path
from tausweep.storage.workflow_lock import registered
with registered(sys.argv[1], Path(sys.argv[2])):
    print("registered", flush=True)
    sys.stdin.read()
"""


def workflow(root: Path, study: str = "tiny") -> subprocess.Popen[str]:
    """A process that is registered until it is told to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", REGISTER, study, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "registered\n"
    return process


def end(process: subprocess.Popen[str], number: signal.Signals | None = None) -> None:
    if number is not None:
        process.send_signal(number)
    process.communicate()


def lock(root: Path, name: str, *files: str) -> Path:
    """A lock as Snakemake writes it."""
    path = root / "locks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(files) + "\n", encoding="utf-8")
    return path


def test_a_live_workflow_is_named_and_its_locks_stay(tmp_path: Path) -> None:
    process = workflow(tmp_path)
    try:
        path = lock(tmp_path, "0.output.lock", "results/tiny/records.csv")
        assert [held["pid"] for held in holders("tiny", tmp_path)] == [process.pid]
        assert release_stale("tiny", RESULTS, tmp_path) is None
        assert path.exists()
    finally:
        end(process)
    assert holders("tiny", tmp_path) == []
    assert not any((tmp_path / "tausweep/running/tiny").iterdir())


def test_locks_of_a_killed_workflow_are_released_and_no_others(tmp_path: Path) -> None:
    process = workflow(tmp_path)
    stale = [
        lock(tmp_path, "0.output.lock", "results/tiny/runs/a/record.json"),
        lock(tmp_path, "0.input.lock", "pictures", "results/tiny/records.csv"),
    ]
    other = lock(tmp_path, "1.output.lock", "results/tiny-too/records.csv")
    end(process, signal.SIGKILL)
    released = release_stale("tiny", RESULTS, tmp_path)
    assert released is not None
    assert released.locks == 2
    assert [str(process.pid) in who for who in released.left_by] == [True]
    assert not any(path.exists() for path in stale)
    assert other.exists()
    assert release_stale("tiny", RESULTS, tmp_path) is None


def test_a_live_workflow_beside_a_killed_one_keeps_its_locks(tmp_path: Path) -> None:
    killed = workflow(tmp_path)
    end(killed, signal.SIGKILL)
    process = workflow(tmp_path)
    try:
        path = lock(tmp_path, "0.output.lock", "results/tiny/records.csv")
        assert release_stale("tiny", RESULTS, tmp_path) is None
        assert path.exists()
    finally:
        end(process)


def test_locks_that_nobody_is_known_to_have_left_stay(tmp_path: Path) -> None:
    path = lock(tmp_path, "0.output.lock", "results/tiny/records.csv")
    assert release_stale("tiny", RESULTS, tmp_path) is None
    assert path.exists()


def test_a_lock_that_is_written_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = workflow(tmp_path)
    path = lock(tmp_path, "0.output.lock", "results/tiny/records.csv")
    end(process, signal.SIGKILL)
    asked = workflow_lock.holders

    def late(study: str, root: Path) -> list[dict[str, object]]:
        found = asked(study, root)
        path.unlink()
        lock(tmp_path, "0.output.lock", "results/tiny/records.csv")
        os.utime(path, (1, 1))
        return found

    monkeypatch.setattr(workflow_lock, "holders", late)
    release_stale("tiny", RESULTS, tmp_path)
    assert path.exists()


def test_a_workflow_does_not_hold_itself_up(tmp_path: Path) -> None:
    with registered("tiny", tmp_path):
        assert holders("tiny", tmp_path) == []
