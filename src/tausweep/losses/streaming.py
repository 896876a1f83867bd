"""Sums over a whole bank without keeping all similarities, with gradients computed in advance.

Plain autograd keeps the B x N similarities and their softmax alive from the forward to the
backward pass. Here a loss computes its gradient with respect to the anchors (B x d) while it walks
once over the bank, and only that gradient waits for the backward pass.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from tausweep.machine.precision import full_products

CHUNK_ROWS_CPU = 2048
"""Bank rows per chunk on a CPU: 1 MiB of similarities at B = 128, within two cores' caches."""
CHUNK_ROWS_ACCELERATOR = 16384
"""Bank rows per chunk elsewhere: few kernel launches, but only 8 MiB at B = 128."""
BLOCK_CPU = 2**19
"""Similarities weighted at once on a CPU: those of ten anchors at N = 50,000, within the caches."""
BLOCK_ACCELERATOR = 2**24
SUM_BLOCK = 256
ROWS_CPU = 256
"""Rows compared with all others at once on a CPU: 51 MB of similarities to 50,000 rows."""
ROWS_ACCELERATOR = 4096
MATRIX_ACCELERATOR = 2**28
"""Most similarities held at once elsewhere: 1 GB. This does not depend on the free memory, because
the size of a product may decide how it rounds."""
SMALL_TEMPERATURE = 1e-3
"""At smaller temperatures, the maximum is subtracted before similarities are scaled."""


class AnchorGradient(torch.autograd.Function):
    """A loss whose gradient with respect to the anchors is already known.

    ``AnchorGradient.apply(anchors, loss, gradient)`` returns ``loss`` (a scalar) and sends
    ``gradient`` (B x d, the derivative of ``loss``), times the upstream gradient, to ``anchors``.
    It cannot be differentiated twice.
    """

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        """Keep the gradient, return the loss."""
        ctx.save_for_backward(gradient)
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        """Scale the kept gradient by the upstream one; RuntimeError under ``create_graph``."""
        if torch.is_grad_enabled():
            raise RuntimeError(
                "the losses have no second derivative; call backward or grad without create_graph"
            )
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None, None


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Matrix products inside the block are full float32, under autocast too."""
    with full_products(), torch.autocast(device.type, enabled=False):
        yield


def rows_at_once(columns: int, device: torch.device) -> int:
    """How many rows of a matrix of similarities are best computed together.

    Args:
        columns: Columns of the matrix.
        device: Where the matrix is. A GPU is faster with few large kernels.
    """
    if device.type == "cpu":
        return ROWS_CPU
    return max(ROWS_CPU, min(ROWS_ACCELERATOR, MATRIX_ACCELERATOR // columns))


def chunk_bounds(size: int, device: torch.device) -> list[tuple[int, int]]:
    """Cut ``size`` bank rows into chunks of nearly equal length, as ``(first, last + 1)``."""
    limit = CHUNK_ROWS_CPU if device.type == "cpu" else CHUNK_ROWS_ACCELERATOR
    parts = -(-size // limit)
    edges = [part * size // parts for part in range(parts + 1)]
    return list(pairwise(edges))


def similarity_chunks(
    anchors: Tensor, bank: Tensor, index: Tensor
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Walk over the bank: the similarities of all anchors to a few thousand entries at a time.

    Args:
        anchors: B x d, float32 or float64.
        bank: N x d, any float type; converted chunk by chunk.
        index: B int64, the row of each anchor's positive.

    Yields:
        ``(start, rows, similarities)``: the first bank row of the chunk, its C x d rows, and its
        **C x B** similarities with the positives at ``-inf``, so that only negatives count. The
        similarities lie in one buffer that the next step overwrites; the caller may overwrite it
        too. (Transposed, maxima and sums over the bank run along the fast axis.)
    """
    bounds = chunk_bounds(bank.shape[0], anchors.device)
    length = max(stop - start for start, stop in bounds)
    # Row `length` of the buffer is scratch: positives of other chunks are written there. So there
    # is no branch, and the host need not look at the index.
    edges = torch.arange(len(bounds) + 1, device=index.device)[:, None] * len(bank) // len(bounds)
    inside = (index >= edges[:-1]) & (index < edges[1:])
    positive_rows = torch.where(inside, index - edges[:-1], length)
    columns = anchors.T.contiguous()
    buffer = anchors.new_empty(length + 1, anchors.shape[0])
    for (start, stop), positive_row in zip(bounds, positive_rows, strict=True):
        rows = bank[start:stop].to(anchors.dtype)
        similarities = buffer[: stop - start]
        torch.mm(rows, columns, out=similarities)
        buffer.scatter_(0, positive_row[None], -torch.inf)
        yield start, rows, similarities


def negatives_softmax(
    anchors: Tensor, bank: Tensor, index: Tensor, temperature: float, with_mean: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Softmax over all negatives of every anchor: its normaliser and the mean bank entry under it.

    A running maximum keeps the exponentials in range; the sums are rescaled when it moves.

    Args:
        anchors: B x d, float32 or float64.
        bank: N x d, N >= 2.
        index: B int64, the row of each anchor's positive.
        temperature: tau > 0.
        with_mean: whether to form the mean (it costs a second matrix product).

    Returns:
        s_max (B), ``sum_{k != i} e^{(s_ik - s_max)/tau}`` (B), and ``sum_{k != i} r_ik v_k``
        (B x d; r of Eq. 5) or None.
    """
    batch = anchors.shape[0]
    maximum = anchors.new_full((1, batch), torch.finfo(anchors.dtype).min)
    total = anchors.new_zeros(1, batch)
    mean = torch.zeros_like(anchors) if with_mean else None
    for _, rows, similarities in similarity_chunks(anchors, bank, index):
        raised = torch.maximum(maximum, similarities.amax(0, keepdim=True))
        rescale = ((maximum - raised) / temperature).exp_()
        weights = _exponentials(similarities, raised, temperature)
        total.mul_(rescale).add_(weights.sum(0, keepdim=True))
        if mean is not None:
            mean.mul_(rescale.T).addmm_(weights.T, rows)
        maximum = raised
    if mean is not None:
        mean.div_(total.T)
    return maximum.squeeze(0), total.squeeze(0), mean


def interval_softmax(
    similarities: Tensor,
    smallest: Tensor,
    largest: Tensor,
    temperature: float,
    bank: Tensor,
    with_mean: bool,
) -> tuple[Tensor, Tensor | None]:
    """Softmax over the similarities in ``[smallest, largest]``; they are overwritten.

    Args:
        similarities: B x N, float32 or float64.
        smallest: B x 1.
        largest: B x 1, the largest of each row.
        temperature: tau > 0.
        bank: N x d.
        with_mean: whether to form the mean.

    Returns:
        ``sum_k e^{(s_ik - largest)/tau}`` (B) and the mean bank entry under the softmax (B x d) or
        None; k runs over the interval.
    """
    batch, size = similarities.shape
    limit = BLOCK_CPU if similarities.device.type == "cpu" else BLOCK_ACCELERATOR
    length = max(1, limit // size)
    # Compared into floats: boolean masks are slow to make and to apply on a CPU.
    masks = similarities.new_empty(min(length, batch), size)
    total = torch.empty_like(largest)
    for start in range(0, batch, length):
        block = slice(start, start + length)
        weights = similarities[block]
        inside = torch.ge(weights, smallest[block], out=masks[: len(weights)])
        _exponentials(weights, largest[block], temperature).mul_(inside)
        total[block] = weights.sum(1, keepdim=True)
    mean = (similarities @ bank.to(similarities.dtype)).div_(total) if with_mean else None
    return total.squeeze(1), mean


def interval_mean(similarities: Tensor, smallest: Tensor, bank: Tensor) -> Tensor:
    """Mean (B x d) of the bank entries with similarity >= ``smallest`` (B x 1); overwrites."""
    inside = similarities.ge_(smallest)
    return (inside @ bank.to(inside.dtype)).div_(inside.sum(1, keepdim=True))


def nearest(anchors: Tensor, bank: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Every anchor's largest negative similarity and its bank row (the lowest among equals).

    Args:
        anchors: B x d, float32 or float64.
        bank: N x d, N >= 2.
        index: B int64, the row of each anchor's positive.

    Returns:
        s_max (B) and the rows (B int64).
    """
    best = anchors.new_full((anchors.shape[0],), -torch.inf)
    best_row = torch.zeros_like(index)
    for start, _, similarities in similarity_chunks(anchors, bank, index):
        values, rows = similarities.max(0)
        better = (values > best) | values.isnan()
        best = torch.where(better, values, best)
        best_row = torch.where(better, rows + start, best_row)
    return best, best_row


def bank_sum(bank: Tensor, dtype: torch.dtype) -> Tensor:
    """Sum of all bank entries (d), by blocks: this rounds less, and is faster on a CPU."""
    whole = bank.shape[0] // SUM_BLOCK * SUM_BLOCK
    blocks = bank[:whole].unflatten(0, (whole // SUM_BLOCK, SUM_BLOCK)).sum(1, dtype=dtype)
    total: Tensor = blocks.sum(0) + bank[whole:].sum(0, dtype=dtype)
    return total


def _exponentials(similarities: Tensor, maximum: Tensor, temperature: float) -> Tensor:
    """``e^{(s - maximum)/tau}`` in place, as ``2^{(s - maximum)/(tau ln 2)}``.

    On a CPU torch's exp2 takes half the time of its exp, which is most of a loss's time beside the
    two products.
    """
    scale = 1 / (temperature * math.log(2))
    if temperature < SMALL_TEMPERATURE:
        # If they were scaled first, the difference of two large numbers would lose digits.
        torch.sub(similarities, maximum, out=similarities).mul_(scale)
    else:
        torch.add(maximum * -scale, similarities, alpha=scale, out=similarities)
    # Underflow makes exponentials and products several times slower on a CPU. The floor, 2^-88 in
    # float32, is far below what can change a sum of at least 1; normalised vectors reach it only
    # at small temperatures, so the others are spared the pass.
    floor = 0.7 * math.log2(torch.finfo(similarities.dtype).tiny)
    if 2.5 * scale > -floor:
        similarities.clamp_(min=floor)
    return similarities.exp2_()
