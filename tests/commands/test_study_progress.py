"""How far a study is and how long the rest takes, by a clock that the tests set."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tausweep.commands.planned_work import PlannedJob
from tausweep.commands.study_progress import StudyProgress

ONE, TWO = "digits/simple/none/seed0", "digits/simple/none/seed1"


class Clock:
    """A time that stands still until it is moved on."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> StudyProgress:
    """Two runs, each with a training of 100 and an evaluation of 20, and a report of 10."""
    found = StudyProgress(clock)
    found.plan(
        [
            PlannedJob(1, "pretrain", ONE, training=80, work=100),
            PlannedJob(2, "evaluate", ONE, work=20),
            PlannedJob(3, "pretrain", TWO, training=80, work=100),
            PlannedJob(4, "evaluate", TWO, work=20),
            PlannedJob(5, "report", work=10),
        ]
    )
    return found


def log_of(folder: Path, text: str, time: float) -> Path:
    """A log that was last written at a time."""
    path = folder / "pretrain.log"
    path.write_text(f"{ONE}: 1,000 images, 10 epochs\n{text}", encoding="utf-8")
    os.utime(path, (time, time))
    return path


def test_nothing_is_done_and_no_time_is_known_at_first(progress: StudyProgress) -> None:
    now = progress.now()
    assert (now.share, now.seconds_left, now.runs, now.finished) == (0.0, None, 2, 0)


def test_the_bar_is_weighted_by_work_and_not_by_jobs(progress: StudyProgress) -> None:
    progress.start(1, "pretrain", None, at=1000)
    progress.end(1, at=1050)
    assert progress.now().share == pytest.approx(100 / 250)
    assert progress.runs() == {ONE: False, TWO: False}


def test_time_left_follows_the_pace_of_each_rule(progress: StudyProgress) -> None:
    progress.start(1, "pretrain", None, at=1000)
    progress.end(1, at=1050)
    # Half a second a unit is known of training only, so all else is taken to be as fast.
    assert progress.now().seconds_left == pytest.approx((20 + 100 + 20 + 10) * 0.5)
    progress.start(2, "evaluate", None, at=1050)
    progress.end(2, at=1090)
    other = (50 + 40) / 120
    assert progress.now().seconds_left == pytest.approx(100 * 0.5 + 20 * 2 + 10 * other)


def test_what_short_jobs_take_says_nothing_of_trainings(progress: StudyProgress) -> None:
    progress.start(5, "report", None, at=1000)
    progress.end(5, at=1003)
    assert progress.now().seconds_left is None


def test_jobs_that_go_on_at_once_share_the_time(progress: StudyProgress, clock: Clock) -> None:
    progress.start(1, "pretrain", None, at=1000)
    progress.start(3, "pretrain", None, at=1000)
    progress.end(1, at=1050)
    progress.end(3, at=1050)
    assert progress.now().seconds_left == pytest.approx((20 + 20 + 10) * 0.5 / 2)


def test_the_last_job_is_waited_for(progress: StudyProgress) -> None:
    for id in (1, 3):
        progress.start(id, "pretrain", None, at=1000)
    progress.end(1, at=1100)
    progress.start(2, "evaluate", None, at=1000)
    progress.end(2, at=1020)
    # Two at once would share 100 + 20 + 10; the training alone takes 100.
    assert progress.now().seconds_left == pytest.approx(100.0)


def test_epochs_of_a_training_move_the_bar_and_tell_the_time(
    progress: StudyProgress, clock: Clock, tmp_path: Path
) -> None:
    line = "epoch 4/10  loss 1.0000  500 images/s  0:12 left\n"
    progress.start(1, "pretrain", log_of(tmp_path, line, 1013), at=1000)
    clock.time = 1014.0
    now = progress.now()
    # Of ten epochs of two seconds four and a half are done; five seconds were the start.
    assert now.share == pytest.approx(80 * 0.45 / 250)
    took = 14 + 5.5 * 2
    assert now.seconds_left == pytest.approx((250 - 36) * took / 100)
    (running,) = now.running
    assert (running.rule, running.run) == ("pretrain", ONE)
    assert running.training is not None
    assert running.training.epoch == 4


def test_what_an_earlier_job_did_counts_as_done_and_not_as_fast(
    progress: StudyProgress, clock: Clock, tmp_path: Path
) -> None:
    log = log_of(tmp_path, "resumed at epoch 6, step 1, from checkpoint.safetensors\n", 1001)
    progress.start(1, "pretrain", log, at=1000)
    clock.time = 1001.0
    assert progress.now().share == pytest.approx(40 / 250)
    progress.end(1, at=1030)
    assert progress.now().seconds_left == pytest.approx(150 * 30 / (100 - 40))


def test_the_bar_never_falls(progress: StudyProgress, clock: Clock, tmp_path: Path) -> None:
    line = "epoch 9/10  loss 1.0000  500 images/s  0:02 left\n"
    progress.start(1, "pretrain", log_of(tmp_path, line, 1000), at=980)
    before = progress.now().share
    progress.end(1, at=1000, failed=True)
    assert progress.now().share == before


def test_what_hangs_on_a_failed_job_is_not_waited_for(progress: StudyProgress) -> None:
    progress.start(1, "pretrain", None, at=1000)
    progress.end(1, at=1050)
    progress.start(2, "evaluate", None, at=1050)
    progress.end(2, at=1060)
    progress.start(3, "pretrain", None, at=1060)
    progress.end(3, at=1070, failed=True)
    assert progress.now().seconds_left == 0
    assert [job.name for job in progress.in_state("failed")] == [f"pretrain {TWO}"]
    progress.start(3, "pretrain", None, at=1071)
    assert progress.in_state("failed") == []
    assert progress.now().seconds_left == pytest.approx(100 * 0.5 + 20 * 0.5 + 10 * 0.5)


def test_jobs_that_need_not_be_done_are_done(clock: Clock) -> None:
    progress = StudyProgress(clock)
    progress.plan(
        [
            PlannedJob(1, "pretrain", ONE, training=80, work=100, needed=False),
            PlannedJob(2, "evaluate", ONE, work=20, needed=False),
            PlannedJob(3, "pretrain", TWO, training=80, work=100),
        ]
    )
    now = progress.now()
    assert now.share == pytest.approx(120 / 220)
    assert (now.runs, now.finished) == (2, 1)


def test_a_workflow_that_planned_nothing_is_followed_by_its_jobs(clock: Clock) -> None:
    progress = StudyProgress(clock)
    progress.start(7, "align", None, at=1000)
    progress.end(7, at=1010)
    progress.start(8, "align", None, at=1010)
    clock.time = 1015.0
    now = progress.now()
    assert now.share == pytest.approx(0.75)
    assert now.seconds_left == pytest.approx(5.0)
    assert progress.end(9, at=1020) is None
