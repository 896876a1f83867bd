"""What the log of a job tells, as training itself writes it."""

from __future__ import annotations

import pytest

from tausweep.commands import job_log
from tausweep.training.position import Position

BEGUN = "digits/simple/none/seed0: 1,437 images, 8 epochs\n"
STOPPED = (
    "tausweep: error: stopped and saved at epoch 3, step 2; start the same command again to go on"
)


def trained(*epochs: int) -> str:
    """The lines of epochs that took half a second each."""
    at = Position()
    lines = []
    for epoch in epochs:
        at.epoch, at.seconds = epoch - 1, 0.5
        at.end_epoch(0.1, 1437)
        lines.append(at.progress(8))
    return "\n".join(lines)


def test_nothing_is_known_before_a_training_has_begun() -> None:
    assert job_log.training("") is None
    assert job_log.training("results: process 3 on here still writes this run\n") is None


def test_epochs_and_their_time_are_read_from_the_lines_that_training_writes() -> None:
    found = job_log.training(BEGUN + trained(1, 2, 3))
    assert found is not None
    assert (found.epoch, found.epochs, found.resumed) == (3, 8, 0)
    assert found.images_per_second == 2874
    assert found.epoch_seconds == pytest.approx(0.5)


def test_what_an_earlier_job_did_is_told_apart() -> None:
    said = BEGUN + "resumed at epoch 6, step 3, from checkpoint.safetensors\n"
    begun = job_log.training(said)
    assert begun is not None
    assert (begun.epoch, begun.resumed, begun.epoch_seconds) == (5, 5, None)
    further = job_log.training(said + trained(6, 7))
    assert further is not None
    assert (further.epoch, further.resumed) == (7, 5)


@pytest.mark.parametrize(
    ("seconds", "share"), [(-3.0, 2 / 8), (0.0, 2 / 8), (0.25, 2.5 / 8), (60.0, 2.95 / 8)]
)
def test_an_epoch_under_way_counts_by_its_time_and_never_as_a_whole(
    seconds: float, share: float
) -> None:
    found = job_log.training(BEGUN + trained(1, 2))
    assert found is not None
    assert found.share(seconds) == pytest.approx(share)


def test_an_epoch_takes_what_they_took_on_average_and_is_as_fast_as_the_last() -> None:
    lines = "epoch 1/8  loss 1.0  1,000 images/s\nepoch 2/8  loss 1.0  500 images/s\n"
    found = job_log.training(BEGUN + lines)
    assert found is not None
    assert found.epoch_seconds == pytest.approx((1.437 + 2.874) / 2)
    assert found.images_per_second == 500


def test_training_without_epochs_has_no_share() -> None:
    assert job_log.training("digits/untrained/none/seed0: 1,437 images, 0 epochs\n") is None


@pytest.mark.parametrize(
    ("said", "stopped", "failed"),
    [
        (STOPPED, True, False),
        ("tausweep: error: interrupted; nothing finished is lost: start ...", True, False),
        ("tausweep: error: losses.py, line 3: no such name", False, True),
        ("Traceback (most recent call last):\n  ...\nMemoryError", False, True),
        ("epoch 3/8  loss 1.0000  2,874 images/s  0:02 left", False, False),
    ],
)
def test_to_be_stopped_is_no_failure(said: str, stopped: bool, failed: bool) -> None:
    assert job_log.stopped(said) is stopped
    assert job_log.failed(said) is failed


def test_where_a_stopped_run_saved_its_state_is_told() -> None:
    assert job_log.saved(STOPPED) == "saved at epoch 3, step 2"
    assert job_log.saved("epoch 3/8  loss 1.0") == ""
