"""Weighted kNN gives what its definition gives in float64, and its ties have one answer."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from examples import examples
from tausweep.losses import selection
from tausweep.measures import knn

pytestmark = pytest.mark.numerical


def embeddings(n: int, d: int, classes: int, spread: float, seed: int) -> tuple[Tensor, Tensor]:
    """Stored embeddings: float32 rows of length 1 around class centres common to all seeds."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=generator)
    centres = normalize(torch.randn(classes, d, generator=torch.Generator().manual_seed(99)), dim=1)
    noise = torch.randn(n, d, generator=generator) / math.sqrt(d)
    return normalize(centres[labels] + spread * noise, dim=1), labels


def accuracy(
    train: Tensor,
    labels: Tensor,
    test: Tensor,
    truth: Tensor,
    k: int,
    temperature: float,
) -> float:
    return knn.percentage(knn.correct(train, labels, test, truth, k, temperature))


def reference(train: Tensor, labels: Tensor, test: Tensor, k: int, temperature: float) -> list[int]:
    """Neighbours by (similarity, lower row), votes by (sum, lower label), in float64."""
    similarities = test.double().numpy() @ train.double().numpy().T
    kinds = labels.numpy()
    predicted = []
    for row in similarities:
        nearest = np.lexsort((np.arange(len(row)), -row))[:k]
        weights = np.exp((row[nearest] - row[nearest[0]]) / temperature)
        votes = {c: weights[kinds[nearest] == c].sum() for c in sorted(set(kinds[nearest]))}
        predicted.append(int(max(votes, key=lambda c: votes[c])))
    return predicted


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (20, 0.07), (200, 0.07), (200, 0.5)])
def test_equals_float64_on_stored_embeddings(k: int, temperature: float) -> None:
    train, labels = embeddings(2000, 32, 7, 2.5, seed=0)
    test, truth = embeddings(700, 32, 7, 2.5, seed=1)
    expected = reference(train, labels, test, k, temperature)
    assert knn.predict(train, labels, test, k, temperature).tolist() == expected
    share = float(np.mean(np.array(expected) == truth.numpy()))
    # Neither trivial nor hopeless, else agreement would show little.
    assert 0.3 < share < 0.95
    assert accuracy(train, labels, test, truth, k, temperature) == pytest.approx(100 * share)
    right = knn.correct(train, labels, test, truth, k, temperature)
    assert right.tolist() == (np.array(expected) == truth.numpy()).tolist()


@settings(max_examples=examples(60))
@given(
    columns=st.integers(1, 400),
    count=st.integers(1, 40),
    levels=st.sampled_from([2, 5, 50, 100_000]),
    seed=st.integers(0, 999),
)
def test_the_search_by_groups_finds_the_largest_values(
    columns: int, count: int, levels: int, seed: int
) -> None:
    """Few levels: nearly all values tie, within groups, between them and with the remainder."""
    count = min(count, columns)
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(levels, (3, columns), generator=generator).float()
    found, places = knn._largest(values, count)
    assert torch.equal(found, values.sort(dim=1, descending=True).values[:, :count])
    assert torch.equal(values.gather(1, places), found)
    assert all(len(set(row)) == count for row in places.tolist())


COLUMNS = 16_000
"""From here on a sample of every seventh column bounds the search for ten."""


@pytest.mark.parametrize(
    ("kind", "bounded"), [("random", True), ("many ties", True), ("all equal", False),
                          ("a sample too low", False)],
)  # fmt: skip
@pytest.mark.parametrize("count", [1, 10])
def test_the_search_above_a_bound_finds_the_largest_values(
    kind: str, bounded: bool, count: int
) -> None:
    step, above = selection.sampling(COLUMNS, count)
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(5, COLUMNS, generator=generator)
    if kind == "many ties":
        values = (300 * values).floor()
    if kind == "all equal":
        values = torch.zeros(5, COLUMNS)
    if kind == "a sample too low":
        values[:, ::step] -= 9
    assert (knn._by_sample(values, count, step, above) is not None) == bounded
    found, places = knn._largest(values, count)
    assert torch.equal(found, values.sort(dim=1, descending=True).values[:, :count])
    assert torch.equal(values.gather(1, places), found)
    assert all(len(set(row)) == count for row in places.tolist())


def test_rows_with_too_few_above_the_bound_are_searched_again() -> None:
    """The sample of a row holds all its large values, as where classes take turns."""
    count = 200
    step, above = selection.sampling(COLUMNS, count)
    values = torch.rand(5, COLUMNS, generator=torch.Generator().manual_seed(0))
    values[3, ::step] += 2
    found = knn._by_sample(values, count, step, above)
    assert found is not None
    assert found[2].tolist() == [3]
    largest, places = knn._largest(values, count)
    assert torch.equal(largest, values.sort(dim=1, descending=True).values[:, :count])
    assert torch.equal(values.gather(1, places), largest)


def test_three_separated_clusters_are_told_apart() -> None:
    train, labels = embeddings(300, 16, 3, 0.1, seed=0)
    test, truth = embeddings(600, 16, 3, 0.1, seed=1)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(2))
    assert accuracy(train, labels, test, truth, 50, 0.07) == 100.0
    assert accuracy(train[order], labels[order], test, truth, 50, 0.07) == 100.0
    # One neighbour each: a cluster's majority among 50 would be right or wrong as a whole.
    shuffled = accuracy(train, labels[order], test, truth, 1, 0.07)
    assert shuffled == pytest.approx(100 / 3, abs=10)


def test_a_class_missing_from_the_test_set_still_works() -> None:
    train, labels = embeddings(300, 16, 3, 0.1, seed=0)
    test, truth = embeddings(100, 16, 3, 0.1, seed=1)
    kept = truth == 2
    assert accuracy(train, labels, test[kept], truth[kept], 20, 0.07) == 100.0


def test_a_test_class_without_keys_counts_as_errors() -> None:
    train, labels = embeddings(300, 16, 3, 0.1, seed=0)
    test, truth = embeddings(100, 16, 3, 0.1, seed=1)
    kept = labels != 1
    expected = 100 * float((truth != 1).double().mean())
    assert accuracy(train[kept], labels[kept], test, truth, 20, 0.07) == pytest.approx(expected)


def test_labels_are_names_not_positions() -> None:
    train, labels = embeddings(300, 16, 3, 1.5, seed=0)
    test, _ = embeddings(100, 16, 3, 1.5, seed=1)
    plain = knn.predict(train, labels, test, 20, 0.07)
    assert torch.equal(knn.predict(train, 1000 * labels - 7, test, 20, 0.07), 1000 * plain - 7)


@settings(max_examples=examples(25))
@given(n=st.integers(1, 30), k=st.integers(1, 30), seed=st.integers(0, 999))
def test_neighbours_that_tie_are_taken_by_lower_row(n: int, k: int, seed: int) -> None:
    """Axes and their negatives: similarities are exactly -1, 0 or 1, so nearly all keys tie."""
    k = min(k, n)
    generator = torch.Generator().manual_seed(seed)
    axes = torch.cat([torch.eye(3), -torch.eye(3)])
    train = axes[torch.randint(6, (n,), generator=generator)]
    labels = torch.randint(4, (n,), generator=generator)
    expected = reference(train, labels, axes, k, 0.5)
    assert knn.predict(train, labels, axes, k, 0.5).tolist() == expected


def test_equal_votes_go_to_the_lower_label() -> None:
    key = torch.tensor([[1.0, 0.0]])
    train = torch.cat([key] * 4)
    assert knn.predict(train, torch.tensor([5, 3, 3, 5]), key, 4, 0.07).tolist() == [3]
    assert knn.predict(train, torch.tensor([3, 5, 5, 3]), key, 4, 0.07).tolist() == [3]
    # Interchanged similarities in both classes: their sums of three must be the same bits.
    angles = torch.tensor([0.1, 0.2, 0.3] * 2)
    train = torch.stack([angles.cos(), angles.sin()], dim=1)
    for order in ([0, 1, 2, 3, 4, 5], [3, 1, 5, 0, 4, 2], [2, 4, 0, 5, 1, 3]):
        labels = torch.tensor([8, 8, 8, 1, 1, 1])[order]
        assert knn.predict(train[order], labels, key, 6, 0.07).tolist() == [1]


def test_scale_of_embeddings_does_not_matter() -> None:
    train, labels = embeddings(200, 16, 4, 2.0, seed=0)
    test, _ = embeddings(100, 16, 4, 2.0, seed=1)
    scaled = knn.predict(8.0 * train, labels, 0.25 * test, 20, 0.07)
    assert torch.equal(scaled, knn.predict(train, labels, test, 20, 0.07))


def test_a_tiny_temperature_leaves_the_nearest_key_and_a_huge_one_counts_heads() -> None:
    train, labels = embeddings(200, 16, 4, 2.0, seed=0)
    test, _ = embeddings(100, 16, 4, 2.0, seed=1)
    nearest = labels[(test @ train.T).argmax(dim=1)]
    assert torch.equal(knn.predict(train, labels, test, 20, 1e-9), nearest)
    heads = torch.full((100,), int(labels.mode().values))
    assert torch.equal(knn.predict(train, labels, test, 200, 1e9), heads)


def test_same_under_autocast() -> None:
    train, labels = embeddings(500, 32, 7, 2.5, seed=0)
    test, _ = embeddings(300, 32, 7, 2.5, seed=1)
    before = knn.predict(train, labels, test, 20, 0.07)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(knn.predict(train, labels, test, 20, 0.07), before)


def test_what_cannot_be_is_refused_by_name() -> None:
    train, labels = embeddings(50, 8, 3, 1.0, seed=0)
    test, truth = embeddings(10, 8, 3, 1.0, seed=1)
    for k in (0, 51, -1):
        with pytest.raises(ValueError, match=f"k: {k} is not allowed; with 50 keys it is 1 to 50"):
            knn.predict(train, labels, test, k, 0.07)
    for temperature in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="temperature"):
            knn.predict(train, labels, test, 5, temperature)
    with pytest.raises(ValueError, match="train_labels"):
        knn.predict(train, labels[:-1], test, 5, 0.07)
    with pytest.raises(ValueError, match="test_labels"):
        accuracy(train, labels, test, truth.double(), 5, 0.07)
    with pytest.raises(ValueError, match="allowed is M x 8"):
        knn.predict(train, labels, test[:, :7], 5, 0.07)
    test[4] = 0
    with pytest.raises(ValueError, match="test: row 4 is zero"):
        knn.predict(train, labels, test, 5, 0.07)
