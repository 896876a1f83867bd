"""Find the exact bounds of the K largest similarities of every row, which define its hard set."""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

LONG_ROW = 2**17
"""Rows of this length and longer are shared among threads on a CPU."""
SAMPLED_ROW = 2**12
"""In rows of this length and longer, a sample may first narrow down the candidates."""
SAMPLE = 2**11
"""Values in that sample; there may be up to twice as many."""
SPREAD = 4
"""Safety margin of the sample's bound, in standard deviations of its count."""

Similarities = npt.NDArray[np.floating[Any]]
Select = Callable[[Similarities, int], Similarities]


def interval(similarities: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Bounds (B x 1 each) of every row's ``count`` largest values: the smallest and the largest.

    If too many values equal the lower bound, those in the highest columns are set to -inf in place.
    So exactly ``count`` values of a row are >= its lower bound, and ties go to the lower columns.
    The kernels of ``bank_softmax`` follow the same rule.

    Args:
        similarities: B x N, float32 or float64, on any device.
        count: 1 to N.
    """
    if similarities.device.type == "cpu":
        return interval_by_partition(similarities, count)
    return interval_by_topk(similarities, count)


def interval_by_partition(similarities: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """``interval`` on a CPU: NumPy's partition is several times faster than torch.topk."""
    values = similarities.numpy()
    batch, size = values.shape
    bounds = np.empty((2, batch, 1), dtype=values.dtype)
    candidates = by_sample if size >= SAMPLED_ROW and sampling_pays() else whole

    def partition(rows: range) -> None:
        for row in rows:
            bounds[:, row, 0] = _bounds(values[row], candidates(values[row], count), count)

    # NumPy releases the interpreter lock. But torch's threads keep spinning for a while after a
    # product, so short rows are done before a second thread gets a core. Shares are small because
    # one core may still be held up.
    shares = [range(first, min(first + 8, batch)) for first in range(0, batch, 8)]
    threads = min(torch.get_num_threads(), len(shares))
    if threads == 1 or size < LONG_ROW:
        partition(range(batch))
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(partition, shares))
    smallest, largest = torch.from_numpy(bounds)
    return smallest, largest


def interval_by_topk(similarities: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """``interval`` on an accelerator, without waiting for the host."""
    top = similarities.topk(count, dim=1, sorted=False).values
    smallest = top.amin(1, keepdim=True)
    tied = similarities == smallest
    free = count - (similarities > smallest).sum(1, keepdim=True)
    similarities.masked_fill_(tied & (tied.cumsum(1, dtype=torch.int32) > free), -torch.inf)
    return smallest, top.amax(1, keepdim=True)


def sampling(size: int, count: int) -> tuple[int, int]:
    """The step between sampled values of a row, and how many sampled values exceed the bound.

    With this bound, only one row in 30,000 has any of its ``count`` largest of ``size`` values
    below it.
    """
    step = max(1, size // SAMPLE)
    # A prime, because if ten classes take turns, a step of 24 would only see five of them.
    while any(step % factor == 0 for factor in range(2, math.isqrt(step) + 1)):
        step -= 1
    expected = count / step
    return step, math.ceil(expected + SPREAD * math.sqrt(expected))


def whole(row: Similarities, count: int) -> Similarities:
    """All values of a row: a copy."""
    return row.copy()


def by_sample(row: Similarities, count: int) -> Similarities:
    """A copy of the values of a row that reach a bound; the ``count`` largest are among them.

    The bound is a value of an evenly spaced sample. It is chosen so that slightly more sampled
    values lie above it than are on average among the row's ``count`` largest. The whole row is
    copied if the bound turns out too high, or if a third of the row or more would be left.
    """
    step, above = sampling(len(row), count)
    if 3 * above * step > len(row):
        return row.copy()
    sample = row[::step].copy()
    rank = len(sample) - 1 - above
    sample.partition(rank)
    below = row < sample[rank]
    # "Not below" rather than "above", so that a NaN is kept and shows in the loss.
    candidates = row.take(np.flatnonzero(np.logical_not(below, out=below)))
    return candidates if len(candidates) >= count else row.copy()


def _bounds(row: Similarities, candidates: Similarities, count: int) -> tuple[Any, Any]:
    """Smallest and largest of the ``count`` largest values of a row; surplus ties go to -inf.

    Args:
        row: All values.
        candidates: A copy of some values, including the ``count`` largest and all equal to these.
            They are reordered.
        count: 1 to their number.
    """
    first = len(candidates) - count
    candidates.partition(first)
    smallest = candidates[first]
    if first and candidates[:first].max() == smallest:
        tied = np.flatnonzero(row == smallest)
        surplus = np.count_nonzero(row >= smallest) - count
        row[tied[len(tied) - surplus :]] = -np.inf
    return smallest, candidates[first:].max()


@cache
def sampling_pays() -> bool:
    """Whether selection is faster with a sample's bound on this CPU; measured once per process.

    Both ways find the same values. NumPy's partition takes 1 to 10 nanoseconds per value, depending
    on the CPU; the search for candidates takes 2.
    """
    # Different rows each time, because a CPU learns the branches of a row that it has seen.
    rows = np.random.default_rng(0).standard_normal((16, 2**15), dtype=np.float32)
    count = rows.shape[1] // 12

    def seconds(candidates: Select, row: Similarities) -> float:
        began = time.perf_counter()
        _bounds(row, candidates(row, count), count)
        return time.perf_counter() - began

    sampled = min(seconds(by_sample, row) for row in rows[::2])
    return 1.2 * sampled < min(seconds(whole, row) for row in rows[1::2])
