"""Register who runs a study's workflow, and release the locks that a killed Snakemake left behind.

Snakemake locks the files that it makes by listing them below ``.snakemake/locks``, without naming
the process. After a kill, nobody can tell whether the workflow is still running. So a workflow also
registers itself with process, host and heartbeat, like the lock of a run.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tausweep.storage.run_lock import held_by, run_lock

SNAKEMAKE = Path(".snakemake")
"""Snakemake's folder, in the folder where a workflow runs."""


def _registered(study: str, root: Path) -> Path:
    return root / "tausweep" / "running" / study


@contextlib.contextmanager
def registered(study: str, root: Path = SNAKEMAKE) -> Iterator[None]:
    """Register this process as a workflow of a study while the block runs."""
    folder = _registered(study, root) / f"{platform.node()}-{os.getpid()}"
    with run_lock(folder):
        yield
    with contextlib.suppress(OSError):
        folder.rmdir()


def holders(study: str, root: Path = SNAKEMAKE) -> list[dict[str, Any]]:
    """Other live processes (``pid``, ``host``) that run the study's workflow."""
    found = [held_by(folder) for folder in sorted(_registered(study, root).glob("*"))]
    me = (os.getpid(), platform.node())
    return [held for held in found if held is not None and (held["pid"], held["host"]) != me]


@dataclass(frozen=True)
class Released:
    """What was released: the number of locked files, and the known killed workflows."""

    locks: int
    left_by: tuple[str, ...]


def release_stale(study: str, results: Path, root: Path = SNAKEMAKE) -> Released | None:
    """Release Snakemake's locks on a study's results if the workflows that took them were killed.

    Nothing is released while a workflow of the study is alive, or if it is not known who left the
    locks. Locks of other studies stay.

    Args:
        study: The study.
        results: The folder of its results.
        root: Snakemake's folder.

    Returns:
        What was released; none if there was nothing to release.
    """
    locks = _locks_on(results, root)
    known = sorted(_registered(study, root).glob("*"))
    if not known or holders(study, root):
        return None
    for path, found in locks.items():
        # A lock written meanwhile is not released, because its writer has registered before.
        with contextlib.suppress(FileNotFoundError):
            if _same(path.stat(), found):
                path.unlink()
    for folder in known:
        if held_by(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)
    return Released(len(locks), tuple(folder.name for folder in known)) if locks else None


def _locks_on(results: Path, root: Path) -> dict[Path, os.stat_result]:
    """Snakemake's locks that name a file below a folder."""
    found = {}
    for path in sorted((root / "locks").glob("*.lock")):
        with contextlib.suppress(FileNotFoundError):
            state = path.stat()
            named = path.read_text(encoding="utf-8", errors="replace").splitlines()
            if any(Path(line).is_relative_to(results) for line in named):
                found[path] = state
    return found


def _same(one: os.stat_result, two: os.stat_result) -> bool:
    return (one.st_ino, one.st_mtime_ns) == (two.st_ino, two.st_mtime_ns)
