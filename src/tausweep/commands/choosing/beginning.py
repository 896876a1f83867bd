"""The beginning of a choice: its images, the size of its runs, and the first stage."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace

from tausweep.commands.choosing import images, pace, plan
from tausweep.commands.choosing.images import Images
from tausweep.commands.choosing.plan import Speed, Stage
from tausweep.commands.choosing.session import Session
from tausweep.commands.choosing.study_text import TABLE, Recipe
from tausweep.commands.messages import say
from tausweep.storage.atomic import write_text
from tausweep.study import StudyError

CLOSING_SECONDS = 20.0
CLOSING_SHARE = 0.02
"""Time for the decision and the report: seconds, and a share of all the time."""
BATCH_SIZE = 32
LR = 0.01
"""In pilots with one seed and two temperatures on 1,500 images, batches of 64 at 0.03 came to the
same; both beat raw pixels after 30 epochs."""
NEIGHBOURS = 200


def closing(seconds: float) -> float:
    """Seconds of so many that are kept for the end."""
    return CLOSING_SECONDS + CLOSING_SHARE * seconds


def begun(options: argparse.Namespace, minutes: float, began: float) -> Session:
    """Read the images, time the machine, and plan the first stage.

    Raises:
        StudyError: Bad input, or the time is too short.
    """
    found = images.read(options.images, min(8, os.cpu_count() or 1), say)
    options.out.mkdir(parents=True, exist_ok=True)
    table = options.out / TABLE
    write_text(table, found.table())
    steps = pace.ladder(found.side, options.image_size, options.encoder)
    say(f"timing a few training steps of {len(steps)} sizes of encoder and image")
    count = found.count("train")
    recipes = [_recipe(found, *step) for step in steps]
    limit = 60 * minutes * plan.FIRST_SHARE / len(plan.SEEDS) / plan.WANTED_EPOCHS
    speeds = pace.times(recipes, table.resolve(), count, limit, options.device)
    seconds = 60 * minutes - closing(60 * minutes) - (time.monotonic() - began)
    # Without labels nothing says which temperatures are the better ones, so there is one stage.
    seconds = seconds if found.labelled else seconds / plan.FIRST_SHARE
    recipe, speed, stage = _taken(speeds, seconds)
    if stage is None or stage.epochs < plan.WANTED_EPOCHS:
        wanted = plan.WANTED_EPOCHS * speed.epoch
        fits = (stage.epochs if stage else plan.LEAST_EPOCHS) * speed.epoch
        found = images.reduced(found, max(pace.LEAST_IMAGES, int(count * fits / wanted)))
        write_text(table, found.table())
        speed = pace.faster(speed, found.count("train") / count)
        stage = plan.first(speed, seconds)
    if stage is None:
        raise StudyError(
            f"--minutes {minutes:g}: is too short here, where {plan.LEAST_EPOCHS} epochs of "
            f"{len(plan.FIRST) * len(plan.SEEDS)} runs are the least; "
            f"{_enough(speed, minutes):.0f} minutes would do"
        )
    if not found.labelled:
        stage = replace(stage, baselines=False)  # there is nothing to beat
    counts = {
        "train": found.count("train"),
        "test": found.count("test"),
        "classes": len(found.classes) if found.labelled else 0,
    }
    return Session(
        options.out, str(options.images), counts, list(found.notes), recipe, speed, minutes,
        stages=[stage],
    )  # fmt: skip


def _taken(speeds: dict[Recipe, Speed], seconds: float) -> tuple[Recipe, Speed, Stage | None]:
    """The largest recipe that sees the images often enough, or else the fastest."""
    planned = [(recipe, speed, plan.first(speed, seconds)) for recipe, speed in speeds.items()]
    enough = [p for p in planned if p[2] is not None and p[2].epochs >= plan.WANTED_EPOCHS]
    return enough[-1] if enough else planned[0]


def _enough(speed: Speed, minutes: float) -> float:
    while plan.first(speed, 60 * minutes - closing(60 * minutes)) is None:
        minutes *= 1.2
    return minutes + 1


def _recipe(found: Images, size: int, trunk: str, width: int) -> Recipe:
    known = [e for e in found.entries if e.split == "train" and e.label is not None]
    per_class = (len(known) or found.count("train")) / max(1, len(found.classes))
    # The paper's k of 200, but no more than a third of a class, or it votes for all the others.
    k = int(max(1, min(NEIGHBOURS, per_class / 3)))
    return Recipe(found.folder, size, trunk, width, BATCH_SIZE, LR, k)


def plan_words(session: Session, seconds: float) -> list[str]:
    """The plan in lines of text."""
    counts, recipe, stage = session.counts, session.recipe, session.stages[0]
    classes = f"{counts['classes']} classes" if session.labelled else "no labels"
    taus = ", ".join(f"{tau:g}" for tau in stage.temperatures)
    lines = [
        f"{session.images}: {counts['train']:,} training and {counts['test']:,} test images, "
        f"{classes}",
        *(f"  {note}" for note in session.notes),
        f"encoder: {recipe.trunk} of width {recipe.width}, images of {recipe.image_size} pixels; "
        f"an epoch takes {session.speed.epoch:.1f} s here, {session.speed.workers} runs at once",
        f"first: tau = {taus}, {len(plan.SEEDS)} seeds, {stage.epochs} epochs"
        + (", raw pixels and an untrained encoder" if stage.baselines else ""),
    ]
    if session.labelled:
        lines.append(
            f"then, from {plan.FIRST_SHARE:.0%} of the time on: those that are not clearly worse, "
            "and one beside the best, for longer"
        )
    else:
        lines.append("without labels there can be no answer, but a hint")
    return [*lines, f"time: {seconds / 60:g} minutes; all is in {session.folder}"]
