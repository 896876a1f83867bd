"""A process that times training steps of recipes on random images, the fastest recipe first.

Standard input is a JSON object: ``runs``, a list of settings with ``key`` and ``count``; ``limit``,
the seconds of an epoch beyond which no slower recipe is timed; and ``device``. Written are the
seconds of an epoch by key. They are those of the clock, not of the processor: what else runs on the
machine, such as others of these processes, slows the real runs too.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import torch

from tausweep.commands.messages import say
from tausweep.data.prepared import Prepared
from tausweep.machine import devices
from tausweep.study import RunSettings
from tausweep.training.trainer import Trainer

IMAGES = 512
WARM_STEPS = 2
SECONDS = 2.0
"""For how long the steps of a recipe are timed, about."""


def main() -> None:
    """Time what standard input asks for."""
    asked: dict[str, Any] = json.load(sys.stdin)
    found: dict[str, float] = {}
    with devices.device(asked["device"], say=say) as device:
        for run in asked["runs"]:
            settings = RunSettings.model_validate(run["settings"])
            found[run["key"]] = epoch_seconds(settings, run["count"], device)
            if found[run["key"]] > asked["limit"]:
                break
    json.dump(found, sys.stdout)


def epoch_seconds(settings: RunSettings, count: int, device: torch.device) -> float:
    """Time of an epoch of so many images, from the steps of a few.

    Whole small epochs are timed, with the drawing and rendering of views; where one takes longer
    than there is time for, its steps alone are, beside which views take next to nothing.
    """
    batch = settings.pretrain.batch_size
    images = max(batch, min(count, IMAGES) // batch * batch)
    trainer = Trainer(settings, _random(images, settings.dataset.image_size), device)
    began = warm = time.perf_counter()
    for step, _ in enumerate(trainer.epoch(), start=1):
        now = time.perf_counter()
        if step == WARM_STEPS:
            warm = now
        elif step > WARM_STEPS and now - began > SECONDS:
            return (now - warm) / (step - WARM_STEPS) * count / batch
    epochs, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS / 2:
        for _ in trainer.epoch():
            pass
        epochs += 1
    return (time.perf_counter() - began) / epochs * count / images


def _random(count: int, side: int) -> Prepared:
    """Prepared data of random squares."""
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % 2
    middle = (0.5, 0.5, 0.5)
    return Prepared(
        images, labels, images[:0], labels[:0], ["a", "b"], middle, middle, "random", {}
    )


if __name__ == "__main__":
    main()
