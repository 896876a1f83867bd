"""The bank changes only by its update, only in the batch's rows, and by InstDisc's formula."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import reference
import tolerance
from examples import examples
from tausweep import losses
from tausweep.model.bank import MemoryBank

pytestmark = pytest.mark.numerical

HYPOTHESIS = settings(max_examples=examples(25))


def embeddings_of(count: int, dim: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dim, generator=generator), dim=1)


def test_entries_start_uniform_in_the_bounds_of_instdisc() -> None:
    entries = MemoryBank(5000, 128, 0.5, seed=0).entries
    bound = 1 / math.sqrt(128 / 3)
    assert entries.shape == (5000, 128)
    assert entries.dtype == torch.float32
    assert entries.min() >= -bound
    assert entries.max() <= bound
    # Uniform in +-bound: mean 0, variance bound^2 / 3 = 1/128, the quarters equally full.
    assert abs(entries.mean().item()) < 5 * bound / math.sqrt(3 * entries.numel())
    assert entries.var().item() == pytest.approx(1 / 128, rel=0.01)
    quarters = torch.histc(entries, 4, -bound, bound) / entries.numel()
    torch.testing.assert_close(quarters, torch.full((4,), 0.25), rtol=0.01, atol=0)
    # Not normalised: the lengths scatter around 1.
    lengths = entries.norm(dim=1)
    assert lengths.mean().item() == pytest.approx(1, abs=0.01)
    assert lengths.std() > 0.02


def test_entries_belong_to_the_seed_and_to_nothing_else() -> None:
    first = MemoryBank(50, 8, 0.5, seed=3).entries
    torch.manual_seed(99)
    torch.rand(7)
    state = torch.get_rng_state()
    again = MemoryBank(50, 8, 0.0, seed=3).entries
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first, MemoryBank(50, 8, 0.5, seed=4).entries)


@given(seed=st.integers(0, 10_000), momentum=st.floats(0, 1), batch=st.integers(1, 20))
@HYPOTHESIS
def test_an_update_is_the_normalised_moving_average(seed: int, momentum: float, batch: int) -> None:
    bank = MemoryBank(20, 6, momentum, seed)
    before = bank.entries.clone()
    index = torch.randperm(20, generator=torch.Generator().manual_seed(seed))[:batch]
    embeddings = embeddings_of(batch, 6, seed)
    bank.update(index, embeddings)
    for row, embedding in zip(index.tolist(), embeddings, strict=True):
        expected = reference.bank_update(before[row], embedding, momentum)
        # The average may cancel: its rounding is that of its two terms, over its length.
        old = before[row].double().numpy()
        terms = momentum * np.linalg.norm(old) + (1 - momentum)
        length = np.linalg.norm(momentum * old + (1 - momentum) * embedding.double().numpy())
        allowed = (
            tolerance.unit(6, torch.float32) + 4 * tolerance.eps(torch.float32) * terms / length
        )
        tolerance.check(bank.entries[row], expected, allowed)


@given(seed=st.integers(0, 10_000))
@HYPOTHESIS
def test_an_update_touches_exactly_the_batchs_rows(seed: int) -> None:
    bank = MemoryBank(30, 6, 0.5, seed)
    before = bank.entries.clone()
    index = torch.randperm(30, generator=torch.Generator().manual_seed(seed))[:7]
    bank.update(index, embeddings_of(7, 6, seed))
    changed = (bank.entries != before).any(1)
    assert set(changed.nonzero().flatten().tolist()) == set(index.tolist())
    lengths = bank.entries[index].double().norm(dim=1)
    tolerance.check(lengths, 1, tolerance.unit(6, torch.float32))


def test_the_order_within_a_batch_changes_no_byte() -> None:
    index = torch.randperm(400, generator=torch.Generator().manual_seed(0))[:128]
    embeddings = embeddings_of(128, 16)
    order = torch.randperm(128, generator=torch.Generator().manual_seed(1))
    one, other = MemoryBank(400, 16, 0.5, 0), MemoryBank(400, 16, 0.5, 0)
    one.update(index, embeddings)
    other.update(index[order], embeddings[order])
    assert torch.equal(one.entries, other.entries)


def test_a_partial_batch_updates_its_own_rows() -> None:
    bank = MemoryBank(130, 4, 0.5, 0)
    before = bank.entries.clone()
    embeddings = embeddings_of(130, 4)
    order = torch.randperm(130, generator=torch.Generator().manual_seed(0))
    for index in order.split(32):
        bank.update(index, embeddings[index])
    assert (bank.entries != before).any(1).all()
    whole = MemoryBank(130, 4, 0.5, 0)
    whole.update(torch.arange(130), embeddings)
    assert torch.equal(bank.entries, whole.entries)


def test_momentum_0_is_the_latest_embedding_and_1_the_old_entry() -> None:
    index, embeddings = torch.tensor([3, 0]), embeddings_of(2, 5)
    latest, old = MemoryBank(4, 5, 0.0, 0), MemoryBank(4, 5, 1.0, 0)
    before = old.entries.clone()
    latest.update(index, embeddings)
    old.update(index, embeddings)
    allowed = 2 * tolerance.unit(5, torch.float32)
    tolerance.check(latest.entries[index], embeddings, allowed)
    tolerance.check(old.entries[index], F.normalize(before[index], dim=1), allowed)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_embeddings_of_any_precision_are_averaged_in_float32(dtype: torch.dtype) -> None:
    index, embeddings = torch.arange(5), embeddings_of(5, 8).to(dtype)
    bank, expected = MemoryBank(9, 8, 0.5, 0), MemoryBank(9, 8, 0.5, 0)
    expected.update(index, embeddings.float())
    with torch.autocast("cpu", torch.bfloat16):
        bank.update(index, embeddings)
    assert bank.entries.dtype == torch.float32
    assert torch.equal(bank.entries, expected.entries)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_zero_embeddings_leave_finite_entries(dtype: torch.dtype) -> None:
    bank = MemoryBank(3, 8, 0.0, 0)
    bank.update(torch.tensor([1]), torch.zeros(1, 8, dtype=dtype))
    assert bank.entries.isfinite().all()


def test_an_update_keeps_no_graph_and_does_not_change_the_embeddings() -> None:
    bank = MemoryBank(6, 4, 0.5, 0)
    embeddings = embeddings_of(2, 4).requires_grad_()
    before = embeddings.detach().clone()
    bank.update(torch.tensor([1, 5]), embeddings)
    assert not bank.entries.requires_grad
    assert torch.equal(embeddings.detach(), before)


def test_a_step_sees_the_bank_of_the_step_before_and_only_the_update_changes_it() -> None:
    bank = MemoryBank(40, 6, 0.5, 0)
    index = torch.arange(8)
    anchors = embeddings_of(8, 6).requires_grad_()
    loss = losses.make("hard_contrastive", 0.07, 10)
    before = bank.entries.clone()
    first = loss(anchors, bank.entries, index)
    first.backward()
    assert torch.equal(bank.entries, before)
    with torch.no_grad():
        assert torch.equal(loss(anchors, bank.entries, index), first)
    bank.update(index, anchors)
    with torch.no_grad():
        assert loss(anchors, bank.entries, index) < first


@pytest.mark.parametrize(
    ("index", "shape", "sentence"),
    [
        ([4, 2, 4], (3, 5), "index must name each instance once, but has 4 twice"),
        ([0, 10], (2, 5), r"index must lie in 0\.\.9, the rows of the bank, not in 0\.\.10"),
        ([-1, 3], (2, 5), r"not in -1\.\.3"),
        ([0, 1], (3, 5), r"embeddings must be 2 x 5 like index and bank, not \(3, 5\)"),
        ([0, 1], (2, 4), r"embeddings must be 2 x 5 like index and bank, not \(2, 4\)"),
        ([0.0, 1.0], (2, 5), r"index must be B int64, not \(2,\) torch.float32"),
        ([[0, 1]], (2, 5), r"index must be B int64, not \(1, 2\)"),
    ],
)
def test_a_refused_update_says_why_and_changes_nothing(
    index: list[int], shape: tuple[int, ...], sentence: str
) -> None:
    bank = MemoryBank(10, 5, 0.5, 0)
    before = bank.entries.clone()
    with pytest.raises(ValueError, match=sentence):
        bank.update(torch.tensor(index), torch.ones(shape))
    assert torch.equal(bank.entries, before)


def test_an_empty_batch_is_no_error() -> None:
    bank = MemoryBank(4, 3, 0.5, 0)
    before = bank.entries.clone()
    bank.update(torch.empty(0, dtype=torch.int64), torch.empty(0, 3))
    assert torch.equal(bank.entries, before)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((0, 8, 0.5, 0), "size of the bank must be >= 1, not 0"),
        ((8, 0, 0.5, 0), "dim of the bank must be >= 1, not 0"),
        ((8, 8, 1.5, 0), r"momentum of the bank must lie in 0\.\.1, not 1.5"),
        ((8, 8, -0.1, 0), r"momentum of the bank must lie in 0\.\.1, not -0.1"),
        ((8, 8, math.nan, 0), r"momentum of the bank must lie in 0\.\.1, not nan"),
    ],
)
def test_a_wrong_bank_is_refused_in_one_sentence(
    arguments: tuple[int, int, float, int], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        MemoryBank(*arguments)


def test_an_index_on_an_accelerator_is_checked_without_waiting_for_the_host() -> None:
    """Fake tensors hold no values, so looking at one fails."""
    with FakeTensorMode():
        bank = MemoryBank(10, 5, 0.5, 0, device="cuda")
        index = torch.empty(4, dtype=torch.int64, device="cuda")
        bank.update(index, torch.empty(4, 5, device="cuda", dtype=torch.bfloat16))
        assert bank.entries.device.type == "cuda"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_bank_holds_the_same_entries() -> None:
    index = torch.randperm(400, generator=torch.Generator().manual_seed(0))[:128]
    embeddings = embeddings_of(128, 16)
    here, there = MemoryBank(400, 16, 0.5, 0), MemoryBank(400, 16, 0.5, 0, device="cuda")
    assert torch.equal(there.entries.cpu(), here.entries)
    here.update(index, embeddings)
    there.update(index.cuda(), embeddings.cuda())
    tolerance.check(there.entries.cpu(), here.entries, 4 * tolerance.unit(16, torch.float32))
