"""Sums over a bank: chunks, precision, memory, and no wait for the host."""

import itertools
import tracemalloc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from loss_problems import HYPOTHESIS, problem, settings_of
from tausweep import losses
from tausweep.losses import streaming
from tausweep.machine import kernel_choice

pytestmark = pytest.mark.numerical


@given(size=st.integers(2, 700_000))
@HYPOTHESIS
def test_chunks_cover_the_bank_once_and_none_is_a_lone_row(size: int) -> None:
    bounds = streaming.chunk_bounds(size, torch.device("cpu"))
    assert bounds[0][0] == 0
    assert bounds[-1][1] == size
    assert all(before[1] == after[0] for before, after in itertools.pairwise(bounds))
    # A lone row could be a positive, and no negative at all has no maximum.
    assert all(2 <= stop - start <= streaming.CHUNK_ROWS_CPU for start, stop in bounds)


@pytest.mark.parametrize("mode", ["ieee", "tf32", "none"])
def test_products_are_full_float32_inside_and_as_before_outside(mode: str) -> None:
    matmul = torch.backends.cuda.matmul
    saved = matmul.fp32_precision
    try:
        matmul.fp32_precision = mode
        with streaming.full_precision(torch.device("cpu")):
            assert matmul.fp32_precision in ("ieee", "none")
        assert matmul.fp32_precision == mode
        with pytest.raises(KeyError), streaming.full_precision(torch.device("cpu")):
            raise KeyError
        assert matmul.fp32_precision == mode
    finally:
        matmul.fp32_precision = saved


class Allocations(TorchDispatchMode):
    """Counts the bytes of all tensors that operations made and that are still alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive = 0
        self.peak = 0
        self.seen: dict[int, weakref.finalize[Any, Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {
            t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if torch.is_tensor(t)
        }
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if not torch.is_tensor(tensor):
                continue
            storage = tensor.untyped_storage()
            if storage._cdata in given or storage._cdata in self.seen:
                continue
            self.seen[storage._cdata] = weakref.finalize(
                storage, self.forget, storage._cdata, storage.nbytes()
            )
            self.alive += storage.nbytes()
            self.peak = max(self.peak, self.alive)
        return result

    def forget(self, key: int, size: int) -> None:
        del self.seen[key]
        self.alive -= size


@contextmanager
def counted() -> Iterator[Allocations]:
    with Allocations() as allocations:
        yield allocations


def test_allocations_are_counted_while_they_live() -> None:
    x = torch.ones(1000)
    with counted() as memory:
        y = x + 1
        y.add_(1)
        z = y[:10]
        assert memory.alive == 4000
        del y, z
        assert memory.alive == 0
        assert memory.peak == 4000


@pytest.mark.parametrize("name", losses.NAMES)
def test_memory_stays_far_below_all_similarities(name: str) -> None:
    batch, size, dim = 32, 604_388, 8
    anchors, bank, index = problem(0, batch, size, dim, torch.float32)
    all_similarities = 4 * batch * size
    loss = losses.make(name, **settings_of(name, 0.07, 4095))
    tracemalloc.start()
    with counted() as memory:
        value = loss(anchors, bank, index)
        kept = memory.alive
        value.backward()
    _, numpy_peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    if name.startswith("hard"):
        assert all_similarities <= memory.peak < 1.05 * all_similarities
        # One row for each thread.
        assert numpy_peak < (torch.get_num_threads() + 1) * 4 * size
    else:
        assert 0 < memory.peak < 0.02 * all_similarities
    # Between forward and backward: the loss and a gradient of the anchors' size.
    assert kept <= 2 * 4 * batch * dim


@pytest.mark.parametrize("literal_topk", [False, True])
@pytest.mark.parametrize("name", losses.NAMES)
def test_no_step_waits_for_the_host_on_an_accelerator(
    name: str, literal_topk: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fake tensors hold no values, so looking at one fails; nor can a kernel be given them."""
    monkeypatch.setenv(kernel_choice.VARIABLE, kernel_choice.TORCH)
    literal = literal_topk and name.startswith("hard")
    loss = losses.make(name, literal_topk=literal, **settings_of(name))
    with FakeTensorMode():
        anchors = torch.empty(4, 8, device="cuda", requires_grad=True)
        bank = torch.empty(40_000, 8, device="cuda")
        index = torch.empty(4, dtype=torch.int64, device="cuda")
        value = loss(anchors, bank, index)
        assert value.device.type == "cuda"
        assert value.requires_grad
