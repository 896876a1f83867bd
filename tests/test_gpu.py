"""A GPU trains, resumes and evaluates as a CPU does; needs no more than torch and pytest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tausweep import losses
from tausweep.datasets.prepared import Prepared
from tausweep.pretrain import Trainer
from tausweep.study import RunSettings
from tiny_run import run_settings
from trained_run import assert_same_state, in_parts, measured, trained

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
    plain = in_parts(settings, digits, GPU, (whole, False))
    assert_same_state(plain, in_parts(settings, digits, GPU, (whole, True)))
    assert_same_state(plain, in_parts(settings, digits, GPU, (3, True), (4, False), (3, True)))
    assert_same_state(plain, in_parts(settings, digits, GPU, (7, False), (3, True)))


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
    run = trained(settings, digits, tmp_path / "run")
    here, there = (
        measured(settings, digits, run, tmp_path / device.type, device) for device in (CPU, GPU)
    )
    # Of 100 test images, a tie that rounding breaks moves an accuracy by one.
    for name, value in here.items():
        allowed = 1.0 if "accuracy" in name else 1e-3 * max(1.0, abs(value))
        assert there[name] == pytest.approx(value, abs=allowed, nan_ok=True), name
