"""`tausweep migrate`: put the runs of an earlier version's results into the store, as links.

A run says itself by which settings it was made, so no study file is needed. Nothing is moved,
changed or deleted, and what the store has already is left as it is.
"""

from __future__ import annotations

import argparse
import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

from tausweep.commands import flags, run_store
from tausweep.results import records
from tausweep.storage.layout import (
    File,
    Folder,
    Layout,
    kept_weights,
    remove_checkpoints,
    trained_name,
)
from tausweep.storage.run_lock import RunLockedError, run_lock
from tausweep.study import StudyError

TRAINED, FINISHED, UNLINKED = "training", "finished run", "copied"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_results(parser)
    parser.add_argument("--dry-run", action="store_true", help="only list what would be done")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns 1 if a run was altered or is being written, and so left out."""
    layout = Layout(Path(options.results))
    if not layout.root.is_dir():
        raise StudyError(f"--results {layout.root}: there is no such folder")
    said, whole = migrate(layout, dry=options.dry_run)
    print(said)
    return 0 if whole else 1


def migrate(layout: Layout, *, dry: bool) -> tuple[str, bool]:
    """Put all runs below a results folder into its store.

    Args:
        layout: Where results are.
        dry: Whether to only say what would be done.

    Returns:
        What was done, in words, and whether no run had to be left out.
    """
    done: dict[str, Counter[str]] = {}
    left_out: list[str] = []
    for folder in run_folders(layout):
        study = folder.relative_to(layout.root).parts[0]
        try:
            done.setdefault(study, Counter()).update(_migrated(folder, layout, dry))
        except (RunLockedError, StudyError) as error:
            left_out.append(str(error))
    lines = [_line(study, counts, dry) for study, counts in done.items()]
    if any(counts[UNLINKED] for counts in done.values()):
        lines.append(f"{layout.store}: cannot be linked from there, so weights were copied")
    lines += [f"left out: {reason}" for reason in left_out]
    return "\n".join(lines or [f"{layout.root}: no study has a run there"]), not left_out


def _line(study: str, counts: Counter[str], dry: bool) -> str:
    found = [
        f"{counts[what]} {what}{'s' * (counts[what] > 1)}"
        for what in (TRAINED, FINISHED)
        if counts[what]
    ]
    if not found:
        return f"{study}: nothing that the store lacks"
    return f"{study}: {' and '.join(found)} {'would enter' if dry else 'entered'} the store"


def run_folders(layout: Layout) -> list[Path]:
    """The folders of all runs of all studies."""
    return sorted(layout.root.glob(f"*/{Folder.RUNS}/*/*/*/seed*/"))


def _migrated(folder: Path, layout: Layout, dry: bool) -> Counter[str]:
    if dry:
        record = lacking_record(folder, layout)
        counts = {
            TRAINED: lacking_training(folder, layout) is not None,
            FINISHED: record is not None,
        }
        return Counter({what: int(there) for what, there in counts.items()})
    with run_lock(folder):
        return adopt(folder, layout)


def adopt(folder: Path, layout: Layout) -> Counter[str]:
    """Put what a run's folder, whose lock is held, has and the store lacks into the store.

    Raises:
        StudyError: The record or one of its files was altered; nothing of the run is taken.
    """
    counts = Counter[str]()
    record = lacking_record(folder, layout)
    if record is not None:
        place = layout.store / Folder.EVALUATED / str(record["columns"]["settings_digest"])
        with contextlib.suppress(RunLockedError), run_lock(place):
            run_store.store_evaluated(folder, place, record)
            counts[FINISHED] += 1
    if (entry := adopt_training(folder, layout)) is not None:
        counts[TRAINED] += 1
        counts[UNLINKED] += not (entry / File.ENCODER).samefile(folder / File.ENCODER)
    return counts


def adopt_training(folder: Path, layout: Layout, held: Path | None = None) -> Path | None:
    """Put the training of a run's folder, whose lock is held, into the store if that lacks it.

    Args:
        folder: The run's folder.
        layout: Where results are.
        held: An entry whose lock is held. Nothing is done if somebody else writes the entry now.

    Returns:
        The entry, if this made it.
    """
    entry = lacking_training(folder, layout)
    if entry is None:
        return None
    lock = contextlib.nullcontext() if entry == held else run_lock(entry)
    with contextlib.suppress(RunLockedError), lock:
        _store_training(folder, entry)
        return entry
    return None


def _store_training(folder: Path, entry: Path) -> None:
    files = run_store.files_of_training(folder)
    run_store.unseal(entry)
    for name in files:
        run_store.place(name, folder, entry)
    run_store.seal(entry, files, run_store.json_of(folder / File.PRETRAIN)["data_digest"])
    remove_checkpoints(entry)


def lacking_training(folder: Path, layout: Layout) -> Path | None:
    """The entry of a run's training if it is whole and the store lacks it."""
    described = run_store.json_of(folder / File.PRETRAIN)
    whole = all((folder / name).is_file() for name in run_store.TRAINING)
    if not whole or not {"settings_digest", "data_digest"} <= described.keys():
        return None
    name = trained_name(described["settings_digest"], _epochs_kept(folder))
    entry = layout.store / Folder.TRAINED / name
    return entry if run_store.read(entry) is None else None


def _epochs_kept(folder: Path) -> set[int]:
    """Epochs whose weights were kept: those that are there, and those that were measured."""
    last = run_store.json_of(folder / File.SETTINGS).get("pretrain", {}).get("epochs")
    try:
        measured = {int(row["epoch"]) for row in run_store.json_of(folder / File.ALONG)["rows"]}
    except (KeyError, TypeError, ValueError):
        measured = set()
    return {*kept_weights(folder), *measured} - {last}


def lacking_record(folder: Path, layout: Layout) -> dict[str, Any] | None:
    """The record of a run if the store lacks it, or has fewer of its files.

    Raises:
        StudyError: It is damaged, or it or one of its files was altered.
    """
    try:
        content = records.read(folder / File.RECORD)
    except FileNotFoundError:
        return None
    entry = layout.store / Folder.EVALUATED / str(content["columns"]["settings_digest"])
    names = run_store.files_of(content, folder)
    if (there := run_store.read(entry)) is not None and {*names} <= {*there["files"]}:
        return None
    if "digests" in content:
        if not records.is_sealed(content):
            raise StudyError(
                f"{folder / File.RECORD}: was altered: it does not match its own digest"
            )
        for name in names:
            if records.file_digest(folder / name) != content["digests"]["files"][name]:
                raise StudyError(f"{folder / name}: was altered: it does not match its digest")
    return content
