"""What is trained for how long: it fits into the time, and later stages go on from earlier ones."""

import numpy as np
import pytest

from tausweep.commands.choosing import plan
from tausweep.commands.choosing.plan import Speed, Stage
from tausweep.results.choice import Choice, Standing

SPEED = Speed(epoch=2.0, evaluation=10.0, baseline=8.0, workers=2)
FIRST = Stage("coarse", plan.FIRST, 20, 0.5, True)


def choice(accuracies: tuple[float, ...], worse: tuple[bool, ...]) -> Choice:
    """Of the first stage's temperatures."""
    standings = tuple(
        Standing(tau, a, a, a, max(accuracies) - a, 0.0, 0.0, w)
        for tau, a, w in zip(plan.FIRST, accuracies, worse, strict=True)
    )
    best = plan.FIRST[int(np.argmax(accuracies))]
    return Choice(best, best, (best,), standings, (), (), (), 0.0)


def seconds(stage: Stage, speed: Speed, done: float = 0.0, kept: int = 0) -> float:
    """Time of a stage by a schedule of its runs, the longest first."""
    runs = sorted(
        (
            (stage.epochs - (done if t < kept else 0)) * speed.epoch + speed.evaluation
            for t in range(len(stage.temperatures)) for _ in plan.SEEDS
        ),
        reverse=True,
    )  # fmt: skip
    ends = [0.0] * speed.workers
    if stage.baselines:
        runs += [speed.baseline] * (len(plan.SEEDS) + 1)
    for run in runs:
        ends[ends.index(min(ends))] += run
    return max(ends)


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 12])
@pytest.mark.parametrize("minutes", [15, 20, 60])
def test_the_first_stage_takes_no_more_than_its_share(workers: int, minutes: int) -> None:
    speed = Speed(2.0, 10.0, 8.0, workers)
    stage = plan.first(speed, 60 * minutes)
    assert stage is not None
    assert stage.temperatures == plan.FIRST
    share = plan.FIRST_SHARE * 60 * minutes
    assert seconds(stage, speed) <= share
    if stage.epochs < plan.MOST_EPOCHS and workers < 4:
        assert seconds(stage, speed) > 0.7 * share


def test_no_stage_is_planned_that_would_be_too_short() -> None:
    assert plan.first(SPEED, 120) is None


@pytest.mark.parametrize("kept", [1, 2, 3, 4])
def test_a_later_stage_fits_and_is_longer(kept: int) -> None:
    worse = tuple(place >= kept for place in range(4))
    found = plan.next_stage(FIRST, choice((50.0, 49.0, 48.0, 47.0), worse), SPEED, 500)
    assert found is not None
    assert {*plan.FIRST[:kept]} <= {*found.temperatures}
    assert not {*plan.FIRST[kept:]} & {*found.temperatures}
    assert found.epochs >= plan.LONGER * FIRST.epochs
    assert not found.baselines
    assert seconds(found, SPEED, plan.flat_epochs(FIRST.epochs), kept) <= 500 * 1.05
    # What is measured half-way was not yet done in the shorter run.
    assert round(found.half * found.epochs) > plan.flat_epochs(FIRST.epochs)
    assert 0.5 <= found.half < 0.8


def test_where_there_is_no_time_for_all_the_best_half_goes_on() -> None:
    found = plan.next_stage(FIRST, choice((47, 49, 50, 48), (False,) * 4), SPEED, 150)
    assert found is not None
    assert found.temperatures == (0.2, 0.5)


def test_without_time_there_is_no_later_stage() -> None:
    assert plan.next_stage(FIRST, choice((50, 49, 48, 47), (False,) * 4), SPEED, 60) is None


def test_one_temperature_is_added_beside_the_best() -> None:
    middle = choice((48.0, 50.0, 49.0, 40.0), (False, False, False, True))
    assert plan.neighbours(plan.FIRST, middle) == [0.3, 0.1]
    lowest = choice((50.0, 48.0, 40.0, 40.0), (False, False, True, True))
    assert plan.neighbours(plan.FIRST, lowest) == [0.05, 0.1]
    highest = choice((40.0, 40.0, 45.0, 50.0), (True, True, True, False))
    assert plan.neighbours(plan.FIRST, highest) == [1.5, 0.7]


def test_names_of_stages_differ() -> None:
    every = choice((50, 49, 48, 47), (False,) * 4)
    names, stage = [FIRST.study], FIRST
    for _ in range(3):
        after = plan.next_stage(stage, every, SPEED, 1e5)
        assert after is not None
        stage = Stage(after.study, plan.FIRST, after.epochs, after.half, False)
        names.append(stage.study)
    assert names == ["coarse", "refined", "refined-2", "refined-3"]
