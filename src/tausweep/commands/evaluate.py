"""`tausweep evaluate`: take every measure of a pretrained run and write its record."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep import study as studies
from tausweep.commands import ahead, flags
from tausweep.commands.messages import say
from tausweep.commands.plan import planned_run
from tausweep.commands.prepare import prepared_data
from tausweep.machine import devices
from tausweep.results import records
from tausweep.storage import provenance
from tausweep.storage.layout import File, Layout, remove_checkpoints
from tausweep.storage.run_lock import run_lock
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
    if not take_ahead(
        *job, planned=options.settings, device=options.device, threads=options.threads, say=say
    ):
        evaluate(*job, planned=options.settings, device=options.device, say=say)


def take_ahead(
    study: str,
    run_id: str,
    results: Path,
    *,
    planned: str | None = None,
    device: str,
    threads: int,
    say: Callable[[str], None],
) -> bool:
    """Use the record that the training of a run made ahead, if it is up to date.

    This does not import torch, which is its purpose. See ``tausweep.commands.ahead``.

    Returns:
        Whether the run now has its record.

    Raises:
        StudyError: Bad input.
        RunLockedError: Another process is writing this run.
    """
    layout = Layout(results)
    run = planned_run(studies.load(study), run_id, "evaluate", planned)
    folder = layout.run(run)
    if not (folder / File.AHEAD).exists():
        return False
    with run_lock(folder, wait=say):
        content = ahead.fitting(run, layout, device=device, threads=threads)
        if content is None:
            ahead.forget(folder)
            return False
        (folder / File.AHEAD).replace(folder / File.RECORD)
        remove_checkpoints(folder)
    say(f"{run.id}: measured by the process that trained it")
    say(_summary(run, content))
    return True


def evaluate_ahead(
    study: str, run_id: str, results: Path, *, device: str, say: Callable[[str], None]
) -> None:
    """Measure a run that this process has trained; its evaluate job will use the record.

    If this fails nothing is lost, because the evaluate job measures the run or reports the error.
    """
    run = planned_run(studies.load(study), run_id, "evaluate", None)
    folder = Layout(results).run(run)
    if (folder / File.RECORD).exists():
        return
    try:
        data, described = _pretrained(run, results)
        with run_lock(folder, wait=say):
            records.write(folder / File.AHEAD, _measured(run, data, described, folder, device, say))
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
        RunLockedError: Another process is writing this run.
    """
    run = planned_run(studies.load(study), run_id, "evaluate", planned)
    folder = Layout(results).run(run)
    data, described = _pretrained(run, results)
    with run_lock(folder, wait=say):
        content = _measured(run, data, described, folder, device, say)
        records.write(folder / File.RECORD, content)
        ahead.forget(folder)
        remove_checkpoints(folder)
    say(_summary(run, content))


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
