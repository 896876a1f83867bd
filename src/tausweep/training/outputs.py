"""The outputs of pretraining in a run's folder: settings, history, weights, checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tausweep.data.prepared import Prepared
from tausweep.model.bank import MemoryBank
from tausweep.model.encoder import Encoder
from tausweep.storage import provenance
from tausweep.storage.atomic import write_json, write_text
from tausweep.storage.layout import File, kept_weights, weights_after
from tausweep.study import Run
from tausweep.training.checkpoints import CheckpointFile, load_tensors, save_tensors
from tausweep.training.position import history_csv
from tausweep.training.trainer import Keep, Pretrained


def is_pretrained(folder: Path, run: Run, data: Prepared) -> bool:
    """Whether a run's folder has all outputs of pretraining for these settings and data."""
    if not all((folder / name).exists() for name in (File.SETTINGS, File.HISTORY)):
        return False
    try:
        described = json.loads((folder / File.PRETRAIN).read_text(encoding="utf-8"))
        _, metadata = load_tensors(folder / File.ENCODER)
    except (OSError, ValueError):
        return False  # missing or damaged (DamagedFileError is a ValueError), so it is made again
    wanted = (run.settings.pretrain_digest, data.digest)
    return all(
        (found.get("settings_digest"), found.get("data_digest")) == wanted
        for found in (described, metadata)
    )


def checkpoints_of(run: Run, data: Prepared, folder: Path) -> CheckpointFile:
    """The checkpoints of a run in its folder, bound to its settings and data."""
    settings = run.settings.pretrain_json()
    return CheckpointFile(folder, {"settings": settings, "data_digest": data.digest})


def kept_epochs(run: Run, data: Prepared, folder: Path) -> Keep:
    """A function that saves encoder and bank at the epochs measured along training.

    The last epoch is left out, because pretraining saves its weights anyway.
    """
    wanted = run.settings.kept_epochs
    made = {"settings_digest": run.settings.pretrain_digest, "data_digest": data.digest}

    def keep(epoch: int, encoder: Encoder, bank: MemoryBank) -> None:
        if epoch in wanted:
            path = weights_after(folder, epoch)
            _save_encoder(path, encoder, bank, made | {"outcome": "complete", "epoch": epoch})

    return keep


def _save_encoder(path: Path, encoder: Encoder, bank: MemoryBank, made: dict[str, Any]) -> None:
    save_tensors(path, {**encoder.state_dict(), "bank": bank.entries}, made)


def write_pretrained(
    run: Run,
    data: Prepared,
    folder: Path,
    trained: Pretrained,
    started: str,
    hardware: dict[str, Any],
) -> None:
    """Write the outputs of pretraining: settings, history, encoder with bank, provenance.

    Args:
        run: The run.
        data: What it was trained on.
        folder: Where its files go.
        trained: The result of training.
        started: When it began, see ``provenance.now``.
        hardware: See ``devices.describe``.
    """
    settings, history = run.settings, trained.history
    seconds = sum(row["seconds"] for row in history)
    described = {
        "outcome": trained.outcome,
        "settings_digest": settings.pretrain_digest,
        "data_digest": data.digest,
        "code_version": provenance.code_version("pretrain"),
        "train_loss": history[-1]["loss"] if history and trained.outcome == "complete" else None,
        "seconds": round(seconds, 3),
        "images_per_second": (
            round(len(history) * len(data.train_images) / seconds, 1) if history else None
        ),
        "bank_size": len(data.train_images),
        "hard_set_size": settings.loss.hard_set_size(len(data.train_images)),
        **provenance.describe(started, hardware),
    }
    made = {name: described[name] for name in ("outcome", "settings_digest", "data_digest")}
    write_json(folder / File.SETTINGS, settings.pretrain_json())
    write_text(folder / File.HISTORY, history_csv(history))
    _save_encoder(folder / File.ENCODER, trained.encoder, trained.bank, made)
    for epoch, path in kept_weights(folder).items():
        # Weights for another `evaluate_at`, or from before a divergence, would be misleading.
        if epoch not in settings.along or trained.outcome != "complete":
            path.unlink()
    write_json(folder / File.PRETRAIN, described)
    # Checkpoints are kept until there is a record. If Snakemake is killed before it notes the end
    # of this job, it deletes these outputs at the next start; then little has to be repeated.
