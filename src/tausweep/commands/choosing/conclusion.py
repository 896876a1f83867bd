"""The end of a choice: which stage decides, and what it says."""

from __future__ import annotations

import itertools

from tausweep.commands.choosing import outcomes, stages
from tausweep.commands.choosing.answer import Answer
from tausweep.commands.choosing.plan import Stage
from tausweep.commands.choosing.session import Session
from tausweep.results import choice as choices

STUDY = "study.yaml"
"""The study file of the stage that decides, with the answer in its comments."""


def answer(session: Session, failures: dict[str, str]) -> Answer:
    """What the last stage that can decide says.

    Args:
        session: With its stages.
        failures: Why runs failed, by their ids.
    """
    decided, chosen, hint, seeds, means, half = None, None, None, 0, {}, {}
    dropped: dict[float, tuple[int, bool]] = {}
    for stage in reversed(session.stages):
        found = stages.finished(session, stage)
        taus = stages.sound(found, stage)
        shared = outcomes.seeds_of_all(found, taus)
        outcome = (
            outcomes.outcome(found, taus, stages.baselines(session)) if session.labelled else None
        )
        if outcome is None and (session.labelled or not shared or len(taus) < 2):
            continue
        decided, seeds = stage, len(shared)
        means = outcomes.means(found, taus, shared)
        if outcome is not None:
            dropped = _dropped(session, stage)
            chosen = choices.choose(outcome, [tau for tau, (_, worse) in dropped.items() if worse])
            if outcome.half is not None and outcome.end is not None:
                pairs = zip(outcome.half.mean(axis=1), outcome.end.mean(axis=1), strict=True)
                half = {tau: (float(a), float(b)) for tau, (a, b) in zip(taus, pairs, strict=True)}
        else:
            hint = outcomes.hint(means)
        break
    return Answer(
        session.images, session.counts, session.notes, session.recipe, session.stages, decided,
        seeds, chosen, hint, means, dropped, failures, session.used / 60, STUDY, half,
    )  # fmt: skip


def _dropped(session: Session, last: Stage) -> dict[float, tuple[int, bool]]:
    """What stages up to the last left out: after how many epochs, and whether it was clearly worse.

    Args:
        session: With its stages.
        last: The one that decides.
    """
    found: dict[float, tuple[int, bool]] = {}
    stages_there = session.stages[: session.stages.index(last) + 1]
    for stage, after in itertools.pairwise(stages_there):
        runs = stages.finished(session, stage)
        outcome = outcomes.outcome(runs, stages.sound(runs, stage), stages.baselines(session))
        standings = choices.choose(outcome).standings if outcome is not None else ()
        worse = {s.temperature for s in standings if s.clearly_worse}
        for tau in stage.temperatures:
            if tau not in after.temperatures:
                found[tau] = (stage.epochs, tau in worse)
    return found
