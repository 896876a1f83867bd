"""Pretraining: one run from its settings and prepared data to an encoder and a bank.

A run that is killed and resumed from its checkpoint ends with the same bytes as an uninterrupted
one. Several processes may share a run: each takes its part of every batch, and the results are
summed (see ``tausweep.machine.batch_sharing``).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from tausweep.data.prepared import Prepared
from tausweep.machine.peers import ALONE, Processes
from tausweep.study import RunSettings
from tausweep.training.checkpoints import CheckpointFile, Message
from tausweep.training.trainer import Keep, Pretrained, Trainer


class StoppedError(Exception):
    """The run was asked to stop; its checkpoint is saved."""


def pretrain(
    settings: RunSettings,
    data: Prepared,
    device: torch.device,
    checkpoints: CheckpointFile,
    *,
    say: Message,
    stop: Callable[[], bool] = lambda: False,
    checkpoint_seconds: float = 60.0,
    processes: Processes = ALONE,
    keep: Keep | None = None,
) -> Pretrained:
    """Train the run's encoder, from its checkpoint if there is one.

    Args:
        settings: The run's resolved settings.
        data: Prepared data; only the training images are used, never their labels.
        device: Where to train.
        checkpoints: Where the state is kept.
        say: Receives a progress line per epoch, and messages about checkpoints.
        stop: Asked after every step; if true, the state is saved and the run ends.
        checkpoint_seconds: Least time between checkpoints.
        processes: The processes that share the run. The first saves and reports. If one is asked to
            stop, all stop after the same step.
        keep: Called in the first process after every epoch, before the state is saved, so that a
            resumed run never misses an epoch.

    Raises:
        StoppedError: ``stop`` was true.
        StudyError: K is larger than the bank, a batch cannot be normalised, or it has no part for
            every process.
        ProcessesError: Another process ended, or has other weights or another bank.
    """
    trainer = Trainer(settings, data, device, processes)
    if (found := checkpoints.load(say)) is not None:
        trainer.restore(found.tensors, found.position)
        at = trainer.position
        say(f"resumed at epoch {at.epoch + 1}, step {at.step + 1}, from {checkpoints.path.name}")
    trainer.check_same()
    saved = time.monotonic()

    def stopped() -> bool:
        """Whether to stop here; saves first, and also when a checkpoint is due."""
        nonlocal saved
        due = time.monotonic() - saved >= checkpoint_seconds
        stopping, saving = processes.any(stop(), due and processes.first)
        if stopping or saving:
            trainer.check_same()
            if processes.first:
                checkpoints.save(*trainer.state())
            processes.any(True)  # all wait here until it is saved
            saved = time.monotonic()
        return stopping

    try:
        for _ in trainer.steps_left(say, keep if processes.first else None):
            if stopped() and not trainer.done:
                at = trainer.position
                where = f"at epoch {at.epoch + 1}, step {at.step}"
                if at.step == 0:
                    where = f"after epoch {at.epoch}"
                raise StoppedError(f"stopped and saved {where}")
    except FloatingPointError as error:
        say(f"diverged: {error}")
        return trainer.result("diverged")
    return trainer.result("complete")
