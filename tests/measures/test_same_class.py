"""The share of the penalty on an anchor's own class, against its definition in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import tolerance as allowed
from examples import examples
from points import near_bank
from tausweep.measures import geometry, same_class

pytestmark = pytest.mark.numerical


Points = tuple[Tensor, Tensor, Tensor, Tensor]
"""Anchors, bank, index, labels."""


def points(m: int, n: int, d: int, classes: int, seed: int) -> Points:
    anchors, bank, index = near_bank(m, n, d, 0.5, 0.6, seed)
    rng = np.random.default_rng(seed)
    return anchors, bank, index, torch.from_numpy(rng.integers(0, classes, n))


def reference(
    anchors: Tensor, bank: Tensor, index: Tensor, labels: Tensor, tau: float, size: int | None
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Similarities, relative penalties and class membership of every anchor's negatives."""
    found = []
    for row, own in zip(anchors.double().numpy(), index.tolist(), strict=True):
        s = np.delete(bank.double().numpy() @ row, own)
        same = np.delete(labels.numpy(), own) == int(labels[own])
        nearest = np.argsort(-s, kind="stable")[:size]
        s, same = s[nearest], same[nearest]
        weights = np.exp((s - s.max()) / tau)
        found.append((s, weights / weights.sum(), same))
    return found


@settings(max_examples=examples(20))
@given(
    n=st.integers(3, 40),
    tau=st.floats(0.05, 2.0),
    size=st.none() | st.integers(1, 39),
    classes=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_the_share_is_the_sum_of_penalties_on_the_anchors_class(
    n: int, tau: float, size: int | None, classes: int, seed: int
) -> None:
    size = None if size is None else min(size, n - 1)
    given_points = points(min(n, 5), n, 4, classes, seed)
    found = same_class.same_class_share(*given_points, (tau, 1.0), size)
    assert found.shape == (min(n, 5), 2)
    rounding = allowed.weights(tau, n) + 2 * allowed.summed(4) / tau
    for i, (_, r, same) in enumerate(reference(*given_points, tau, size)):
        assert float(found[i, 0]) == pytest.approx(r[same].sum(), rel=0, abs=rounding)


def test_limits_are_the_nearest_negative_and_the_share_of_the_class() -> None:
    given_points = points(20, 120, 8, 3, 1)
    found = same_class.same_class_share(*given_points, (1e-6, 1e6))
    for i, (_, _, same) in enumerate(reference(*given_points, 1.0, None)):
        # The nearest negatives of none are within 20 tau.
        assert float(found[i, 0]) == pytest.approx(float(same[0]), abs=119 * math.exp(-20))
        # Weights differ by at most 2 / tau.
        assert float(found[i, 1]) == pytest.approx(same.mean(), abs=4e-6)


def test_classes_that_are_clusters_get_more_of_the_penalty_the_lower_the_temperature() -> None:
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(np.arange(200) % 2)
    centres = torch.from_numpy(np.eye(8)[:2])
    bank = torch.nn.functional.normalize(
        centres[labels] + 0.3 * torch.from_numpy(rng.standard_normal((200, 8))), dim=1
    )
    index = torch.arange(50)
    shares = same_class.same_class_share(bank[:50], bank, index, labels).mean(dim=0)
    assert (shares.diff() < 0).all()
    assert shares[0] > 0.95
    # Labels that have nothing to do with the embeddings get their share of the negatives.
    blind = torch.from_numpy(rng.permutation(labels.numpy()))
    found = same_class.measure(bank[:50], bank, index, blind, 1.0)
    assert found["share"] == pytest.approx(found["by_chance"], abs=0.03)


@pytest.mark.parametrize("size", [None, 7])
def test_the_profile_has_every_negative_and_all_of_the_penalty_in_its_bin(
    size: int | None,
) -> None:
    given_points = points(70, 90, 4, 3, 2)
    found = same_class.by_similarity(*given_points, 0.2, size)
    every = reference(*given_points, 0.2, size)
    s, r, same = (np.concatenate(column) for column in zip(*every, strict=True))
    edges = np.linspace(-1, 1, same_class.BINS + 1)
    # None is so near an edge that rounding could move it.
    assert np.abs(s[:, None] - edges).min() > 1e-9
    np.testing.assert_array_equal(found.negatives, np.histogram(s, edges)[0])
    np.testing.assert_array_equal(found.same_class, np.histogram(s[same], edges)[0])
    rounding = allowed.weights(0.2, 90) + 2 * allowed.summed(4) / 0.2
    for ours, weights in ((found.penalty, r), (found.same_class_penalty, r * same)):
        expected = np.histogram(s, edges, weights=weights)[0] / 70
        np.testing.assert_allclose(ours, expected, rtol=0, atol=rounding)
    assert float(found.penalty.sum()) == pytest.approx(1)
    share = same_class.same_class_share(*given_points, (0.2,), size).mean()
    assert float(found.same_class_penalty.sum()) == pytest.approx(float(share))


def test_a_similarity_of_1_or_beyond_is_in_the_last_bin() -> None:
    bank = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [1.001, 0.0]])
    labels = torch.tensor([0, 0, 1, 1])
    found = same_class.by_similarity(bank[:1], bank, torch.tensor([0]), labels, 1.0)
    assert found.negatives.tolist() == [1] + [0] * (same_class.BINS - 2) + [2]
    assert found.same_class.tolist() == [0] * (same_class.BINS - 1) + [1]


def test_tolerance_by_class_is_the_mean_over_its_pairs_and_averages_to_tolerance() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((40, 6)) + 0.5
    labels = np.array([0] * 20 + [1] * 17 + [2] + [4] * 2)
    found = same_class.tolerance_by_class(torch.from_numpy(x), torch.from_numpy(labels), 5)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    pairs = []
    for label in range(5):
        s = unit[labels == label] @ unit[labels == label].T
        upper = s[np.triu_indices(len(s), 1)]
        pairs.append(len(upper))
        if len(upper):
            assert float(found[label]) == pytest.approx(upper.mean(), abs=allowed.summed(40))
    assert found.isnan().tolist() == [False, False, True, True, False]
    pooled = np.nansum(found.numpy() * pairs) / sum(pairs)
    whole = geometry.tolerance(torch.from_numpy(x), torch.from_numpy(labels))
    assert whole == pytest.approx(pooled, abs=allowed.summed(40))


def test_measure_has_the_grid_over_all_negatives_and_its_own_over_the_hard_set() -> None:
    given_points = points(30, 60, 4, 2, 5)
    found = same_class.measure(*given_points, 0.3, 9)
    grid = same_class.same_class_share(*given_points)
    assert found["shares"] == grid.mean(dim=0).tolist()
    own = same_class.same_class_share(*given_points, (0.3,), 9)
    assert found["share"] == float(own.mean())
    labels = given_points[3].numpy()
    members = [(labels == labels[i]).sum() - 1 for i in given_points[2].tolist()]
    assert found["by_chance"] == pytest.approx(np.mean(members) / 59)
    without = same_class.measure(*given_points, None)
    assert without["share"] is None
    assert without["by_similarity"] is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": torch.zeros(59, dtype=torch.int64)}, r"labels: \(59,\) torch.int64 given"),
        ({"labels": torch.zeros(60)}, "allowed are 60 integers"),
        ({"negatives": 60}, "negatives: 60 is not allowed; it is 1 to 59"),
        ({"index": torch.tensor([0])}, r"index: \(1,\)"),
        ({"temperatures": (0.0,)}, "temperature"),
    ],
)
def test_inputs_that_do_not_belong_together_are_refused(
    change: dict[str, object], says: str
) -> None:
    anchors, bank, index, labels = points(30, 60, 4, 2, 5)
    arguments = {"anchors": anchors, "bank": bank, "index": index, "labels": labels} | change
    with pytest.raises(ValueError, match=says):
        same_class.same_class_share(**arguments)  # type: ignore[arg-type]


def test_a_label_beyond_the_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="labels: 0 to 3 given; allowed are 0 to 2"):
        same_class.tolerance_by_class(torch.eye(4), torch.arange(4), 3)
