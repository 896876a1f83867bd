"""A longer run goes on where a shorter one of the same settings was, and gets the same bytes.

All randomness belongs to (seed, epoch, instance), so two runs that differ in the number of epochs
alone are the same until the learning rate of the shorter one falls. The state at that point is kept
beside the shorter run, and becomes a checkpoint of the longer one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tausweep.data.prepared import Prepared
from tausweep.storage.atomic import replacing
from tausweep.study import LOSSES, PretrainSettings, Run, StudyError
from tausweep.training import outputs
from tausweep.training.checkpoints import CheckpointFile, Message, load_tensors


def shared_epochs(shorter: PretrainSettings, longer: PretrainSettings) -> int:
    """How many epochs of two trainings have the same learning rate, from the first on."""
    least = min(shorter.epochs, longer.epochs)
    return next((e for e in range(least) if shorter.lr_at(e) != longer.lr_at(e)), least)


def before_decay(settings: PretrainSettings) -> int:
    """Epochs until the learning rate first falls: where any longer run can go on."""
    return next(
        (e for e in range(settings.epochs) if settings.lr_at(e) != settings.lr), settings.epochs
    )


def keep(checkpoints: CheckpointFile, state: Path) -> None:
    """Keep the last checkpoint of a run as a state that a longer run can go on from."""
    with replacing(state) as temporary:
        shutil.copyfile(checkpoints.path, temporary)


def adopt(state: Path, run: Run, data: Prepared, folder: Path, say: Message) -> bool:
    """Give a run the state of a shorter one as its checkpoint, if it has none of its own.

    Args:
        state: What ``keep`` kept.
        run: The longer run.
        data: What both train on.
        folder: Of the longer run.
        say: Told if the state is not used.

    Returns:
        Whether the run goes on from the state.

    Raises:
        StudyError: The run's loss may depend on the number of epochs.
    """
    loss = run.settings.loss
    if loss.module is not None or loss.name not in LOSSES:
        raise StudyError(f"{run.id}: only runs of the paper's losses go on from shorter ones")
    own = outputs.checkpoints_of(run, data, folder)
    if own.load(say) is not None:
        return False
    try:
        tensors, metadata = load_tensors(state)
    except (FileNotFoundError, ValueError) as error:
        say(f"{run.id}: begins at its first epoch: {error}")
        return False
    theirs, position = metadata["identity"], metadata["position"]
    shorter = PretrainSettings.model_validate(theirs["settings"]["pretrain"])
    settings = own.identity["settings"]
    same = {**theirs["settings"], "pretrain": None} == {**settings, "pretrain": None}
    same = same and theirs["data_digest"] == data.digest
    longer = run.settings.pretrain
    same = same and shorter.model_copy(update={"epochs": longer.epochs}) == longer
    if not same or position["step"] or position["epoch"] > shared_epochs(shorter, longer):
        say(f"{run.id}: begins at its first epoch: {state} is of other settings")
        return False
    folder.mkdir(parents=True, exist_ok=True)
    own.save(tensors, position)
    say(f"{run.id}: goes on after epoch {position['epoch']} of a shorter run")
    return True
