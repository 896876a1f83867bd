"""`tausweep choose`: which temperature for my images, in a given time.

It writes study files and has their runs trained and measured by workers of its own, because
Snakemake cannot stop at a time, and does not finish one seed of all temperatures before it begins
the next. The workers do what `tausweep pretrain` and `tausweep evaluate` do, and leave the same
files, so `tausweep run` finds every run done.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from tausweep.commands import flags
from tausweep.commands.messages import CommandError, say
from tausweep.storage.atomic import write_json, write_text
from tausweep.study import BASELINES, SMALLEST_IMAGE, TRUNKS, StudyError

if TYPE_CHECKING:
    from tausweep.commands.choosing.answer import Answer
    from tausweep.commands.choosing.images import Images
    from tausweep.commands.choosing.jobs import Crew, Job
    from tausweep.commands.choosing.outcomes import Finished
    from tausweep.commands.choosing.plan import Speed, Stage
    from tausweep.commands.choosing.session import Session
    from tausweep.commands.choosing.study_text import Recipe

MINUTES = 30.0
CLOSING_SECONDS = 15.0
CLOSING_SHARE = 0.02
"""Time for the decision and the report: seconds, and a share of all the time."""
BATCH_SIZE = 32
LR = 0.01
NEIGHBOURS = 200
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `tausweep choose` takes."""
    parser.add_argument(
        "images", metavar="IMAGES", type=Path,
        help="train/<class> and test/<class>, or <class> folders, or images alone, or a CSV with "
        "the columns path, label, split",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=_minutes, metavar="M",
        help=f"how long it may take (default: {MINUTES:g}; with --continue: what is left)",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("choice"),
        help="folder for everything that is written (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--continue", dest="goes_on", action="store_true",
        help="go on with the folder: after a stop, or longer after an end",
    )  # fmt: skip
    parser.add_argument(
        "--image-size", type=flags.whole(SMALLEST_IMAGE["cifar"]), metavar="PIXELS",
        help="side of the images (default: 16 to 64, the largest that there is time for)",
    )  # fmt: skip
    parser.add_argument(
        "--encoder", type=_encoder, metavar="TRUNK[:WIDTH]",
        help="such as resnet18:64 (default: the largest that there is time for)",
    )  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="do not ask before it starts")
    flags.add_json(parser)
    flags.add_device(parser)


def _minutes(text: str) -> float:
    minutes = flags.seconds(text)
    if not 0.5 <= minutes <= 100_000:
        raise argparse.ArgumentTypeError(f"{text} is not allowed; it should be 0.5 or more minutes")
    return minutes


def _encoder(text: str) -> tuple[str, int]:
    trunk, _, width = text.partition(":")
    trunks = [name for name in TRUNKS if name != "pixels"]
    if trunk not in trunks or not re.fullmatch(r"|[1-9]\d{0,4}", width) or int(width or 64) < 8:
        raise argparse.ArgumentTypeError(
            f"{text} is not allowed; it should be {', '.join(trunks)}, with a width of 8 or more "
            "behind a colon if it is not 64"
        )
    return trunk, int(width or 64)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns 0 with an answer, 3 without, or 128 + the signal that stopped it.

    Raises:
        StudyError: Bad input.
        CommandError: The images could not be prepared.
    """
    from tausweep.commands.choosing import jobs, pace
    from tausweep.commands.choosing import session as sessions

    began = time.monotonic()
    if options.goes_on:
        session = sessions.load(options.out)
        seconds = _seconds_left(session, options.minutes)
        said = [f"goes on in {options.out}, for {seconds / 60:.1f} minutes"]
    else:
        if (options.out / sessions.FILE).exists():
            raise StudyError(
                f"--out {options.out}: holds another choice; --continue goes on with it, or name "
                "another folder"
            )
        minutes = options.minutes or MINUTES
        session, seconds = _begun(options, minutes, began), 60 * minutes
        said = _plan_words(session, seconds)
    for line in said:
        say(line)
    if not _agreed(options):
        return 0
    session.save()
    at_once, threads = pace.workers(options.device)
    crew = jobs.Crew(options.out, at_once, threads, options.device)
    before = {number: signal.signal(number, _noting(crew)) for number in STOP_SIGNALS}
    end = began + seconds - CLOSING_SECONDS - CLOSING_SHARE * seconds
    already = session.used
    try:
        failures = _work(session, crew, end, lambda: already + time.monotonic() - began)
    finally:
        crew.end()
        for number, handler in before.items():
            signal.signal(number, handler)
        session.used = already + time.monotonic() - began
        session.save()
    if crew.stopped:
        say(f"stopped; to go on: {_again(options)}")
        return 128 + crew.stopped[0]
    return _conclude(session, failures, options)


def _seconds_left(session: Session, minutes: float | None) -> float:
    if minutes is not None:
        return 60 * minutes
    left = 60 * session.minutes - session.used
    if left < 60:
        raise StudyError(
            f"--continue: of the {session.minutes:g} minutes none are left; --minutes says how "
            "many more"
        )
    return left


def _noting(crew: Crew) -> Any:
    def note(number: int, frame: FrameType | None) -> None:
        crew.stopped.append(number)

    return note


def _again(options: argparse.Namespace) -> str:
    words = ["tausweep", "choose", str(options.images), "--out", str(options.out), "--continue"]
    return shlex.join(words)


def _agreed(options: argparse.Namespace) -> bool:
    if options.yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    print("Start? [Y/n] ", end="", file=sys.stderr, flush=True)
    return input().strip().lower() in ("", "y", "yes")


def _begun(options: argparse.Namespace, minutes: float, began: float) -> Session:
    """Read the images, time the machine, and plan the first stage.

    Raises:
        StudyError: Bad input, or the time is too short.
    """
    from tausweep.commands.choosing import images, pace, plan
    from tausweep.commands.choosing.session import Session
    from tausweep.commands.choosing.study_text import TABLE

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
    seconds = 60 * minutes * (1 - CLOSING_SHARE) - CLOSING_SECONDS - (time.monotonic() - began)
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
    from tausweep.commands.choosing import plan

    planned = [(recipe, speed, plan.first(speed, seconds)) for recipe, speed in speeds.items()]
    enough = [p for p in planned if p[2] is not None and p[2].epochs >= plan.WANTED_EPOCHS]
    return enough[-1] if enough else planned[0]


def _enough(speed: Speed, minutes: float) -> float:
    from tausweep.commands.choosing import plan

    while plan.first(speed, 60 * minutes - CLOSING_SECONDS) is None:
        minutes *= 1.2
    return minutes + 1


def _recipe(found: Images, size: int, trunk: str, width: int) -> Recipe:
    from tausweep.commands.choosing.study_text import Recipe

    count = found.count("train")
    per_class = count / max(1, len(found.classes))
    # The paper's k of 200, but no more than a third of a class, or it votes for all the others.
    k = int(max(1, min(NEIGHBOURS, per_class / 3)))
    return Recipe(found.folder, size, trunk, width, BATCH_SIZE, LR, k)


def _plan_words(session: Session, seconds: float) -> list[str]:
    from tausweep.commands.choosing import plan

    counts, recipe, stage = session.counts, session.recipe, session.stages[0]
    classes = f"{counts['classes']} classes" if session.labelled else "no labels"
    taus = ", ".join(f"{tau:g}" for tau in stage.temperatures)
    lines = [
        f"{session.images}: {counts['train']:,} training and {counts['test']:,} test images, "
        f"{classes}",
        *(f"  {note}" for note in session.notes),
        f"encoder: {recipe.trunk} of width {recipe.width}, images of {recipe.image_size} pixels; "
        f"an epoch takes {session.speed.epoch:.1f} s here, {session.speed.workers} runs at once",
        f"first: tau = {taus}, {len(plan.SEEDS)} seeds, {stage.epochs} epochs, raw pixels and an "
        "untrained encoder",
    ]
    if session.labelled:
        lines.append(
            f"then, from {plan.FIRST_SHARE:.0%} of the time on: those that are not clearly worse, "
            "and one beside the best, for longer"
        )
    else:
        lines.append("without labels there can be no answer, but a hint")
    return [*lines, f"time: {seconds / 60:g} minutes; all is in {session.folder}"]


def _work(session: Session, crew: Crew, end: float, used: Any) -> dict[str, str]:
    """Run stage after stage until time is over; returns why runs failed, by their ids."""
    from tausweep.commands.choosing import outcomes, plan
    from tausweep.results import choice as choices

    failures: dict[str, str] = {}
    crew.start()
    _prepare(session)
    while not crew.stopped:
        stage = session.stages[-1]
        lacking = _stage(session, stage, crew, end, failures, used)
        if crew.stopped or lacking or not session.labelled:
            return failures
        found = _finished(session, stage)
        session.speed = _measured_speed(session, found)
        outcome = outcomes.outcome(found, _sound(found, stage), _baselines(session))
        if outcome is None:
            return failures
        chosen = choices.choose(outcome)
        after = plan.next_stage(stage, chosen, session.speed, end - time.monotonic())
        if after is None:
            return failures
        session.stages.append(after)
        session.save()
        taus = ", ".join(f"{tau:g}" for tau in after.temperatures)
        left = (end - time.monotonic()) / 60
        say(f"then: tau = {taus}, {after.epochs} epochs, {left:.1f} min left")
    return failures


def _prepare(session: Session) -> None:
    """Write the study file of the first stage and prepare the images.

    Raises:
        CommandError: They cannot be prepared.
    """
    stage = session.stages[0]
    _write_study(session, stage)
    threads = str(min(8, os.cpu_count() or 1))
    command = [sys.executable, "-m", "tausweep.cli", "prepare", f"{stage.study}.yaml"]
    done = subprocess.run(
        [*command, "--threads", threads], cwd=session.folder, capture_output=True, text=True,
        check=False, process_group=0,
    )  # fmt: skip
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise CommandError(last[0].removeprefix("tausweep: error: "), done.returncode)


def _write_study(session: Session, stage: Stage) -> None:
    from tausweep.commands.choosing.study_text import text

    number = session.stages.index(stage) + 1
    said = [f"Stage {number} of `tausweep choose {session.images}`."]
    write_text(session.folder / f"{stage.study}.yaml", text(session.recipe, stage, said))


def _stage(
    session: Session, stage: Stage, crew: Crew, end: float, failures: dict[str, str], used: Any
) -> int:
    """Train what a stage lacks; returns how many of its runs have no record."""
    _write_study(session, stage)
    jobs = _jobs(session, stage)
    total, ended = len(jobs), 0

    def done(run: str, failure: str, seconds: float) -> None:
        nonlocal ended
        ended += 1
        if failure:
            failures[run] = failure
        session.used = used()
        session.save()
        left = max(0.0, end - time.monotonic()) / 60
        what = f"failed: {failure}" if failure else f"{seconds:.0f} s"
        say(f"  {stage.study} {ended}/{total}  {run}  {what}  ({left:.1f} min left)")

    if jobs:
        crew.run(f"{stage.study}.yaml", jobs, end, done)
    return len(_jobs(session, stage))


def _study(session: Session, stage: Stage) -> Any:
    from tausweep import study as studies

    return studies.load(str(session.folder / f"{stage.study}.yaml"))


def _layout(session: Session) -> Any:
    from tausweep.storage.layout import Layout

    return Layout(session.folder / "results")


def _finished(session: Session, stage: Stage) -> list[Finished]:
    from tausweep.commands.choosing import outcomes

    return outcomes.finished(_study(session, stage), _layout(session))


def _baselines(session: Session) -> list[Finished]:
    """Those of the first stage, which all stages share."""
    found = _finished(session, session.stages[0])
    return [f for f in found if f.run.loss in BASELINES]


def _sound(found: Sequence[Finished], stage: Stage) -> tuple[float, ...]:
    """The temperatures of a stage none of whose runs diverged."""
    bad = {f.run.temperature for f in found if not f.complete}
    return tuple(tau for tau in stage.temperatures if tau not in bad)


def _jobs(session: Session, stage: Stage) -> list[Job]:
    """The runs of a stage that have no record: seed by seed, the baselines after the others."""
    from tausweep.commands.choosing import plan
    from tausweep.commands.choosing.jobs import Job

    done = {f.run.id for f in _finished(session, stage)}
    speed, place = session.speed, session.stages.index(stage)
    earlier = session.stages[:place]
    found = []
    for run in _study(session, stage).runs():
        if run.id in done:
            continue
        if run.loss in BASELINES:
            # Raw pixels are the same for every seed.
            if run.loss != "raw_pixels" or run.seed == plan.SEEDS[0]:
                found.append((run.seed, 1, Job(run.id, speed.baseline)))
            continue
        states = [s for s in (_state(session, e, run) for e in reversed(earlier)) if s.exists()]
        epochs = stage.epochs - (int(plan.DECAY * earlier[-1].epochs) if states else 0)
        seconds = epochs * speed.epoch + speed.evaluation
        state = states[0].resolve() if states else None
        keep = _state(session, stage, run).resolve() if session.labelled else None
        found.append((run.seed, 0, Job(run.id, seconds, state, keep)))
    return [job for *_, job in sorted(found, key=lambda f: f[:2])]


def _state(session: Session, stage: Stage, run: Any) -> Path:
    """Where the state of a run before its learning rate falls is kept."""
    return session.folder / "states" / f"{stage.study}-{run.temperature:g}-{run.seed}.safetensors"


def _measured_speed(session: Session, found: Sequence[Finished]) -> Speed:
    """What the runs of a stage took."""
    from dataclasses import replace
    from statistics import mean

    from tausweep.results import records
    from tausweep.storage.layout import File

    trained = [f for f in found if f.run.settings.pretrain.epochs and f.complete]
    if not trained:
        return session.speed
    epoch = mean(f.columns["pretrain_seconds"] / f.run.settings.pretrain.epochs for f in trained)
    took = []
    for f in trained:
        made = records.read(f.folder / File.RECORD)["evaluate"]
        start, stop = (datetime.fromisoformat(made[key]) for key in ("started", "ended"))
        took.append((stop - start).total_seconds())
    return replace(session.speed, epoch=epoch, evaluation=mean(took))


def _conclude(session: Session, failures: dict[str, str], options: argparse.Namespace) -> int:
    """Decide, write what was found, and print it; returns the exit code."""
    from tausweep.commands.choosing.study_text import text
    from tausweep.commands.json_document import print_document
    from tausweep.report.choice import page

    answer = _answer(session, failures)
    if answer.decided is not None:
        said = [answer.headline(), *answer.remarks(), ""]
        write_text(session.folder / answer.study, text(session.recipe, answer.decided, said))
    write_json(session.folder / "answer.json", answer.to_json())
    write_text(session.folder / "report.html", page.page(answer.to_json(), answer.table()))
    if options.json:
        print_document("choose", answer.to_json())
    else:
        print("\n".join(answer.lines()))
    where = shlex.quote(str(session.folder))
    say(f"report: {session.folder / 'report.html'}")
    say(f"study:  {session.folder / answer.study} (cd {where} && tausweep run {answer.study})")
    if answer.code:
        say(f"to go on: {_again(options)} --minutes {session.minutes:g}")
    return answer.code


def _answer(session: Session, failures: dict[str, str]) -> Answer:
    from tausweep.commands.choosing import outcomes
    from tausweep.commands.choosing.answer import Answer
    from tausweep.results import choice as choices

    decided, chosen, hint, seeds, means, half = None, None, None, 0, {}, {}
    for stage in reversed(session.stages):
        found = _finished(session, stage)
        taus = _sound(found, stage)
        shared = outcomes.seeds_of_all(found, taus)
        outcome = outcomes.outcome(found, taus, _baselines(session)) if session.labelled else None
        if outcome is None and (session.labelled or not shared or len(taus) < 2):
            continue
        decided, seeds = stage, len(shared)
        means = outcomes.means(found, taus, shared)
        if outcome is not None:
            chosen = choices.choose(outcome)
            if outcome.half is not None and outcome.end is not None:
                pairs = zip(outcome.half.mean(axis=1), outcome.end.mean(axis=1), strict=True)
                half = {tau: (float(a), float(b)) for tau, (a, b) in zip(taus, pairs, strict=True)}
        else:
            hint = outcomes.hint(means)
        break
    dropped = {}
    for stage, after in zip(session.stages, session.stages[1:], strict=False):
        if decided is not None and session.stages.index(after) <= session.stages.index(decided):
            for tau in stage.temperatures:
                if tau not in after.temperatures:
                    dropped[tau] = stage.epochs
    return Answer(
        session.images, session.counts, session.notes, session.recipe, session.stages, decided,
        seeds, chosen, hint, means, dropped, failures, session.used / 60, "study.yaml", half,
    )  # fmt: skip
