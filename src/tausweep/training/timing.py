"""How fast runs train on a core of this machine, from a few steps on random images.

Run as a module it reads runs from standard input and writes their speeds; ``tausweep plan`` starts
it as a process, so that it need not import torch itself. CPU time is counted and not the clock, so
that other programs that use the cores at the same moment change little.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import torch

from tausweep.data.prepared import Prepared
from tausweep.model.bank import MemoryBank
from tausweep.study import RunSettings, StudyError
from tausweep.training.trainer import Trainer
from tausweep.views.rendering import images_at_once

LEAST_SECONDS = 0.3
"""CPU time of the steps that are timed, at least, after those that warm up."""

MOST_OPERATIONS = 2e10
"""Floating-point operations of the steps between two looks at the clock, about; batches of large
encoders are cut down for this, because an image takes about as long in a large batch."""

CPU = torch.device("cpu")


def images_per_second(settings: RunSettings, count: int, image_operations: float) -> float:
    """Training images per second of CPU time, on one thread.

    The steps have the run's encoder, loss, views and size of bank. They see as many images as are
    rendered at once, random ones.

    Args:
        settings: Of a run that trains.
        count: N, its training images.
        image_operations: Floating-point operations of training on one image.

    Raises:
        StudyError: The settings do not fit the number of images.
        FloatingPointError: The loss of random images is not finite.
    """
    side, chosen = settings.dataset.image_size, settings.pretrain
    seen = min(
        count, images_at_once(side, side, side, CPU), int(MOST_OPERATIONS / image_operations)
    )
    batch = min(chosen.batch_size, max(2, seen))
    group = chosen.bn_group if batch == chosen.batch_size else None
    smaller = chosen.model_copy(update={"batch_size": batch, "bn_group": group})
    settings = settings.model_copy(update={"pretrain": smaller})
    trainer = Trainer(settings, _random(max(batch, seen // batch * batch), count, side), CPU)
    trainer.bank = MemoryBank(count, settings.encoder.dim, chosen.bank_momentum, 0, CPU)
    for _ in trainer.epoch():
        pass  # the first steps allocate and choose kernels
    began, trained = time.process_time(), 0
    while time.process_time() - began < LEAST_SECONDS:
        for _ in trainer.epoch():
            pass
        trained += trainer.count
    return trained / (time.process_time() - began)


def _random(seen: int, count: int, side: int) -> Prepared:
    """Prepared data of random squares in two classes: few images, and the labels of all N."""
    images = np.random.default_rng(0).integers(0, 256, (seen, side, side, 3), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % 2
    middle = (0.5, 0.5, 0.5)
    return Prepared(
        images, labels, images[:0], labels[:0], ["a", "b"], middle, middle, "random", {}
    )


def main() -> None:
    """Time what standard input asks for, until its time is over.

    It is a JSON object: ``seconds`` of CPU time, after which no further run is begun, and ``runs``,
    a list of objects with the arguments of ``images_per_second`` and a ``key``. Written is another:
    ``import_seconds``, the CPU time until torch and all else was imported, and
    ``images_per_second`` by key, without runs that were not begun or cannot be timed.
    """
    imported = time.process_time()
    asked: dict[str, Any] = json.load(sys.stdin)
    found: dict[str, float] = {}
    for run in asked["runs"]:
        if found and time.process_time() - imported > asked["seconds"]:
            break
        settings = RunSettings.model_validate(run["settings"])
        try:
            speed = images_per_second(settings, run["count"], run["image_operations"])
        except (StudyError, FloatingPointError):
            continue  # `plan` prices it as it does what was not begun
        found[run["key"]] = speed
    json.dump({"import_seconds": imported, "images_per_second": found}, sys.stdout)


if __name__ == "__main__":
    main()
