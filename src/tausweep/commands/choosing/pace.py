"""How fast this machine is: a few steps of every recipe that may be taken, timed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

import yaml

from tausweep import study as studies
from tausweep.commands.choosing import plan
from tausweep.commands.choosing.plan import Speed, Stage
from tausweep.commands.choosing.study_text import DATASET, Recipe, text
from tausweep.machine import devices
from tausweep.study import RAW_SIDE, RunSettings, StudyError
from tausweep.study.loader import StudyLoader

TIMING = "tausweep.commands.choosing.timed_steps"
LADDER = (
    (16, "resnet10", 16),
    (32, "resnet10", 16),
    (32, "resnet18", 32),
    (32, "resnet18", 64),
    (64, "resnet18", 64),
)
"""Image size and encoder, the fastest first. The slowest that can see the images often enough is
taken, unless sizes are asked for."""

LEAST_IMAGES = 1000
"""Training images, where fewer are used so that each is seen more often."""
TIMEOUT_SECONDS = 240.0
MEASURES_SECONDS = 6.0
"""Of measures, whatever the encoder: 4 to 8 s on digits and CIFAR-10."""
MEASURES_EPOCHS = 1.5
"""Of measures, in epochs: 12 to 16 s on CIFAR-10 where an epoch took 7 s."""
RAW_SECONDS = 7e-6
"""Of a converged classifier on raw pixels, for each of the training images' numbers: 29 s for 6,000
images of 16 x 16 pixels."""


def workers(device: str) -> tuple[int, int]:
    """Runs at once and CPU threads of each."""
    on_gpu = device.startswith("cuda") or (device == "auto" and shutil.which("nvidia-smi"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    runs = len(plan.FIRST) * len(plan.SEEDS)
    at_once = max(1, min(cores or 1, runs))
    if on_gpu:
        at_once = devices.runs_per_gpu()
    return at_once, max(1, (cores or 1) // at_once)


def ladder(
    side: float, image_size: int | None, encoder: tuple[str, int] | None
) -> list[tuple[int, str, int]]:
    """The sizes and encoders that may be taken, the fastest first.

    Args:
        side: Of the images in pixels; they are not enlarged.
        image_size: That is asked for.
        encoder: Trunk and width that are asked for.
    """
    largest = max(8, int(side))
    steps = [
        (image_size or min(size, largest), *(encoder or (trunk, width)))
        for size, trunk, width in LADDER
        if image_size or size <= largest or size == LADDER[0][0]
    ]
    return list(dict.fromkeys(steps))


def settings_of(recipe: Recipe, table: Path) -> RunSettings:
    """Settings of a run with this recipe."""
    given = yaml.load(text(recipe, Stage("timed", plan.FIRST, 1, 0.5, False)), StudyLoader)
    given["datasets"][DATASET]["source"]["table"] = str(table)
    return studies.parse(given).runs()[0].settings


def times(
    recipes: Sequence[Recipe], table: Path, count: int, limit: float, device: str
) -> dict[Recipe, Speed]:
    """Speed by recipe, of those that there was time for, the first at least.

    Args:
        recipes: The fastest first.
        table: Of the images.
        count: Training images.
        limit: Seconds of an epoch beyond which no slower recipe is wanted.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:<n>``.

    Raises:
        StudyError: No step could be taken.
    """
    at_once, threads = workers(device)
    runs = []
    for key, recipe in enumerate(recipes):
        settings = settings_of(recipe, table)
        runs.append(
            {
                "key": str(key),
                "settings": settings.model_dump(mode="json"),
                "count": count,
            }
        )
    asked = json.dumps({"runs": runs, "limit": limit, "device": device or "auto"})
    environment = os.environ | {
        name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", TIMING],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=environment,
        )
        for _ in range(at_once)
    ]  # fmt: skip
    answers = []
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(asked)
            process.stdin.close()
            process.stdin = None
        for process in processes:
            said, errors = process.communicate(timeout=TIMEOUT_SECONDS)
            if process.returncode:
                last = errors.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
                raise StudyError(f"no training step could be timed: {last[0]}")
            answers.append(json.loads(said))
    except subprocess.TimeoutExpired:
        raise StudyError(
            f"a few training steps took more than {TIMEOUT_SECONDS:.0f} s; a smaller --image-size "
            "or --encoder is needed"
        ) from None
    finally:
        for process in processes:
            process.kill()
            process.wait()
    keys = set.intersection(*(set(answer) for answer in answers))
    found = {}
    for key, recipe in enumerate(recipes):
        if str(key) in keys:
            epoch = mean(answer[str(key)] for answer in answers)
            numbers = count * 3 * min(recipe.image_size, RAW_SIDE) ** 2
            measures = MEASURES_SECONDS + MEASURES_EPOCHS * epoch
            raw = MEASURES_SECONDS + RAW_SECONDS * numbers
            untrained = len(plan.SEEDS) * measures
            found[recipe] = Speed(
                epoch, measures, (untrained + raw) / (len(plan.SEEDS) + 1), at_once
            )
    if not found:
        raise StudyError("no training step could be timed")
    return found


def faster(speed: Speed, share: float) -> Speed:
    """The speed with so large a share of the training images."""
    return replace(speed, epoch=speed.epoch * share)
