"""The hard set has K rows, never the positive, and ties go to the lower index."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import reference
from loss_problems import HYPOTHESIS, SEEDS, by_similarities, problem
from tausweep import losses

pytestmark = pytest.mark.numerical


@pytest.mark.parametrize("positive", [-2.0, 2.0])
def test_the_hard_set_of_200_anchors_has_k_rows_and_never_the_positive(
    device_path: str, positive: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    s = torch.rand(200, 500, generator=generator) * 2 - 1
    index = torch.randint(500, (200,), generator=generator)
    s[torch.arange(200), index] = positive
    chosen = losses.hard_set(s, index, 41)
    assert (chosen.sum(1) == 41).all()
    assert not chosen[torch.arange(200), index].any()
    assert np.array_equal(chosen, reference.hard_set(s.numpy(), index.numpy(), 41))


@given(data=st.data(), size=st.integers(2, 40), batch=st.integers(1, 20))
@HYPOTHESIS
def test_ties_go_to_the_lower_index_on_every_device_path(
    device_path: str, data: st.DataObject, size: int, batch: int
) -> None:
    seed = data.draw(SEEDS)
    generator = torch.Generator().manual_seed(seed)
    s = torch.randint(-2, 3, (batch, size), generator=generator) / 4
    index = torch.randint(size, (batch,), generator=generator)
    k = data.draw(st.integers(1, size - 1))
    chosen = losses.hard_set(s, index, k)
    assert np.array_equal(chosen, reference.hard_set(s.numpy(), index.numpy(), k))
    assert np.array_equal(losses.hard_set(s, None, k), reference.top_set(s.numpy(), k))


def test_ten_duplicates_at_the_threshold_are_cut_by_index(device_path: str) -> None:
    anchors, bank, index = problem(2, batch=3, size=60, dtype=torch.float32)
    s = anchors.detach() @ bank.T
    # Ten copies, scattered, of the entry that ranks 8th for the first anchor; K = 12 cuts them.
    middle = s[0].argsort(descending=True)[8]
    copies = torch.tensor([row for row in range(0, 60, 4) if row not in index][:10])
    bank[copies] = bank[middle].clone()
    loss = losses.make("hard_contrastive", 0.07, 12)
    sets = [losses.hard_set(anchors @ bank.T, index, 12) for _ in range(5)]
    similarities = (anchors.detach() @ bank.T).numpy()
    assert (sets[0].sum(1) == 12).all()
    assert np.array_equal(sets[0], reference.hard_set(similarities, index.numpy(), 12))
    assert all(torch.equal(sets[0], other) for other in sets)
    tied = similarities[0] == similarities[0, copies[0]]
    inside = sets[0][0].numpy() & tied
    assert 0 < inside.sum() < tied.sum()
    assert inside.nonzero()[0].max() < (tied & ~inside).nonzero()[0].min()
    # The loss takes the same set: off it, gradients are exactly 0.
    wide = torch.from_numpy(similarities)
    _, gradient = by_similarities(loss, wide, index)
    allowed = sets[0].clone()
    allowed[torch.arange(3), index] = True
    assert (gradient[~allowed] == 0).all()
    assert (gradient[sets[0]] > 0).all()


def test_the_hard_set_of_half_precision_similarities_compares_them_as_they_are() -> None:
    s = torch.linspace(0.5, 1, 2000)[None].repeat(2, 1).to(torch.bfloat16)  # thousands of ties
    index = torch.tensor([1999, 0])
    chosen = losses.hard_set(s, index, 700)
    assert np.array_equal(chosen, reference.hard_set(s.float().numpy(), index.numpy(), 700))


def test_the_hard_set_does_not_depend_on_the_number_of_threads() -> None:
    s = torch.randint(-50, 50, (37, 300), generator=torch.Generator().manual_seed(0)) / 64
    index = torch.arange(37)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = losses.hard_set(s, index, 40)
        torch.set_num_threads(3)
        assert torch.equal(losses.hard_set(s, index, 40), alone)
    finally:
        torch.set_num_threads(threads)
