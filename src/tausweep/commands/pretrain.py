"""`tausweep pretrain`: train one run."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tausweep import study as studies
from tausweep.commands import flags, migrate, run_store
from tausweep.commands.evaluate import evaluate_ahead
from tausweep.commands.messages import CommandError, say, say_error
from tausweep.commands.plan import planned_run
from tausweep.commands.prepare import prepared_data
from tausweep.machine import devices, instructions, stop_signals
from tausweep.storage import provenance
from tausweep.storage.layout import Layout
from tausweep.storage.run_lock import RunLockedError
from tausweep.study import Run

if TYPE_CHECKING:
    from tausweep.data.prepared import Prepared
    from tausweep.machine.peers import Processes
    from tausweep.model.bank import MemoryBank
    from tausweep.model.encoder import Encoder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_job(parser)
    parser.add_argument(
        "--checkpoint-seconds", type=flags.seconds, default=60.0, metavar="S",
        help="least time between checkpoints (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--processes", type=flags.whole(0), default=1, metavar="N",
        help="train with N processes of torchrun, one GPU each; they share the CPU threads; "
        "0 or 1 uses only this process (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--evaluate", action="store_true",
        help="measure the run in the same process; `tausweep evaluate` then takes that record",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        StudyError: Bad input.
        CommandError: The run was stopped and saved, or cannot continue.
    """
    count = int(os.environ.get("WORLD_SIZE", "0"))
    if count == 0 and options.processes > 1:
        return _launch(options)
    devices.set_threads(max(options.threads // max(count, 1), min(options.threads, 1)))
    from tausweep.machine.peers import ProcessesError
    from tausweep.training.pretrain import StoppedError

    stopped = stop_signals.catch(patient=count > 1)
    try:
        pretrain(
            options.study, options.run_id, Path(options.results), planned=options.settings,
            device=options.device, say=say, stop=lambda: bool(stopped),
            checkpoint_seconds=options.checkpoint_seconds,
        )  # fmt: skip
        # One process measures, with the instructions that an evaluation has.
        if options.evaluate and count <= 1 and instructions.in_use() == instructions.of_float32():
            stop_signals.release()  # there is no state to save; unfinished results are made again
            evaluate_ahead(
                options.study, options.run_id, Path(options.results), device=options.device, say=say
            )
    except StoppedError as error:
        # The signal may have reached another process of the run instead.
        code = 128 + (stopped or [signal.SIGTERM])[0]
        if os.environ.get("RANK", "0") != "0":
            return code
        raise CommandError(f"{error}; start the same command again to continue", code) from None
    except (RunLockedError, ProcessesError) as error:
        raise CommandError(str(error)) from None
    return 0


def _launch(options: argparse.Namespace) -> int:
    """Start this command as several processes, and return their exit code.

    Raises:
        StudyError: Bad input, checked here so that it is reported only once.
    """
    planned_run(studies.load(options.study), options.run_id, "pretrain", options.settings)
    devices.set_threads(max(options.threads // options.processes, min(options.threads, 1)))
    from tausweep.machine import torchrun

    return torchrun.launch("tausweep.cli", options.arguments, options.processes, say_error)


def pretrain(
    study: str,
    run_id: str,
    results: Path,
    *,
    planned: str | None = None,
    device: str,
    say: Callable[[str], None],
    stop: Callable[[], bool],
    checkpoint_seconds: float,
    until: int | None = None,
) -> None:
    """Pretrain a run and write its outputs; a finished run, of this study or another, is taken.

    It is trained in the store (see ``run_store``) and then linked into the run's folder.

    If torchrun started several processes, they share the run; only the first locks it, writes files
    and prints messages. With ``until``, the run stops after that epoch, and its state is saved.

    Raises:
        StudyError: Bad input, before any work starts.
        RunLockedError: Another process is writing this run, and waiting for it was stopped.
        StoppedError: ``stop`` was true; the state is saved.
        ProcessesError: Another process of the run ended.
    """
    from tausweep.machine.peers import joined

    run, layout = planned_run(studies.load(study), run_id, "pretrain", planned), Layout(results)
    entry = layout.trained(run)
    with joined(device) as processes:
        if not processes.first:
            say = _silent
        # The first process makes and checks the data before the others open it.
        data = prepared_data([run], results) if processes.first else None
        with processes.by_first(contextlib.nullcontext, stop):
            data = data or prepared_data([run], results)
        with processes.by_first(
            lambda: run_store.locked(run, layout, entry, wait=say, stop=stop), stop
        ):
            (done,) = processes.any(processes.first and is_there(run, layout, data, say))
            if not done:
                _pretrain_locked(
                    run,
                    data,
                    layout,
                    processes,
                    device,
                    say,
                    stop,
                    checkpoint_seconds,
                    until,
                )


def is_there(run: Run, layout: Layout, data: Prepared, say: Callable[[str], None]) -> bool:
    """Whether a run has its training, taken from the store if need be; its locks are held."""
    from tausweep.training.outputs import is_pretrained

    folder, entry = layout.run(run), layout.trained(run)
    if is_pretrained(folder, run, data):
        say(f"{run.id}: already pretrained, nothing to do")
        migrate.adopt_training(folder, layout, held=entry)
        return True
    if run_store.take_trained(run, layout, data.digest, say, held=entry):
        if is_pretrained(folder, run, data):
            say(f"{run.id}: already pretrained, taken from {layout.store}")
            return True
        say(f"{run.id}: its training in {layout.store} is damaged and is not used")
    run_store.go_on_from(run, layout)
    return False


def _silent(line: str) -> None:
    """Discard messages of every process but the first."""


def _pretrain_locked(
    run: Run,
    data: Prepared,
    layout: Layout,
    processes: Processes,
    wanted_device: str,
    say: Callable[[str], None],
    stop: Callable[[], bool],
    checkpoint_seconds: float,
    until: int | None,
) -> None:
    from tausweep.machine import devices
    from tausweep.training import outputs
    from tausweep.training.pretrain import pretrain as train

    started, entry = provenance.now(), layout.trained(run)
    settings, checkpoints = run.settings, outputs.checkpoints_of(run, data, entry)
    say(f"{run.id}: {len(data.train_images):,} images, {settings.pretrain.epochs} epochs")
    save, reached = outputs.kept_epochs(run, data, entry), []

    def keep(epoch: int, encoder: Encoder, bank: MemoryBank) -> None:
        save(epoch, encoder, bank)
        if epoch == until:
            reached.append(epoch)

    with devices.devices_of(wanted_device, processes, say, stop) as device:
        trained = train(
            settings, data, device, checkpoints,
            say=say, stop=lambda: stop() or bool(reached), processes=processes,
            checkpoint_seconds=checkpoint_seconds, keep=keep,
        )  # fmt: skip
        hardware = devices.describe(device)
    if processes.count > 1:
        hardware["processes"] = processes.count
    if processes.first:
        run_store.unseal(entry)
        outputs.write_pretrained(run, data, entry, trained, started, hardware)
        run_store.store_trained(run, layout, data.digest)
