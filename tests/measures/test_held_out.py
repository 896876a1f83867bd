"""Folds hold each instance out once, and classifiers see no instance that they are asked for."""

import pytest
import torch

from points import clustered
from tausweep.measures import held_out, knn

pytestmark = pytest.mark.numerical


def test_every_instance_is_held_out_once_and_classes_evenly() -> None:
    labels = torch.arange(103) % 4
    splits = held_out.folds(labels)
    assert len(splits) == held_out.FOLDS
    assert sorted(torch.cat([s.test for s in splits]).tolist()) == list(range(103))
    for split in splits:
        assert not {*split.train.tolist()} & {*split.test.tolist()}
        counts = torch.bincount(labels[split.test], minlength=4)
        assert int(counts.max() - counts.min()) <= 2


def test_small_classes_make_fewer_folds() -> None:
    assert len(held_out.folds(torch.tensor([0, 0, 0, 1, 1, 2]))) == 3
    with pytest.raises(ValueError):
        held_out.folds(torch.tensor([0, 1, 2]))


def test_a_classifier_that_remembers_is_right_by_chance_only() -> None:
    """Labels at random: 1-NN of its own instance would have 100%."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 8, generator=generator)
    labels = torch.randint(0, 2, (500,), generator=generator)
    splits = held_out.folds(labels)
    for classify in (held_out.by_neighbours(1, 0.07), held_out.linearly):
        right = held_out.correct(classify, x, labels, splits)
        assert 0.4 < float(right.double().mean()) < 0.6


def test_answers_come_in_the_order_of_the_rows() -> None:
    x, labels = clustered(60, 6, 3, 0.05)
    wrong = labels.clone()
    wrong[17] = (wrong[17] + 1) % 3
    splits = held_out.folds(labels)
    # Without a penalty the linear classifier would bend to the one wrong label.
    right = held_out.correct(held_out.by_neighbours(200, 0.07), x, wrong, splits)
    assert torch.nonzero(~right)[:, 0].tolist() == [17]


def test_a_given_split_is_that_of_knn() -> None:
    x, labels = clustered(80, 6, 4, 1.5)
    split = held_out.Split(torch.arange(20, 80), torch.arange(20))
    found = held_out.correct(held_out.by_neighbours(10, 0.07), x, labels, [split])
    expected = knn.correct(x[20:], labels[20:], x[:20], labels[:20], 10, 0.07)
    assert torch.equal(found, expected)


def test_one_class_to_learn_from_is_the_answer() -> None:
    x = torch.randn(4, 3)
    right = held_out.linearly(x, torch.ones(4, dtype=torch.int64), x, torch.tensor([1, 1, 0, 1]))
    assert right.tolist() == [True, True, False, True]
