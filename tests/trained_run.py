"""A tiny run, trained: at once or in parts, in a folder or in memory, measured on a device."""

from __future__ import annotations

import copy
import math
import shutil
from pathlib import Path
from typing import Any

import torch

from tausweep.data.prepared import Prepared
from tausweep.measures.evaluate import Evaluation, evaluate
from tausweep.results import records
from tausweep.study import RunSettings
from tausweep.training.checkpoints import CheckpointFile, save_tensors
from tausweep.training.pretrain import pretrain
from tausweep.training.trainer import Trainer

CPU = torch.device("cpu")


def trained(settings: RunSettings, data: Prepared, folder: Path) -> Path:
    """Train a run on the CPU; its encoder and bank lie in the folder, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    found = pretrain(settings, data, CPU, CheckpointFile(folder, {}), say=lambda line: None)
    made = {
        "outcome": found.outcome,
        "settings_digest": settings.pretrain_digest,
        "data_digest": data.digest,
    }
    tensors = {**found.encoder.state_dict(), "bank": found.bank.entries}
    save_tensors(folder / "encoder.safetensors", tensors, made)
    return folder


def measured(
    settings: RunSettings, data: Prepared, run: Path, folder: Path, device: torch.device
) -> dict[str, Any]:
    """The columns of a trained run's measures, taken in a folder of its own; NaN for none."""
    folder.mkdir()
    shutil.copy(run / "encoder.safetensors", folder)
    found = evaluate(Evaluation(settings, folder, data, device, lambda line: None))
    return {k: math.nan if v is None else v for k, v in records.flat(found).items()}


def in_parts(
    settings: RunSettings, data: Prepared, device: torch.device, *parts: tuple[int, bool]
) -> Trainer:
    """A run of parts, each of so many steps, with or without a recorded step, and then resumed."""
    state: tuple[dict[str, torch.Tensor], dict[str, Any]] | None = None
    for steps, graphs in parts:
        trainer = Trainer(settings, data, device, graphs=graphs)
        if state is not None:
            trainer.restore(*state)
        until = trainer.position.steps + steps
        while trainer.position.steps < until:
            for _ in trainer.epoch():
                if trainer.position.steps == until:
                    break
        tensors, position = trainer.state()
        state = {k: v.detach().clone() for k, v in tensors.items()}, copy.deepcopy(dict(position))
    return trainer


def assert_same_state(one: Trainer, two: Trainer) -> None:
    """Weights, statistics, momentum and bank are the same bytes, and so is the history's loss."""
    (tensors, position), (others, other) = one.state(), two.state()
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, others[name]), name
    timed = ("seconds", "images_per_second")
    rows = [
        [{k: v for k, v in row.items() if k not in timed} for row in at["history"]]
        for at in (position, other)
    ]
    assert rows[0] == rows[1]
    assert position["steps"] == other["steps"]
