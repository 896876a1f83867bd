"""Losses that want more than anchors and bank: second views, queues, labels, parameters, state."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import tolerance
from other_losses import LOSSES, settings_of
from tausweep.data.prepared import Prepared
from tausweep.losses.batch import Batch
from tausweep.losses.run_loss import RunLoss
from tausweep.model.encoder import Encoder
from tausweep.model.key_queue import KeyQueue
from tausweep.model.momentum_encoder import MomentumEncoder
from tausweep.study import RunSettings, StudyError
from tausweep.training.checkpoints import CheckpointFile
from tausweep.training.position import history_csv
from tausweep.training.pretrain import StoppedError, pretrain
from tausweep.training.trainer import Pretrained, Trainer
from tiny_run import run_settings
from trained_run import assert_same_state, in_parts

pytestmark = pytest.mark.numerical

CPU = torch.device("cpu")


def train(
    settings: RunSettings, data: Prepared, folder: Path, stop: Callable[[], bool] = lambda: False
) -> Pretrained:
    checkpoints = CheckpointFile(folder, {"settings": settings.pretrain_json()})
    return pretrain(settings, data, CPU, checkpoints, say=lambda line: None, stop=stop)


def after(steps: int) -> Callable[[], bool]:
    """A stop that is asked for after so many steps."""
    count = itertools.count(1)
    return lambda: next(count) >= steps


def killed_after_every_few_steps(
    settings: RunSettings, data: Prepared, folder: Path, steps: int
) -> Pretrained:
    """A run that is stopped again and again, always in another process as far as it can tell."""
    while True:
        try:
            return train(settings, data, folder, after(steps))
        except StoppedError:
            continue


def untimed(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [
        {k: v for k, v in r.items() if not k.startswith(("seconds", "images"))} for r in history
    ]


@pytest.mark.parametrize("name", ["simclr", "moco", "learnable_tau", "isogclr", "own"])
def test_a_run_that_is_stopped_ends_with_the_same_bytes(
    name: str, digits: Prepared, tmp_path: Path
) -> None:
    """130 images in batches of 32: within an epoch, and between two."""
    settings = settings_of(name, tmp_path if name == "own" else None)
    whole = train(settings, digits, tmp_path / "whole")
    assert whole.outcome == "complete"
    parts = killed_after_every_few_steps(settings, digits, tmp_path / "parts", 3)
    for key, tensor in whole.encoder.state_dict().items():
        assert torch.equal(tensor, parts.encoder.state_dict()[key]), key
    assert torch.equal(whole.bank.entries, parts.bank.entries)
    assert untimed(whole.history) == untimed(parts.history)


@pytest.mark.parametrize("name", [*LOSSES, "own"])
def test_a_checkpoint_has_everything_that_the_next_step_depends_on(
    name: str, digits: Prepared, tmp_path: Path
) -> None:
    """The state after all steps, the loss's own with it, whether or not there was a restart."""
    settings = settings_of(name, tmp_path if name == "own" else None)
    plain = in_parts(settings, digits, CPU, (10, False))
    assert_same_state(plain, in_parts(settings, digits, CPU, (4, False), (6, False)))
    objective = plain.objective
    assert objective is not None
    if objective.loss.recordable:
        assert_same_state(plain, in_parts(settings, digits, CPU, (3, True), (7, True)))


def test_which_losses_can_be_recorded(digits: Prepared, tmp_path: Path) -> None:
    """All but the one that follows the training's progress, and a user's own."""
    found = {}
    for name in [*LOSSES, "own"]:
        settings = settings_of(name, tmp_path if name == "own" else None)
        objective = Trainer(settings, digits, CPU).objective
        assert objective is not None
        found[name] = objective.loss.recordable
    assert {name for name, recordable in found.items() if not recordable} == {"cosine_tau", "own"}


@pytest.mark.parametrize("name", ["learnable_tau", "isogclr", "macl", "cosine_tau"])
def test_a_temperature_that_moves_is_in_the_history(
    name: str, digits: Prepared, tmp_path: Path
) -> None:
    history = train(settings_of(name), digits, tmp_path).history
    assert history[0]["temperature"] != history[1]["temperature"]
    head = history_csv(history).splitlines()[0]
    assert head.startswith("epoch,lr,loss,positive_similarity,seconds,images_per_second,temp")


def test_parameters_of_an_own_module_are_in_the_history(digits: Prepared, tmp_path: Path) -> None:
    history = train(settings_of("own", tmp_path), digits, tmp_path).history
    assert history[0]["loss.scale"] != history[1]["loss.scale"]


def test_the_history_of_the_papers_losses_has_the_columns_that_it_had(
    digits: Prepared, tmp_path: Path
) -> None:
    history = train(run_settings(pretrain={"epochs": 1}), digits, tmp_path).history
    expected = "epoch,lr,loss,positive_similarity,seconds,images_per_second"
    assert history_csv(history).splitlines()[0] == expected


def test_a_learnt_parameter_descends_by_its_own_rate_within_its_bounds(digits: Prepared) -> None:
    """One step, against SGD written out: no weight decay, and the clamp."""
    for rate, low in ((0.1, None), (50.0, 0.01)):
        settings = settings_of("learnable_tau", lr=rate)
        trainer = Trainer(settings, digits, CPU)
        objective = trainer.objective
        assert objective is not None
        before = objective.parameters[0].detach().clone()
        index, views = next(trainer.batches.of_epoch(0))
        seen = objective.batch(
            trainer.encoder(views), None, trainer.bank.entries, index, trainer.position
        )
        (gradient,) = torch.autograd.grad(objective.loss(seen), objective.parameters)
        fresh = Trainer(settings, digits, CPU)
        fresh.step(index, views, settings.pretrain.lr)
        assert fresh.objective is not None
        (after,) = fresh.objective.parameters
        if low is None:
            tolerance.check(
                after.detach(), before - rate * gradient, tolerance.network(11, 9 * 64) * rate
            )
        else:
            assert float((-after.detach()).exp()) in (pytest.approx(low), pytest.approx(1.0))


def test_the_first_view_does_not_depend_on_whether_there_is_a_second(digits: Prepared) -> None:
    one = next(Trainer(run_settings(), digits, CPU).batches.of_epoch(0))
    two = next(Trainer(settings_of("simclr"), digits, CPU).batches.of_epoch(0))
    assert torch.equal(one[0], two[0])
    first, second = two[1].chunk(2)
    assert torch.equal(one[1], first)
    assert not torch.equal(first, second)
    assert two[1].is_contiguous(memory_format=torch.channels_last)


def test_simclr_descends_the_loss_of_both_views(digits: Prepared) -> None:
    """Its gradient is that of NT-Xent of one pass of all 2 B views."""
    settings = settings_of("simclr")
    trainer = Trainer(settings, digits, CPU)
    index, views = next(trainer.batches.of_epoch(0))
    other = copy.deepcopy(trainer.encoder)
    both = other(views)
    similarities = (both @ both.T / 0.3).fill_diagonal_(-torch.inf)
    positives = torch.cat([torch.arange(32, 64), torch.arange(32)])
    expected = F.cross_entropy(similarities, positives)
    gradients = torch.autograd.grad(expected, [*other.parameters()])
    sums = trainer.step(index, views, 0.03)
    tolerance.check(float(sums[0]) / 32, expected.item(), 1e-5)
    first = Trainer(settings, digits, CPU)
    for ours, before, gradient in zip(trainer.parameters, first.parameters, gradients, strict=True):
        moved = before - 0.03 * (gradient + 5e-4 * before)
        tolerance.check(ours.detach(), moved.detach(), 0.03 * tolerance.network(11, 9 * 64))


def test_moco_sees_keys_of_earlier_batches_and_of_an_encoder_that_follows(
    digits: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps: keys, queue and weights of the momentum encoder, by hand."""
    seen: list[Batch] = []
    call = RunLoss.__call__

    def watched(self: RunLoss, batch: Batch) -> torch.Tensor:
        assert batch.queue is not None
        seen.append(Batch(**{**vars(batch), "queue": batch.queue.clone()}))
        return call(self, batch)

    monkeypatch.setattr(RunLoss, "__call__", watched)
    trainer = Trainer(settings_of("moco"), digits, CPU)
    start = copy.deepcopy(trainer.encoder)
    batches = list(itertools.islice(trainer.batches.of_epoch(0), 2))
    for index, views in batches:
        trainer.step(index, views, 0.03)
        if len(seen) == 1:
            moved = copy.deepcopy(trainer.encoder)
    first, second = seen
    with torch.no_grad():
        assert first.keys is not None
        assert torch.equal(first.keys, start(batches[0][1].chunk(2)[1]))
        assert second.queue is not None
        assert torch.equal(second.queue[:32], first.keys)
        assert first.queue is not None
        assert torch.equal(second.queue[32:], first.queue[32:])
        # The running mean of the weights; of the statistics, its own two batches.
        for own, other in zip(start.parameters(), moved.parameters(), strict=True):
            own.lerp_(other, 0.01)
        assert second.keys is not None
        assert torch.equal(second.keys, start(batches[1][1].chunk(2)[1]))
    assert not first.keys.requires_grad


def test_a_queue_replaces_its_oldest_keys() -> None:
    queue = KeyQueue(5, 2, 0)
    assert torch.allclose(queue.entries.norm(dim=1), torch.ones(5))
    for value in range(4):
        queue.add(torch.full((2, 2), float(value)))
    # Eight keys in five places: the last five, the newest behind the place that is next.
    assert queue.entries[:, 0].tolist() == [2, 3, 3, 1, 2]
    assert int(queue.at) == 3


def test_keys_are_normalised_in_other_groups_than_their_anchors() -> None:
    """Ghost batch norm of 4: a group of keys has no more than one or two of a group of anchors."""
    encoder = Encoder(run_settings().encoder, 0, 4).train()
    groups: list[list[int]] = []

    def of_groups(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        groups.append([round(float(image[0, 0, 0])) for image in given[0]])

    follower = MomentumEncoder(encoder, 0.9, 4)
    follower.encoder.register_forward_pre_hook(of_groups)
    views = torch.arange(10.0)[:, None, None, None].expand(10, 3, 8, 8).contiguous()
    keys = follower.keys(views)
    assert groups == [[0, 3, 6, 9, 1, 4, 7, 2, 5, 8]]
    fresh = MomentumEncoder(encoder, 0.9, 4)
    expected = fresh.encoder(views[groups[0]])
    assert torch.equal(keys[groups[0]], expected)


def test_labels_are_shown_to_a_supervised_loss_alone(
    digits: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Batch] = []
    call = RunLoss.__call__

    def watched(self: RunLoss, batch: Batch) -> torch.Tensor:
        seen.append(batch)
        return call(self, batch)

    monkeypatch.setattr(RunLoss, "__call__", watched)
    for name in ("supcon", "simclr"):
        trainer = Trainer(settings_of(name), digits, CPU)
        index, views = next(trainer.batches.of_epoch(0))
        trainer.step(index, views, 0.03)
    supervised, other = seen
    assert supervised.labels is not None
    assert supervised.labels.tolist() == digits.train_labels[supervised.index].tolist()
    assert other.labels is None


def test_a_supervised_loss_needs_every_label(digits: Prepared) -> None:
    partly = replace(digits, train_labels=np.where(np.arange(130) == 7, -1, digits.train_labels))
    Trainer(settings_of("simclr"), partly, CPU)
    with pytest.raises(StudyError, match=r"losses\.supcon: it is supervised, and needs a label"):
        Trainer(settings_of("supcon"), partly, CPU)


def test_a_loss_is_told_where_the_training_is(
    digits: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int, float]] = []
    call = RunLoss.__call__

    def watched(self: RunLoss, batch: Batch) -> torch.Tensor:
        seen.append((batch.epoch, batch.step, batch.progress))
        return call(self, batch)

    monkeypatch.setattr(RunLoss, "__call__", watched)
    train(settings_of("cosine_tau"), digits, tmp_path)
    assert seen == [(step // 5, step, step / 10) for step in range(10)]


@pytest.mark.parametrize("name", ["simclr", "moco", "supcon", "learnable_tau", "macl"])
def test_processes_cannot_share_a_batch_that_is_not_the_sum_of_its_parts(
    name: str, digits: Prepared
) -> None:
    class Two:
        count, first = 2, True

    with pytest.raises(StudyError, match=f"--processes: 2 is not allowed with the loss {name}"):
        Trainer(settings_of(name), digits, CPU, Two())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ({"queue": 131}, r"losses\.moco\.queue: 131 is not allowed; it is 32, a batch, to 130"),
        ({"queue": 31}, r"losses\.moco\.queue: 31 is not allowed; it is 32, a batch, to 130"),
        (
            {"kind": "hard_simple", "negatives": 71, "temperature": None},
            r"losses\.moco\.negatives: 71 is more than the queue's 70 negatives",
        ),
    ],
)
def test_a_queue_that_does_not_fit_is_refused(
    grid: dict[str, Any], says: str, digits: Prepared
) -> None:
    with pytest.raises(StudyError, match=says):
        Trainer(settings_of("moco", **grid), digits, CPU)
