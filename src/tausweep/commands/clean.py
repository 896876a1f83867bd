"""`tausweep clean`: list what no study needs any more, and delete it on demand.

This is: runs that were taken out of the study, prepared data that no study under the results folder
asks for, and files that killed processes left behind.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tausweep import study as studies
from tausweep.commands import flags
from tausweep.commands.status import files, size
from tausweep.storage.layout import (
    File,
    Folder,
    Layout,
    checkpoint_files,
    kept_weights,
    prepared_name,
)
from tausweep.storage.run_lock import half_written, held_by
from tausweep.study import Study, StudyError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    flags.add_results(parser)
    parser.add_argument("--yes", action="store_true", help="delete what is listed")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    layout = Layout(Path(options.results))
    found = leftovers(studies.load(options.study), layout)
    print(listed(found))
    if found and options.yes:
        delete(found, layout)
    elif found:
        print("nothing was deleted; add --yes to delete what is listed")


@dataclass(frozen=True)
class Leftover:
    """Something that no study needs any more.

    Attributes:
        path: A folder or a file.
        why: The reason, in words.
        size: Bytes.
    """

    path: Path
    why: str
    size: int


def leftovers(study: Study, layout: Layout) -> list[Leftover]:
    """What ``delete`` would delete, largest first.

    Raises:
        StudyError: Another study's ``study.json`` cannot be read, so the prepared data that it
            needs is unknown.
    """
    found = [*_runs(study, layout), *_data(study, layout), *_remains(study, layout)]
    return sorted(found, key=lambda left: (-left.size, left.path))


def _leftover(path: Path, why: str) -> Leftover:
    return Leftover(path, why, path.stat().st_size if path.is_file() else _folder_size(path))


def _folder_size(path: Path) -> int:
    return sum(count for _, count in files(path))


def _runs(study: Study, layout: Layout) -> Iterable[Leftover]:
    named = {layout.run(run) for run in study.runs()} | {layout.logs(run) for run in study.runs()}
    for kind in (Folder.RUNS, Folder.LOGS):
        for folder in sorted((layout.study(study.study) / kind).glob("*/*/*/seed*")):
            if folder not in named and held_by(folder) is None:
                yield _leftover(folder, "a run that the study no longer names")


def _data(study: Study, layout: Layout) -> Iterable[Leftover]:
    needed = {prepared_name(run.settings.dataset) for run in study.runs()}
    for path in sorted(layout.root.glob(f"*/{File.STUDY}")):
        if path.parent == layout.study(study.study):
            continue
        try:
            other = studies.load(path)
        except StudyError as error:
            raise StudyError(f"{error}; it is needed to know which data are in use") from None
        needed |= {prepared_name(run.settings.dataset) for run in other.runs()}
    for folder in sorted((layout.root / Folder.DATA).glob("*/")):
        if folder.name not in needed:
            yield _leftover(folder, "prepared data that no study uses")


def _remains(study: Study, layout: Layout) -> Iterable[Leftover]:
    for run in study.runs():
        folder = layout.run(run)
        if held_by(folder) is not None:
            continue
        for path in half_written(folder):
            yield _leftover(path, "half written by a killed process")
        for epoch, path in kept_weights(folder).items():
            if epoch not in run.settings.along:
                yield _leftover(path, "weights of an epoch that the study does not measure")
        if (folder / File.RECORD).exists():
            for path in checkpoint_files(folder):
                yield _leftover(path, "a checkpoint of a run that is complete")


def listed(found: list[Leftover]) -> str:
    """What would be deleted, as text."""
    if not found:
        return "nothing to clean: the studies need everything that is there"
    lines = [f"  {size(left.size):>8}  {left.path}  ({left.why})" for left in found]
    total = size(sum(left.size for left in found))
    return "\n".join([*lines, f"{total} in {len(found)} places"])


def delete(found: list[Leftover], layout: Layout) -> None:
    """Delete them, and then folders that are empty.

    Raises:
        StudyError: A process has begun to write a run since it was listed.
    """
    for left in found:
        if held_by(left.path if left.path.is_dir() else left.path.parent) is not None:
            raise StudyError(f"{left.path}: is being written now; try again when it is done")
        if left.path.is_dir() and not left.path.is_symlink():
            shutil.rmtree(left.path)
        else:
            left.path.unlink(missing_ok=True)
        _remove_empty(left.path.parent, layout.root)


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
