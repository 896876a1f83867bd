"""`tausweep evaluate`: take every measure of a pretrained run and write its record."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep import study as studies
from tausweep.commands import ahead, flags, migrate, run_store
from tausweep.commands.messages import say
from tausweep.commands.plan import planned_run
from tausweep.commands.prepare import prepared_data
from tausweep.data.manifest import manifest
from tausweep.machine import devices
from tausweep.results import records
from tausweep.storage import provenance
from tausweep.storage.layout import File, Layout, remove_checkpoints
from tausweep.study import Run, StudyError

if TYPE_CHECKING:
    from tausweep.data.prepared import Prepared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_job(parser)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    devices.set_threads(options.threads)
    job = options.study, options.run_id, Path(options.results)
    if not take_made(
        *job, planned=options.settings, device=options.device, threads=options.threads, say=say
    ):
        evaluate(*job, planned=options.settings, device=options.device, say=say)


def take_made(
    study: str,
    run_id: str,
    results: Path,
    *,
    planned: str | None = None,
    device: str,
    threads: int,
    say: Callable[[str], None],
) -> bool:
    """Use a record that is made already: by the training of this run, or for another study.

    The first is only used if an evaluation now would make the same one (``ahead``). The second is
    the same run under other names, and counts by whichever code it was made (``run_store``).

    This does not import torch, which is its purpose.

    Returns:
        Whether the run now has its record.

    Raises:
        StudyError: Bad input.
    """
    layout = Layout(results)
    run = planned_run(studies.load(study), run_id, "evaluate", planned)
    folder = layout.run(run)
    with run_store.locked(run, layout, layout.evaluated(run), wait=say):
        if (folder / File.AHEAD).exists():
            content = ahead.fitting(run, layout, device=device, threads=threads)
            if content is None:
                ahead.forget(folder)
                # The store has it as well, by now.
                (folder / File.REMEASURE).touch()
                return False
            _finish(run, layout, content)
            say(f"{run.id}: measured by the process that trained it")
        else:
            content = _stored(run, layout, say)
            if content is None:
                return False
    say(_summary(run, content))
    return True


def _stored(run: Run, layout: Layout, say: Callable[[str], None]) -> dict[str, Any] | None:
    """Take a run's record from the store if it has none; its locks are held."""
    if (layout.run(run) / File.RECORD).exists():
        return None
    made = manifest(run.settings.dataset, layout) or {}
    content = run_store.take_evaluated(run, layout, made.get("digest"), say)
    if content is not None:
        say(f"{run.id}: already measured, taken from {layout.store}")
    return content


def evaluate_ahead(
    study: str, run_id: str, results: Path, *, device: str, say: Callable[[str], None]
) -> None:
    """Measure a run that this process has trained; its evaluate job will use the record.

    A run that was measured for another study is left to that job, which takes the record.

    If this fails nothing is lost, because the evaluate job measures the run or reports the error.
    """
    layout, run = Layout(results), planned_run(studies.load(study), run_id, "evaluate", None)
    folder, entry = layout.run(run), layout.evaluated(run)
    if (folder / File.RECORD).exists():
        return
    try:
        data, described = _pretrained(run, results)
        with run_store.locked(run, layout, entry, wait=say):
            if run_store.is_measured(run, layout):
                return
            content = _measured(run, data, described, folder, device, say)
            records.write(folder / File.AHEAD, content)
            run_store.store_evaluated(folder, entry, content)
    except (StudyError, OSError, RuntimeError) as error:
        say(f"{run.id}: not measured ahead of its evaluation: {error}")


def evaluate(
    study: str,
    run_id: str,
    results: Path,
    *,
    planned: str | None = None,
    device: str,
    say: Callable[[str], None],
) -> None:
    """Measure a pretrained run and write its record.

    Raises:
        StudyError: Bad input, or the run is not pretrained with these settings and data.
    """
    layout = Layout(results)
    run = planned_run(studies.load(study), run_id, "evaluate", planned)
    data, described = _pretrained(run, results)
    with run_store.locked(run, layout, layout.evaluated(run), wait=say):
        # Another study may have had it measured since `take_made` looked.
        content = _stored(run, layout, say)
        if content is None:
            content = _measured(run, data, described, layout.run(run), device, say)
            _finish(run, layout, content)
    say(_summary(run, content))


def _finish(run: Run, layout: Layout, content: dict[str, Any]) -> None:
    """Write the record of a measured run, here and in the store; its locks are held."""
    folder = layout.run(run)
    run_store.store_evaluated(folder, layout.evaluated(run), content)
    records.write(folder / File.RECORD, content)
    ahead.forget(folder)
    remove_checkpoints(folder)
    run_store.drop_measured_weights(run, layout)
    migrate.adopt_training(folder, layout)
    (folder / File.REMEASURE).unlink(missing_ok=True)


def _pretrained(run: Run, results: Path) -> tuple[Prepared, dict[str, Any]]:
    """The data of a run, and its ``pretrain.json``.

    Raises:
        StudyError: The data is not available, or the run is not pretrained.
    """
    data, folder = prepared_data([run], results), Layout(results).run(run)
    try:
        return data, json.loads((folder / File.PRETRAIN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise StudyError(f"{folder}: is not pretrained; run `tausweep pretrain` first") from None


def _measured(
    run: Run,
    data: Prepared,
    described: dict[str, Any],
    folder: Path,
    device: str,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Measure a pretrained run whose lock is held; return its sealed record."""
    from tausweep.measures import along
    from tausweep.measures.evaluate import Evaluation
    from tausweep.measures.evaluate import evaluate as measure

    started = provenance.now()
    with devices.device(device, say=say) as where:
        evaluation = Evaluation(run.settings, folder, data, where, say)
        measured = measure(evaluation)
        if measured:
            along.evaluate(evaluation, measured)
        content = records.record(
            run,
            status="complete" if measured else "diverged",
            measured=measured,
            pretrain=described,
            evaluate=provenance.describe(started, devices.describe(where)),
            code_version=ahead.code_versions(described),
        )
    return records.sealed(content, folder)


def _summary(run: Run, content: Mapping[str, Any]) -> str:
    columns = content["columns"]
    shown = {k: columns.get(k) for k in ("linear_accuracy", "uniformity", "tolerance")}
    numbers = (f"{k} {v:.3f}" for k, v in shown.items() if v is not None)
    return f"{run.id}: {columns['status']} {' '.join(numbers)}"
