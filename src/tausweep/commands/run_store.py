"""The store of runs: ``results/store``, keyed by settings and shared by all studies.

A training is an entry ``trained/<digest>``, made there under the entry's lock. A finished run is an
entry ``evaluated/<digest>``. A study's run folder has the same files, and its own record. What an
entry has stands in its ``stored.json``, which is written last; nothing is taken that does not match
it. A run's own lock is always taken before that of an entry, and at most one entry is waited for.
Torch is not imported.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tausweep.results import records
from tausweep.storage.atomic import write_json
from tausweep.storage.layout import (
    KEPT_BYTES,
    File,
    Layout,
    checkpoint_files,
    kept_weights,
    remove_checkpoints,
)
from tausweep.storage.links import copy, link_or_copy
from tausweep.storage.run_lock import RunLockedError, run_lock
from tausweep.study import Run, StudyError

Message = Callable[[str], None]

LINKED = ".safetensors"
"""Files with this suffix are linked. The others are small and copied, so that neither an editor nor
Snakemake, which sets the times of a job's outputs, changes those of another study."""

TRAINING = (File.SETTINGS, File.HISTORY, File.ENCODER, File.PRETRAIN)
"""What every training leaves; the last is the sign that it is whole."""


@contextlib.contextmanager
def locked(
    run: Run,
    layout: Layout,
    entry: Path,
    wait: Message | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """Hold the locks of a run's folder and of an entry of the store; see ``run_lock``."""
    name = f"{run.id} of {run.study}"
    with (
        run_lock(layout.run(run), wait, stop, run=name),
        run_lock(entry, wait, stop, run=name),
    ):
        yield


def read(entry: Path) -> dict[str, Any] | None:
    """What an entry has; none if it is not whole.

    Returns:
        ``data_digest``, and ``files``: SHA-256 by name.
    """
    try:
        content = json.loads((entry / File.STORED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(content, dict) and isinstance(content.get("files"), dict)
    return content if whole else None


def seal(entry: Path, names: Iterable[str], data_digest: str) -> None:
    """Write what an entry has: from now on it can be taken."""
    files = {name: records.file_digest(entry / name) for name in sorted(names)}
    write_json(entry / File.STORED, {"data_digest": data_digest, "files": files})


def unseal(entry: Path) -> None:
    """Let an entry not be taken until it is sealed again."""
    (entry / File.STORED).unlink(missing_ok=True)


def _unaltered(entry: Path, data_digest: str | None, say: Message) -> dict[str, str] | None:
    """The files of an entry of today's data, verified; none if it cannot be taken."""
    content = read(entry)
    if content is None or data_digest not in (None, content.get("data_digest")):
        return None
    files: dict[str, str] = content["files"]
    for name, digest in files.items():
        path = entry / name
        if not path.is_file() or records.file_digest(path) != digest:
            say(f"{path}: is missing or does not match {File.STORED}; the stored run is not used")
            return None
    return files


def place(name: str, source: Path, target: Path) -> None:
    """Have a file of one folder in another one, as a link if it is large."""
    if name.endswith(LINKED):
        link_or_copy(source / name, target / name)
    else:
        copy(source / name, target / name)


# Trainings


def is_of(run: Run, folder: Path) -> bool:
    """Whether a folder's training was made with a run's settings."""
    described = json_of(folder / File.PRETRAIN)
    return described.get("settings_digest") == run.settings.pretrain_digest


def is_trained(run: Run, folder: Path) -> bool:
    """Whether a folder has all files of a training with a run's settings; they are not opened."""
    return is_of(run, folder) and all((folder / name).exists() for name in TRAINING)


def serving(run: Run, layout: Layout) -> list[Path]:
    """Entries of trainings that a run can take: its own, then those that kept more epochs."""
    own, wanted = layout.trained(run), {*run.settings.kept_epochs}
    found = []
    for entry in sorted(own.parent.glob(f"{run.settings.pretrain_digest}*")):
        epochs = {int(part) for part in entry.name.split("-")[1:] if part.isdecimal()}
        if entry != own and epochs >= wanted:
            found.append(entry)
    return [own, *found] if own.is_dir() else found


def take_trained(
    run: Run,
    layout: Layout,
    data_digest: str | None,
    say: Message,
    *,
    held: Path | None = None,
) -> bool:
    """Place a stored training in a run's folder, whose lock is held.

    Args:
        run: The run.
        layout: Where results are.
        data_digest: Digest of the data that it must be of; none if that is not known.
        say: Told of an entry that was altered.
        held: The entry whose lock is held. One that somebody else writes now is not taken.

    Returns:
        Whether there was one.
    """
    folder = layout.run(run)
    if (folder / File.RETRAIN).exists():
        return False
    for entry in serving(run, layout):
        lock = contextlib.nullcontext() if entry == held else run_lock(entry)
        with contextlib.suppress(RunLockedError), lock:
            files = _unaltered(entry, data_digest, say)
            if files and is_of(run, entry):
                _place_training(run, files, entry, folder)
                return True
    return False


def _place_training(run: Run, files: Iterable[str], entry: Path, folder: Path) -> None:
    others = {path.name for e, path in kept_weights(entry).items() if e not in run.settings.along}
    taken = {*files} - others
    for path in kept_weights(folder).values():
        if path.name not in taken:
            path.unlink()  # of another training, or of epochs that are not measured any more
    for name in (*sorted(taken - {File.PRETRAIN}), File.PRETRAIN):
        place(name, entry, folder)


def go_on_from(run: Run, layout: Layout) -> None:
    """Move what an interrupted training of an earlier version left to the store.

    The locks of the run's folder and of its training are held.
    """
    folder, entry = layout.run(run), layout.trained(run)
    if checkpoint_files(entry) or not checkpoint_files(folder):
        return
    for path in (*kept_weights(folder).values(), *checkpoint_files(folder)):
        link_or_copy(path, entry / path.name)
    remove_checkpoints(folder)


def store_trained(run: Run, layout: Layout, data_digest: str) -> None:
    """Seal a training that was made in the store, and place it in the run's folder.

    The locks of both are held.
    """
    folder, entry = layout.run(run), layout.trained(run)
    files = files_of_training(entry)
    seal(entry, files, data_digest)
    remove_checkpoints(entry)
    _place_training(run, files, entry, folder)
    (folder / File.RETRAIN).unlink(missing_ok=True)


def files_of_training(folder: Path) -> list[str]:
    """The files of a training, and the weights along it that are in its folder."""
    return [*TRAINING, *(path.name for path in kept_weights(folder).values())]


def drop_measured_weights(run: Run, layout: Layout) -> None:
    """Remove large weights along the training from the store once the run's folder has none.

    They are removed when they are measured (``KEPT_BYTES``). If somebody uses the entry now, they
    stay until another evaluation.
    """
    folder, entry = layout.run(run), layout.trained(run)
    content = read(entry)
    gone = [
        path
        for path in kept_weights(entry).values()
        if path.stat().st_size > KEPT_BYTES and not (folder / path.name).exists()
    ]
    if content is None or not gone:
        return
    with contextlib.suppress(RunLockedError), run_lock(entry):
        for path in gone:
            content["files"].pop(path.name, None)
        write_json(entry / File.STORED, content)
        for path in gone:
            path.unlink(missing_ok=True)


# Finished runs


def take_evaluated(
    run: Run, layout: Layout, data_digest: str | None, say: Message
) -> dict[str, Any] | None:
    """Place a finished run in a run's folder that has no record; the locks of both are held.

    A training that is there must be the one that was measured.

    Returns:
        The run's record; none if there is none to take.
    """
    folder, entry = layout.run(run), layout.evaluated(run)
    if (folder / File.REMEASURE).exists() or (folder / File.RETRAIN).exists():
        return None
    try:
        content = records.read(entry / File.RECORD)
    except (OSError, StudyError):
        return None
    described = json_of(folder / File.PRETRAIN)
    if (
        content["columns"]["settings_digest"] != run.settings.digest
        or ("digests" in content and not records.is_sealed(content))
        or (described and described != content.get("pretrain"))
        or (files := _unaltered(entry, data_digest, say)) is None
        or lacks_along(run, content, files)
    ):
        return None
    first = sorted({*files} - {File.PRETRAIN, File.RECORD})
    for name in (*first, *({File.PRETRAIN} & {*files})):
        place(name, entry, folder)
    content = records.under_names_of(run, content)
    records.write(folder / File.RECORD, content)
    lacking = json_of(folder / File.ALONG).get("not_kept")
    if lacking and run.settings.kept_epochs:
        epochs = ", ".join(str(one["epoch"]) for one in lacking)
        say(
            f"{run.id}: was measured without epoch {epochs}, as those weights were not kept; "
            f"`snakemake --configfile STUDY --forcerun {folder / File.PRETRAIN}` trains it again"
        )
    return content


def lacks_along(run: Run, content: Mapping[str, Any], files: Iterable[str]) -> bool:
    """Whether the measures along the training of a finished run are not among its files."""
    complete = content["columns"]["status"] == "complete"
    return complete and bool(run.settings.along) and File.ALONG not in files


def is_measured(run: Run, layout: Layout) -> bool:
    """Whether the store has a record of the training in a run's folder; nothing is verified."""
    folder, entry = layout.run(run), layout.evaluated(run)
    if (folder / File.REMEASURE).exists() or read(entry) is None:
        return False
    described = json_of(folder / File.PRETRAIN)
    return json_of(entry / File.RECORD).get("pretrain") == described


def store_evaluated(folder: Path, entry: Path, content: Mapping[str, Any]) -> None:
    """Put a measured run into the store; the locks of its folder and of the entry are held.

    Args:
        folder: The run's folder.
        entry: Where it goes.
        content: Its record, which need not be in its folder yet.
    """
    stored, present = read(entry), files_of(content, folder)
    same = stored is not None and json_of(entry / File.RECORD) == content
    # One that came as a record alone gets its other files.
    if stored is not None and same and {*present} <= {*stored["files"]}:
        return
    unseal(entry)
    for path in entry.glob("[!.]*"):
        if path.name not in (*present, File.RUN_LOCK):
            path.unlink()
    for name in present:
        place(name, folder, entry)
    records.write(entry / File.RECORD, content)
    seal(entry, [*present, File.RECORD], content["columns"]["data_digest"])


def files_of(content: Mapping[str, Any], folder: Path) -> list[str]:
    """The files of a record that are in its run's folder, except itself."""
    named = content if "digests" in content else records.sealed(content, folder)
    return [name for name in sorted(named["digests"]["files"]) if (folder / name).is_file()]


def json_of(path: Path) -> dict[str, Any]:
    """A JSON mapping; empty if it is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
