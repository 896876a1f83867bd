"""How long an epoch of a run takes on this machine, from a few steps on random images.

Run as a module it reads runs from standard input and writes their times; ``tausweep plan`` starts
it as a process, so that it need not import torch itself.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tausweep.data.prepared import Prepared
from tausweep.study import RunSettings, StudyError
from tausweep.training.trainer import Trainer
from tausweep.views.rendering import images_at_once

LEAST_SECONDS = 0.3
"""How long the steps of one kind of run are timed at least, after those that warm up."""

MOST_IMAGES = 4096
"""Images, and so entries of the bank, that a timing makes; an epoch of more takes longer in
proportion. The rest of a larger bank would be a hundredth of a step with the paper's encoder."""

STEP_OPERATIONS = 1e10
"""Floating-point operations of the longest step; a larger batch is cut down to fit."""


@dataclass(frozen=True)
class Timed:
    """A kind of run to time.

    Attributes:
        key: What the caller calls it.
        settings: Of one such run; its epochs do not matter, but for being more than 0.
        count: N, training images.
        step_operations: Floating-point operations of a step with a whole batch.
    """

    key: str
    settings: RunSettings
    count: int
    step_operations: float


def epoch_seconds(timed: Timed, device: torch.device) -> float:
    """Time of an epoch: drawing its views, rendering them, and all steps.

    Steps are timed with the run's encoder, loss and views. There may be fewer images, and the batch
    may be smaller, since an image takes about as long in a large one.

    Raises:
        StudyError: The settings do not fit the number of images.
    """
    settings, side = timed.settings, timed.settings.dataset.image_size
    batch = _batch(timed)
    count = min(timed.count, max(MOST_IMAGES, batch))
    pretrain = settings.pretrain.model_copy(update={"batch_size": batch})
    settings = settings.model_copy(update={"pretrain": pretrain})
    trainer = Trainer(settings, _random(count, side), device)
    # Views are rendered for several batches at once, so that one step in so many takes longer.
    chunk = max(1, images_at_once(side, side, side, device) // batch)
    if batch < timed.settings.pretrain.batch_size:
        chunk = 1  # rendering is next to nothing beside such steps
    _take(trainer.epoch(), chunk)
    if trainer.position.step == 0 or trainer.steps - trainer.position.step < 2 * chunk:
        return _whole_epoch(trainer) * timed.count / count
    # Begun anew, the epoch's views are drawn again, and then come whole chunks.
    trainer.position.step = 0
    steps = trainer.epoch()
    first, taken, seconds = _take(steps, chunk)[1], 0, 0.0
    while seconds < LEAST_SECONDS and trainer.steps - chunk - taken > chunk:
        more, took = _take(steps, chunk)
        taken, seconds = taken + more, seconds + took
    step = seconds / taken
    drawing = max(0.0, first - chunk * step)
    return (drawing + trainer.steps * step) * timed.count / count


def _take(steps: Iterator[None], count: int) -> tuple[int, float]:
    """Take so many steps, or as many as there are; returns how many and how long it took."""
    began, taken = time.perf_counter(), 0
    for _ in range(count):
        taken += 1
        if next(steps, StopIteration) is StopIteration:
            break
    return taken, time.perf_counter() - began


def _whole_epoch(trainer: Trainer) -> float:
    """Time of an epoch that is too short to be timed by a part of it."""
    for _ in trainer.epoch():
        pass  # the rest of the one that warms up
    began = time.perf_counter()
    for _ in trainer.epoch():
        pass
    return time.perf_counter() - began


def _batch(timed: Timed) -> int:
    """The batch that is timed: the run's, or one whose steps are not too long."""
    chosen, loss = timed.settings.pretrain, timed.settings.loss
    if timed.step_operations <= STEP_OPERATIONS or loss.source != "bank":
        return chosen.batch_size
    unit = chosen.bn_group or 4
    fitting = int(chosen.batch_size * STEP_OPERATIONS / timed.step_operations)
    return min(chosen.batch_size, max(unit, fitting // unit * unit))


def _random(count: int, side: int) -> Prepared:
    """Prepared data of random squares, half of them of each of two classes."""
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % 2
    middle = (0.5, 0.5, 0.5)
    return Prepared(
        images, labels, images[:0], labels[:0], ["a", "b"], middle, middle, "random", {}
    )


def main() -> None:
    """Time what standard input asks for, until its time is over.

    It is a JSON object: ``seconds``, after which nothing more is begun, and ``runs``, a list of
    ``Timed``. Written is one: ``ready``, the Unix time at which torch was imported, and
    ``epoch_seconds`` by key; what was not begun, or has no time, is missing.
    """
    ready, began = time.time(), time.monotonic()
    asked: dict[str, Any] = json.load(sys.stdin)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found: dict[str, float] = {}
    for run in asked["runs"]:
        if found and time.monotonic() - began > asked["seconds"]:
            break
        settings = RunSettings.model_validate(run["settings"])
        timed = Timed(run["key"], settings, run["count"], run["step_operations"])
        try:
            found[timed.key] = epoch_seconds(timed, device)
        except (StudyError, FloatingPointError):
            continue  # it diverges on noise; `plan` prices it as it does what was not begun
    json.dump({"ready": ready, "device": device.type, "epoch_seconds": found}, sys.stdout)


if __name__ == "__main__":
    main()
