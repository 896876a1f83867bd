"""Local separation is what Fig. 8 shows: the positive apart, the nearest negatives in order."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

import tolerance
from examples import examples
from points import near_bank
from tausweep.measures.separation import separation

pytestmark = pytest.mark.numerical


def anchors_and_bank(
    m: int, n: int, d: int, closeness: float, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    return near_bank(m, n, d, closeness, 0.3, seed)


def in_float64(anchors: Tensor, bank: Tensor) -> np.ndarray:
    similarities: np.ndarray = anchors.double().numpy() @ bank.double().numpy().T
    return similarities


@pytest.mark.parametrize("closeness", [1.0, 0.0, -1.0])
def test_equals_brute_force_with_the_positive_highest_and_lowest(closeness: float) -> None:
    anchors, bank, index = anchors_and_bank(300, 500, 16, closeness, seed=0)
    similarities = in_float64(anchors, bank)
    allowed = tolerance.summed(16, torch.float32) + tolerance.eps(torch.float32)
    result = separation(anchors, bank, index)
    for i, own in enumerate(index.tolist()):
        assert result.positive[i] == pytest.approx(similarities[i, own], rel=0, abs=allowed)
        negatives = np.sort(np.delete(similarities[i], own))[::-1][:10]
        tolerance.check(result.negatives[i], negatives, allowed)
    assert result.positive.dtype == result.negatives.dtype == torch.float32


def test_means_have_the_records_names() -> None:
    anchors, bank, index = anchors_and_bank(40, 60, 8, 1.0, seed=0)
    result = separation(anchors, bank, index)
    means = result.means()
    assert list(means) == [
        "positive_similarity",
        *(f"negative_similarity_{rank}" for rank in range(1, 11)),
    ]
    allowed = tolerance.summed(40, torch.float32)  # of the mean that is taken here
    assert means["positive_similarity"] == pytest.approx(
        float(result.positive.mean()), rel=0, abs=allowed
    )
    values = list(means.values())
    assert values[1:] == sorted(values[1:], reverse=True)


def test_distributions_hold_every_anchor() -> None:
    anchors, bank, index = anchors_and_bank(300, 500, 16, 1.0, seed=0)
    result = separation(anchors, bank, index, k=3)
    block = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert list(block["distributions"]) == ["pos", "n1", "n2", "n3"]
    edges = block["bin_edges"]
    for name, column in zip(
        block["distributions"], (result.positive, *result.negatives.T), strict=True
    ):
        distribution = block["distributions"][name]
        counts, _ = np.histogram(column.double().numpy(), edges)
        assert distribution["counts"] == counts.tolist()
        assert sum(distribution["counts"]) == block["anchors"] == 300
        expected = np.quantile(column.double().numpy(), block["quantile_levels"])
        assert distribution["quantiles"] == pytest.approx(expected)


def test_a_cosine_rounded_above_1_is_counted_in_the_last_bin() -> None:
    bank = torch.eye(4)
    anchors = torch.eye(4) * (1 + 1e-6)
    block = separation(anchors, bank, torch.arange(4), k=1).to_json()
    assert block["distributions"]["pos"]["counts"][-1] == 4


@settings(max_examples=examples(20))
@given(
    n=st.integers(3, 40),
    classes=st.integers(1, 4),
    size=st.integers(1, 39),
    seed=st.integers(0, 99),
)
def test_share_of_the_hard_set_with_the_anchors_label(
    n: int, classes: int, size: int, seed: int
) -> None:
    size = min(size, n - 1)
    anchors, bank, index = anchors_and_bank(min(n, 7), n, 5, 0.5, seed)
    labels = torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed))
    result = separation(anchors, bank, index, k=1, labels=labels, hard_set_size=size)
    similarities = in_float64(anchors.float(), bank)
    shares, all_shares = [], []
    for row, own in zip(similarities, index.tolist(), strict=True):
        others = [j for j in np.argsort(-row, kind="stable") if j != own]
        same = [bool(labels[j] == labels[own]) for j in others]
        shares.append(np.mean(same[:size]))
        all_shares.append(np.mean(same))
    assert result.hard_set_same_label == pytest.approx(np.mean(shares))
    assert result.all_same_label == pytest.approx(np.mean(all_shares))


def test_hard_negatives_of_clustered_embeddings_share_the_label() -> None:
    labels = torch.arange(200) % 4
    generator = torch.Generator().manual_seed(0)
    bank = normalize(torch.eye(4)[labels] + 0.1 * torch.randn(200, 4, generator=generator), dim=1)
    result = separation(bank, bank, torch.arange(200), labels=labels, hard_set_size=49)
    assert result.hard_set_same_label == pytest.approx(1.0)
    assert result.all_same_label == pytest.approx(49 / 199)
    none = separation(bank, bank, torch.arange(200))
    assert none.hard_set_same_label is None
    assert none.all_same_label is None


def test_bank_and_anchors_are_left_as_they_are_and_autocast_changes_nothing() -> None:
    anchors, bank, index = anchors_and_bank(50, 80, 16, 1.0, seed=0)
    anchors.requires_grad_()
    kept = bank.clone()
    before = separation(anchors, bank, index)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        after = separation(anchors, bank, index)
    assert torch.equal(before.positive, after.positive)
    assert torch.equal(before.negatives, after.negatives)
    assert torch.equal(bank, kept)
    assert anchors.grad is None
    assert not before.positive.requires_grad


def test_what_does_not_belong_together_is_refused_by_name() -> None:
    anchors, bank, index = anchors_and_bank(5, 9, 4, 1.0, seed=0)
    with pytest.raises(ValueError, match="k: 10 is not allowed; a bank of 9 has 1 to 8"):
        separation(anchors, bank, index)
    with pytest.raises(ValueError, match="hard_set_size: 9 is not allowed"):
        separation(anchors, bank, index, k=1, hard_set_size=9)
    with pytest.raises(ValueError, match="index: 0 to 9 given; the bank's rows are 0 to 8"):
        separation(anchors, bank, torch.tensor([0, 1, 2, 3, 9]), k=1)
    with pytest.raises(ValueError, match="index"):
        separation(anchors, bank, index[:4], k=1)
    with pytest.raises(ValueError, match=r"anchors: .* rows of 4"):
        separation(anchors[:, :3], bank, index, k=1)
    with pytest.raises(ValueError, match=r"labels: .* allowed are 9 integers"):
        separation(anchors, bank, index, k=1, labels=index)
    with pytest.raises(ValueError, match="bank: a value is not finite"):
        separation(anchors, bank / 0, index, k=1)
