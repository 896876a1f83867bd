"""What a study takes from the store of runs before Snakemake plans it, and what it must not take.

Only what a study lacks is taken, so planning it twice changes nothing, and a dry run may do it too:
then it lists the jobs that a real run would have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tausweep.commands import run_store
from tausweep.commands.plan import made_of_source
from tausweep.data.manifest import manifest
from tausweep.storage.layout import File, Layout
from tausweep.storage.run_lock import RunLockedError, run_lock
from tausweep.study import DatasetSettings, Run, Study

MANY = 50
"""More runs than this take seconds or, over a network, minutes to verify."""


def take_all(study: Study, layout: Layout, say: Callable[[str], None]) -> None:
    """Place the stored runs that a study lacks in its folder.

    Runs that a process writes now are left alone; their jobs wait for it.

    Args:
        study: The study.
        layout: Where results are.
        say: Told how many runs were taken, and of stored files that were altered.

    Raises:
        OSError: The study's folder cannot be written.
    """
    data = _Data(layout)
    waiting = [run for run in study.runs() if _may_take(run, layout, data)]
    if len(waiting) > MANY:
        say(f"{study.study}: checking the files of {len(waiting)} runs in {layout.store}")
    finished = trained = 0
    for run in waiting:
        digest = data.digest(run.settings.dataset)
        if _take_finished(run, layout, digest, say):
            finished += 1
        elif _take_training(run, layout, digest, say):
            trained += 1
    if finished or trained:
        counts = ((finished, "finished"), (trained, "trained"))
        said = " and ".join(f"{count} {what}" for count, what in counts if count)
        s = "s" * (finished + trained > 1)
        say(
            f"{study.study}: took {said} run{s} from {layout.store}, as their settings are the same"
        )


class _Data:
    """The prepared data of a study's runs, as they are now."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._found: dict[DatasetSettings, tuple[bool, str | None]] = {}

    def _look(self, dataset: DatasetSettings) -> tuple[bool, str | None]:
        if dataset not in self._found:
            made: dict[str, Any] | None = manifest(dataset, self._layout)
            if made is None:
                self._found[dataset] = True, None
            else:
                unchanged = made_of_source(made, dataset, self._layout)
                self._found[dataset] = unchanged, made.get("digest")
        return self._found[dataset]

    def usable(self, dataset: DatasetSettings) -> bool:
        """Whether their source has not changed; else they are made again first."""
        return self._look(dataset)[0]

    def digest(self, dataset: DatasetSettings) -> str | None:
        """Their digest; none if they were deleted or are yet to be made."""
        return self._look(dataset)[1]


def _may_take(run: Run, layout: Layout, data: _Data) -> bool:
    """Whether a run has no record and the store has something of it."""
    return (
        not (layout.run(run) / File.RECORD).exists()
        and ((layout.evaluated(run) / File.STORED).exists() or bool(run_store.serving(run, layout)))
        and data.usable(run.settings.dataset)
    )


def _take_finished(
    run: Run, layout: Layout, digest: str | None, say: Callable[[str], None]
) -> bool:
    entry = layout.evaluated(run)
    if not (entry / File.STORED).exists():
        return False
    try:
        with run_store.locked(run, layout, entry):
            return run_store.take_evaluated(run, layout, digest, say) is not None
    except RunLockedError:
        return False


def _take_training(
    run: Run, layout: Layout, digest: str | None, say: Callable[[str], None]
) -> bool:
    folder = layout.run(run)
    # One of other settings is replaced by its job, so that a plan changes nothing that is there.
    if (folder / File.PRETRAIN).exists() and not run_store.is_of(run, folder):
        return False
    if run_store.is_trained(run, folder) or not run_store.serving(run, layout):
        return False
    try:
        with run_lock(folder):
            return run_store.take_trained(run, layout, digest, say)
    except RunLockedError:
        return False


MARKS: dict[str, str] = {File.PRETRAIN: File.RETRAIN, File.RECORD: File.REMEASURE}
"""The mark of a run's folder that says that a file's job is not to take what the store has."""


def redo(outputs: Iterable[Path]) -> None:
    """Mark the runs of jobs that Snakemake was told to do again, so that nothing is taken for them.

    Args:
        outputs: Outputs of the jobs. Those of a training or an evaluation count.
    """
    for path in outputs:
        if (mark := MARKS.get(path.name)) is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / mark).touch()


def settle(outputs: Iterable[Path]) -> None:
    """Remove the marks of jobs that have nothing to do, which were told to and never began."""
    for path in outputs:
        if (mark := MARKS.get(path.name)) is not None:
            (path.parent / mark).unlink(missing_ok=True)
