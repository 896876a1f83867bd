"""`tausweep clean`: list what no study needs any more, and delete it on demand.

This is: runs that were taken out of the study, prepared data and stored runs that no study under
the results folder asks for, and files that killed processes left behind.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
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
        size: Bytes that deleting it frees; none for what another place has too.
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
    named = [study, *_others(study, layout)]
    found = [*_runs(study, layout), *_remains(study, layout)]
    gone = [left.path for left in found]
    found += [*_data(named, layout), *_stored(named, layout, gone)]
    shared = _Freed([left.path for left in found])
    sized = [replace(left, size=shared.by(left.path)) for left in found]
    return sorted(sized, key=lambda left: (-left.size, left.path))


def _leftover(path: Path, why: str) -> Leftover:
    return Leftover(path, why, 0)


class _Freed:
    """Bytes that are free when some places are deleted: those of files that no other place has.

    A file that several of them have, as links, counts for the first.
    """

    def __init__(self, places: Iterable[Path]) -> None:
        links: dict[tuple[int, int], list[Path]] = {}
        states: dict[tuple[int, int], os.stat_result] = {}
        for place in places:
            for path in [place] if place.is_file() else [path for path, _ in files(place)]:
                state = path.stat()
                states[state.st_dev, state.st_ino] = state
                links.setdefault((state.st_dev, state.st_ino), []).append(place)
        self._bytes: Counter[Path] = Counter()
        for file, found in links.items():
            if len(found) >= states[file].st_nlink:
                self._bytes[found[0]] += states[file].st_size

    def by(self, place: Path) -> int:
        """Bytes that one of the places frees."""
        return self._bytes[place]


def _others(study: Study, layout: Layout) -> list[Study]:
    """The other studies below the results folder.

    Raises:
        StudyError: One cannot be read.
    """
    found = []
    for path in sorted(layout.root.glob(f"*/{File.STUDY}")):
        if path.parent == layout.study(study.study):
            continue
        try:
            found.append(studies.load(path))
        except StudyError as error:
            raise StudyError(
                f"{error}; it is needed to know which data and runs are in use"
            ) from None
    return found


def _stored(named: list[Study], layout: Layout, gone: list[Path]) -> Iterable[Leftover]:
    """Stored runs that no study names, and that no folder links except those that go."""
    runs = [run for study in named for run in study.runs()]
    needed = {layout.trained(run) for run in runs} | {layout.evaluated(run) for run in runs}
    linked = {
        _file(path)
        for path in layout.root.glob(f"*/{Folder.RUNS}/*/*/*/seed*/{File.ENCODER}")
        if path.parent not in gone
    }
    for kind in (Folder.TRAINED, Folder.EVALUATED):
        for entry in sorted((layout.store / kind).glob("*/")):
            encoder = entry / File.ENCODER
            if entry in needed or held_by(entry) is not None:
                continue
            if encoder.exists() and _file(encoder) in linked:
                continue
            begun = checkpoint_files(entry) and not (entry / File.STORED).exists()
            yield _leftover(
                entry,
                "an interrupted training that no study names"
                if begun
                else "a stored run that no study names or has",
            )


def _file(path: Path) -> tuple[int, int]:
    """Which file this is, whatever its name."""
    state = path.stat()
    return state.st_dev, state.st_ino


def _runs(study: Study, layout: Layout) -> Iterable[Leftover]:
    named = {layout.run(run) for run in study.runs()} | {layout.logs(run) for run in study.runs()}
    for kind in (Folder.RUNS, Folder.LOGS):
        for folder in sorted((layout.study(study.study) / kind).glob("*/*/*/seed*")):
            if folder not in named and held_by(folder) is None:
                yield _leftover(folder, "a run that the study no longer names")


def _data(named: list[Study], layout: Layout) -> Iterable[Leftover]:
    needed = {prepared_name(run.settings.dataset) for study in named for run in study.runs()}
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
