"""`tausweep evaluate`: every measure of one pretrained run, and its record."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from tausweep import study as studies
from tausweep.commands import flags
from tausweep.commands.messages import say
from tausweep.commands.plan import planned_run
from tausweep.commands.prepare import prepared_data
from tausweep.machine import devices
from tausweep.results import records
from tausweep.storage import provenance
from tausweep.storage.layout import File, Layout
from tausweep.storage.run_lock import run_lock
from tausweep.study import StudyError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_job(parser)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    devices.set_threads(options.threads)
    evaluate(
        options.study, options.run_id, Path(options.results), planned=options.settings,
        device=options.device, say=say,
    )  # fmt: skip


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
        RunLockedError: Another process writes this run.
    """
    from tausweep.measures import along
    from tausweep.measures.evaluate import Evaluation
    from tausweep.measures.evaluate import evaluate as measure
    from tausweep.training.checkpoints import CheckpointFile

    started = provenance.now()
    run = planned_run(studies.load(study), run_id, "evaluate", planned)
    data = prepared_data([run], results)
    folder = Layout(results).run(run)
    try:
        described = json.loads((folder / File.PRETRAIN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise StudyError(f"{folder}: is not pretrained; `tausweep pretrain` does it") from None
    with run_lock(folder, wait=say), devices.device(device, say=say) as where:
        evaluation = Evaluation(run.settings, folder, data, where, say)
        measured = measure(evaluation)
        if measured:
            along.evaluate(evaluation, measured)
        status = "complete" if measured else "diverged"
        code = f"{described['code_version']}-{provenance.code_version('evaluate')}"
        content = records.record(
            run,
            status=status,
            measured=measured,
            pretrain=described,
            evaluate=provenance.describe(started, devices.describe(where)),
            code_version=code,
        )
        records.write(folder / File.RECORD, records.sealed(content, folder))
        CheckpointFile(folder, {}).remove()
    shown = {k: content["columns"].get(k) for k in ("linear_accuracy", "uniformity", "tolerance")}
    say(f"{run.id}: {status} " + " ".join(
        f"{k} {v:.3f}" for k, v in shown.items() if v is not None
    ))  # fmt: skip
