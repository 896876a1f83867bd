"""Subsets are balanced, seeded, nested and in the source's order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tausweep.data.subset import balanced
from tausweep.study import StudyError

Problem = tuple[NDArray[np.int64], list[str], int, int]

NAMES = ["cat", "dog", "eel", "fox", "gnu"]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    count = draw(st.integers(1, 5))
    least = draw(st.integers(1, 6))
    labels = [label for label in range(count) for _ in range(least + draw(st.integers(0, 4)))]
    order = draw(st.permutations(labels))
    limit = draw(st.integers(count, least * count))
    return np.array(order, dtype=np.int64), NAMES[:count], limit, draw(st.integers(0, 2**31 - 1))


@given(problems())
def test_counts_differ_by_at_most_one_and_the_first_classes_have_the_remainder(
    problem: Problem,
) -> None:
    labels, classes, limit, seed = problem
    rows = balanced(labels, classes, limit, seed, "train_limit")
    counts = np.bincount(labels[rows], minlength=len(classes))
    share, remainder = divmod(limit, len(classes))
    assert counts.tolist() == [share + (i < remainder) for i in range(len(classes))]


@given(problems())
def test_indices_ascend_without_repetition(problem: Problem) -> None:
    labels, classes, limit, seed = problem
    rows = balanced(labels, classes, limit, seed, "train_limit")
    assert rows.dtype == np.int64
    assert (np.diff(rows) > 0).all()
    assert rows[0] >= 0
    assert rows[-1] < len(labels)


@given(problems())
def test_a_smaller_subset_is_part_of_a_larger_one(problem: Problem) -> None:
    labels, classes, limit, seed = problem
    rows = balanced(labels, classes, limit, seed, "train_limit")
    for smaller in range(len(classes), limit):
        assert np.isin(balanced(labels, classes, smaller, seed, "train_limit"), rows).all()


@given(problems())
def test_the_global_random_state_plays_no_part(problem: Problem) -> None:
    labels, classes, limit, seed = problem
    first = balanced(labels, classes, limit, seed, "train_limit")
    np.random.seed(seed % 1000)  # noqa: NPY002
    assert np.array_equal(first, balanced(labels, classes, limit, seed, "train_limit"))


def test_seeds_choose_differently_and_each_image_about_equally_often() -> None:
    labels = np.repeat(np.arange(2), 20)
    counts = np.zeros(40)
    for seed in range(400):
        counts[balanced(labels, NAMES[:2], 20, seed, "train_limit")] += 1
    # Binomial(400, 1/2) has a standard deviation of 10.
    assert np.abs(counts - 200).max() < 50


def test_the_choice_of_a_seed_is_fixed_for_ever() -> None:
    labels = np.tile(np.arange(2), 10)
    assert balanced(labels, NAMES[:2], 6, 0, "train_limit").tolist() == [2, 3, 8, 11, 13, 18]


def test_all_of_a_balanced_set_is_the_set_itself() -> None:
    labels = np.tile(np.arange(5), 4)
    assert balanced(labels, NAMES, 20, 7, "train_limit").tolist() == list(range(20))


def test_too_few_of_a_class_names_field_class_and_count() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 2])
    with pytest.raises(
        StudyError, match=r"test_limit: 6 .* needs 2 images of class 'eel', which has 1"
    ):
        balanced(labels, NAMES[:3], 6, 0, "test_limit")


def test_less_than_one_a_class_is_refused() -> None:
    with pytest.raises(StudyError, match=r"train_limit: 4 .* each of the 5 classes"):
        balanced(np.tile(np.arange(5), 4), NAMES, 4, 0, "train_limit")
