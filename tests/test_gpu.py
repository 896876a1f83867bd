"""A GPU trains, resumes and evaluates as a CPU does; needs no more than torch and pytest."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tausweep import losses, records
from tausweep.checkpoints import CheckpointFile, save_tensors
from tausweep.datasets.prepared import Prepared
from tausweep.evaluate import Evaluation, evaluate
from tausweep.pretrain import Trainer, pretrain
from tausweep.study import RunSettings
from tiny_run import run_settings

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CPU, GPU = torch.device("cpu"), torch.device("cuda")
EPOCHS = 2
STEPS = 5
"""130 images in batches of 32."""


@pytest.fixture(autouse=True)
def own_stream() -> Iterator[None]:
    """A stream that is not the default one, which cannot be recorded."""
    if not torch.cuda.is_available():
        yield
        return
    with torch.cuda.stream(torch.cuda.Stream()):
        yield
    torch.cuda.synchronize()


def settings_of(loss: str, **changes: Any) -> RunSettings:
    temperature = 0.3 if loss.endswith("contrastive") else None
    # The second epoch has another lr, so its step is recorded anew.
    changes = {"epochs": EPOCHS, "milestones": [0.5]} | changes
    return run_settings(loss, temperature, pretrain=changes)


def trained(settings: RunSettings, data: Prepared, *parts: tuple[int, bool]) -> Trainer:
    """A run of parts, each of so many steps, with or without a recorded step, and then resumed."""
    state: tuple[dict[str, torch.Tensor], dict[str, Any]] | None = None
    for steps, graphs in parts:
        trainer = Trainer(settings, data, GPU, graphs=graphs)
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


def assert_same(one: Trainer, two: Trainer) -> None:
    tensors, others = one.state()[0], two.state()[0]
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, others[name]), name
    kept = [
        [(row["loss"], row["positive_similarity"]) for row in trainer.position.history]
        for trainer in (one, two)
    ]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("loss", losses.NAMES)
def test_a_training_step_is_that_of_the_cpu(loss: str, digits: Prepared) -> None:
    """Losses at the first step agree to float32's rounding, weights to what one step may move."""
    settings = settings_of(loss)
    trainers = [Trainer(settings, digits, device) for device in (CPU, GPU)]
    sums = []
    for trainer in trainers:
        index, views = next(trainer._batches(0, 0))
        sums.append(trainer._step(index, views, 0.03).tolist())
    # Eleven layers of up to 9 x 64 terms.
    rounding = 11 * math.sqrt(9 * 64) * 32 * torch.finfo(torch.float32).eps
    assert sums[1] == pytest.approx(sums[0], rel=rounding, abs=rounding)
    for one, two in zip(*(trainer.state()[0].values() for trainer in trainers), strict=True):
        torch.testing.assert_close(two.cpu(), one, rtol=rounding, atol=rounding, check_device=False)


@pytest.mark.parametrize(
    ("loss", "changes"),
    [
        *((loss, {}) for loss in losses.NAMES),
        ("contrastive", {"bn_group": 16}),
        ("contrastive", {"precision": "bf16"}),
    ],
)
def test_a_recorded_step_gives_the_bytes_of_a_plain_one_across_stops_too(
    loss: str, changes: dict[str, Any], digits: Prepared
) -> None:
    settings = settings_of(loss, **changes)
    whole = EPOCHS * STEPS
    plain = trained(settings, digits, (whole, False))
    assert_same(plain, trained(settings, digits, (whole, True)))
    assert_same(plain, trained(settings, digits, (3, True), (4, False), (3, True)))
    assert_same(plain, trained(settings, digits, (7, False), (3, True)))


@pytest.mark.parametrize("graphs", [False, True])
def test_the_host_is_not_waited_for_within_an_epoch(graphs: bool, digits: Prepared) -> None:
    settings = settings_of("hard_contrastive")
    trainer = Trainer(settings, digits, GPU, graphs=graphs)
    list(trainer.epoch())
    steps = trainer.epoch()
    # The first step may record its graph, and that waits.
    next(steps)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(STEPS - 2):
            next(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_an_evaluation_is_that_of_the_cpu(digits: Prepared, tmp_path: Path) -> None:
    settings = settings_of("contrastive")
    found = pretrain(settings, digits, CPU, CheckpointFile(tmp_path, {}), say=lambda line: None)
    tensors = {**found.encoder.state_dict(), "bank": found.bank.entries}
    made = {
        "outcome": found.outcome,
        "settings_digest": settings.pretrain_digest,
        "data_digest": digits.digest,
    }
    measured = []
    for device in (CPU, GPU):
        folder = tmp_path / device.type
        folder.mkdir()
        save_tensors(folder / "encoder.safetensors", tensors, made)
        flat = records.flat(
            evaluate(Evaluation(settings, folder, digits, device, lambda line: None))
        )
        measured.append({k: math.nan if v is None else v for k, v in flat.items()})
    # Of 100 test images, a tie that rounding breaks moves an accuracy by one.
    for name, value in measured[0].items():
        allowed = 1.0 if "accuracy" in name else 1e-3 * max(1.0, abs(value))
        assert measured[1][name] == pytest.approx(value, abs=allowed, nan_ok=True), name
