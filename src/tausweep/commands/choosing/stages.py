"""The stages of a choice: their study files, their jobs, and what comes after each."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from statistics import mean

from tausweep import study as studies
from tausweep.commands.choosing import outcomes, plan
from tausweep.commands.choosing.jobs import Crew, Job
from tausweep.commands.choosing.outcomes import Finished
from tausweep.commands.choosing.plan import Speed, Stage
from tausweep.commands.choosing.session import Session
from tausweep.commands.choosing.study_text import text
from tausweep.commands.messages import CommandError, say
from tausweep.results import choice as choices
from tausweep.results import records
from tausweep.storage.atomic import write_text
from tausweep.storage.layout import File, Layout
from tausweep.study import BASELINES, Run, Study


def work(session: Session, crew: Crew, end: float, used: Callable[[], float]) -> dict[str, str]:
    """Run stage after stage until time is over; returns why runs failed, by their ids."""
    failures: dict[str, str] = {}
    crew.start()
    _prepare(session)
    while not crew.stopped:
        stage = session.stages[-1]
        lacking = _stage(session, stage, crew, end, failures, used)
        if crew.stopped or lacking or not session.labelled:
            return failures
        found = finished(session, stage)
        session.speed = _measured_speed(session, found)
        outcome = outcomes.outcome(found, sound(found, stage), baselines(session))
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
    number = session.stages.index(stage) + 1
    said = [f"Stage {number} of `tausweep choose {session.images}`."]
    write_text(session.folder / f"{stage.study}.yaml", text(session.recipe, stage, said))


def _stage(
    session: Session,
    stage: Stage,
    crew: Crew,
    end: float,
    failures: dict[str, str],
    used: Callable[[], float],
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


def study(session: Session, stage: Stage) -> Study:
    """The study of a stage."""
    return studies.load(str(session.folder / f"{stage.study}.yaml"))


def _layout(session: Session) -> Layout:
    return Layout(session.folder / "results")


def finished(session: Session, stage: Stage) -> list[Finished]:
    """The runs of a stage that have a record."""
    return outcomes.finished(study(session, stage), _layout(session))


def baselines(session: Session) -> list[Finished]:
    """Those of the first stage, which all stages share."""
    found = finished(session, session.stages[0])
    return [f for f in found if f.run.loss in BASELINES]


def sound(found: Sequence[Finished], stage: Stage) -> tuple[float, ...]:
    """The temperatures of a stage none of whose runs diverged."""
    bad = {f.run.temperature for f in found if not f.complete}
    return tuple(tau for tau in stage.temperatures if tau not in bad)


def _jobs(session: Session, stage: Stage) -> list[Job]:
    """The runs of a stage that have no record: seed by seed, the baselines after the others."""
    done = {f.run.id for f in finished(session, stage)}
    speed, place = session.speed, session.stages.index(stage)
    earlier = session.stages[:place]
    found = []
    for run in study(session, stage).runs():
        if run.id in done:
            continue
        if run.loss in BASELINES:
            # Raw pixels are the same for every seed.
            if run.loss != "raw_pixels" or run.seed == plan.SEEDS[0]:
                found.append((run.seed, 1, Job(run.id, speed.baseline)))
            continue
        states = [s for s in (_state(session, e, run) for e in reversed(earlier)) if s.exists()]
        epochs = stage.epochs - (plan.flat_epochs(earlier[-1].epochs) if states else 0)
        seconds = epochs * speed.epoch + speed.evaluation
        state = states[0].resolve() if states else None
        keep = _state(session, stage, run).resolve() if session.labelled else None
        found.append((run.seed, 0, Job(run.id, seconds, state, keep)))
    return [job for *_, job in sorted(found, key=lambda f: f[:2])]


def _state(session: Session, stage: Stage, run: Run) -> Path:
    """Where the state of a run before its learning rate falls is kept."""
    return session.folder / "states" / f"{stage.study}-{run.temperature:g}-{run.seed}.safetensors"


def _measured_speed(session: Session, found: Sequence[Finished]) -> Speed:
    """What the runs of a stage took."""
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
